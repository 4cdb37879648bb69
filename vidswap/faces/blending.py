"""Joining a generated face to the frame around it: by feathering, Laplacian pyramids or gradients."""

from __future__ import annotations

import cv2
import numpy as np

from .matching import smoothstep, spread

_MARGIN, _BLOCK = 16, 32  # pixels


def multiband(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray, levels: int = 5) -> np.ndarray:
    """Burt and Adelson 1983: fine detail is joined over a narrow, broad colour over a wide band. float32 0..255.

    The result is to be laid over the frame where alpha > 0; alpha has already been applied within it.
    """
    one, other, mask = crop.astype(np.float32), image.astype(np.float32), alpha.astype(np.float32)
    difference = other - one
    pyramid = [difference]
    masks = [mask]
    for _ in range(levels):
        if min(pyramid[-1].shape[:2]) < 8:
            break
        pyramid.append(cv2.pyrDown(pyramid[-1]))
        masks.append(cv2.pyrDown(masks[-1]))
    joined = pyramid[-1] * masks[-1][..., None]
    for level in range(len(pyramid) - 2, -1, -1):
        size = (pyramid[level].shape[1], pyramid[level].shape[0])
        band = pyramid[level] - cv2.pyrUp(pyramid[level + 1], dstsize=size)
        joined = cv2.pyrUp(joined, dstsize=size) + band * masks[level][..., None]
    return np.clip(one + joined, 0, 255)


def gradient(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The image plus the membrane that takes up the difference to the crop along the rim of alpha. float32 0..255.

    Poisson cloning (Perez et al. 2003) adds a harmonic function to the image; push-pull interpolation from the rim is a
    smooth one that costs a hundredth of it (Agarwala 2007 and Farbman et al. 2009 do so by other means).
    """
    difference = crop.astype(np.float32) - image.astype(np.float32)
    rim = 4 * alpha * (1 - alpha)
    return np.clip(image + spread(difference, rim.astype(np.float32), 4.0), 0, 255)


def join(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Image (S, S, 3) float32 0..255 and alpha (S, S) float32 to be laid over the frame; for
    "multiband" and "gradient" see above, "feather" leaves it to alpha."""
    result = image.astype(np.float32)
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if mode == "feather" or not len(rows):
        return result, alpha
    # Sides of whole blocks, so that the pyramid's pixels stay where they are while the face moves within the crop.
    top, left = (max(0, (int(found[0]) - _MARGIN) // _BLOCK * _BLOCK) for found in (rows, columns))
    box = np.s_[top : int(rows[-1]) + 1 + _MARGIN, left : int(columns[-1]) + 1 + _MARGIN]
    result[box] = (multiband if mode == "multiband" else gradient)(crop[box], image[box], alpha[box])
    return result, smoothstep(alpha, 0, 0.3) if mode == "multiband" else alpha
