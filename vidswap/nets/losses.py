"""Losses of reenactment, as functions of tensors: shape, eyes and mouth (StyleMask, sec. 3.3), mapping.

Landmarks are the 68 points of iBUG (`vidswap.faces.landmark_picture` gives them of MediaPipe's), x and y in pixels.
The identity term is one minus the cosine of `vidswap.nets.ir_se50.ArcFace` on `ir_se50.identity_crop`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EYE_PAIRS = ((36, 39), (37, 41), (38, 40), (42, 45), (43, 47), (44, 46))
"""Points of iBUG whose distances tell how far the eyes are open."""

MOUTH_PAIRS = (
    *((48, 54), (49, 59), (50, 58), (51, 57), (52, 56), (53, 55)),
    *((60, 64), (61, 67), (62, 66), (63, 65)),
)
"""The same for the mouth: outer lips, then inner ones."""


def shape_distance(vertices: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of vertices (N, V, 2 or 3)."""
    return (vertices - wanted).abs().mean()


def eye_distance(landmarks: Tensor, wanted: Tensor) -> Tensor:
    """How differently open the eyes of landmarks (N, 68, 2) are: of each pair's extent in x and y."""
    return _pair_distance(landmarks, wanted, EYE_PAIRS)


def mouth_distance(landmarks: Tensor, wanted: Tensor) -> Tensor:
    """How differently open the mouths of landmarks (N, 68, 2) are: of each pair's extent in x and y."""
    return _pair_distance(landmarks, wanted, MOUTH_PAIRS)


def _pair_distance(landmarks: Tensor, wanted: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    first, second = torch.tensor(pairs, device=landmarks.device).unbind(1)
    extent = (landmarks[:, first] - landmarks[:, second]).abs()
    return (extent - (wanted[:, first] - wanted[:, second]).abs()).abs().mean()


def identity_distance(embedding: Tensor, wanted: Tensor) -> Tensor:
    """One minus the mean cosine of unit vectors (N, D) of faces."""
    return 1 - (embedding * wanted).sum(dim=1).mean()


def code_distance(delta: Tensor, wanted: Tensor) -> Tensor:
    """Of the landmark mapper: ten times the mean squared difference of codes (N, rows, D)."""
    return 10 * F.mse_loss(delta, wanted)
