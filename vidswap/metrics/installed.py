"""Measures that need trained weights: found by entry point, and honestly absent where none is installed.

A package that brings weights declares, in its pyproject.toml:

    [project.entry-points."vidswap.recognisers"]
    name = "package.module:make_recogniser"

`vidswap.recognisers` name a callable without arguments that returns a Recogniser, `vidswap.perceptual` one that returns
a PerceptualDistance. The first by name is taken. A recogniser should be independent of what made the result: one that
served as a loss in training flatters it.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np

RECOGNISERS, PERCEPTUAL = "vidswap.recognisers", "vidswap.perceptual"
FACE_SIDE = 112
ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where recognisers of the ArcFace family expect the subject's right eye, left eye, nose tip and the right and left
corner of the mouth in their square of 112 pixels."""


class Recogniser(Protocol):
    """Embeds faces."""

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """(N, D) float embeddings of faces (N, 112, 112, 3) uint8 RGB, aligned to ARCFACE_POINTS."""
        ...


class PerceptualDistance(Protocol):
    """LPIPS or the like."""

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(N,) distances, 0 for equal pictures, of pictures (N, h, w, 3) uint8 RGB."""
        ...


def find(group: str) -> tuple[Any, str]:
    """What is installed of a group, and its name; or None and the reason why there is none, in one line."""
    found = sorted(entry_points(group=group), key=lambda entry: entry.name)
    if not found:
        return None, f"no weights installed: no package offers an entry point {group}"
    entry = found[0]
    try:
        return entry.load()(), entry.name
    except Exception as error:
        # A stranger's package may fail in any way; the other measures do not hang on it.
        return None, f"{entry.name} ({entry.value}) cannot be used: {error or type(error).__name__}"


def aligning(points: np.ndarray) -> np.ndarray:
    """(2, 3) float64: the similarity that takes five points (5, 2) nearest to ARCFACE_POINTS (Umeyama 1991)."""
    points = np.asarray(points, np.float64)
    middle, wanted = points.mean(0), ARCFACE_POINTS.mean(0)
    a, b = points - middle, ARCFACE_POINTS - wanted
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt * float((s * sign).sum() / (a * a).sum())
    return np.hstack([turn, (wanted - turn @ middle)[:, None]])
