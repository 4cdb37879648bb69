"""Joining a generated face to the frame around it: by feathering, Laplacian pyramids or gradients."""

from __future__ import annotations

import cv2
import numpy as np

from .matching import smoothstep, spread

_MARGIN, _BLOCK = 16, 32  # pixels
_SQUARE_RISE, _MASK_RISE = 0.04, 0.03  # of the side
_BROAD = 64.0  # grey levels: by so much light and complexion differ at most
_FINE = 96  # pixels a side: the pyramid is not begun at a smaller size than this


def multiband(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray, levels: int = 5) -> np.ndarray:
    """Burt and Adelson 1983: fine detail is joined over a narrow, broad colour over a wide band. (h, w, 3) uint8.

    The result is to be laid over the frame where alpha > 0; alpha has already been applied within it. crop and image
    (h, w, 3) uint8, alpha (h, w) float32.

    What the pyramid does beyond plain mixing by alpha is smooth: of large faces, whose alpha is smooth as well, it is
    found at half the size.
    """
    height, width = alpha.shape
    coarse = 2 if min(height, width) >= 2 * _FINE and height % 2 == width % 2 == 0 else 1
    size = (width // coarse, height // coarse)
    one, other, mask = crop, image, np.asarray(alpha, np.float32)
    if coarse > 1:
        one, other, mask = (cv2.resize(whole, size, interpolation=cv2.INTER_AREA) for whole in (one, other, mask))
    difference = cv2.subtract(other, one, dtype=cv2.CV_32F)
    # A beard on skin is no broad colour: mixed over a wide band it would be a ghost.
    np.clip(difference, -_BROAD, _BROAD, out=difference)
    beyond = _beyond_mixing(difference, mask, levels + 1 - coarse)
    if coarse > 1:
        beyond = cv2.resize(beyond, (width, height), interpolation=cv2.INTER_LINEAR)
    mixed = cv2.multiply(cv2.subtract(image, crop, dtype=cv2.CV_32F), cv2.merge([alpha, alpha, alpha]))
    return cv2.add(crop, cv2.add(mixed, beyond), dtype=cv2.CV_8U)


def _beyond_mixing(difference: np.ndarray, mask: np.ndarray, levels: int) -> np.ndarray:
    """What the pyramid makes of a difference (h, w, 3) float32 under a mask (h, w), less their product."""
    pyramid, masks = [difference], [cv2.merge([mask, mask, mask])]
    for _ in range(levels):
        if min(pyramid[-1].shape[:2]) < 8:
            break
        pyramid.append(cv2.pyrDown(pyramid[-1]))
        masks.append(cv2.pyrDown(masks[-1]))
    beyond = np.zeros_like(pyramid[-1])
    for level in range(len(pyramid) - 2, -1, -1):
        size = (pyramid[level].shape[1], pyramid[level].shape[0])
        broad = pyramid[level + 1]
        joined = cv2.add(cv2.multiply(broad, masks[level + 1]), beyond)
        # up(m d) + m (D - up(d)) - m D
        beyond = cv2.pyrUp(joined, dstsize=size)
        beyond = cv2.subtract(beyond, cv2.multiply(masks[level], cv2.pyrUp(broad, dstsize=size)))
    return beyond


def gradient(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The image plus the membrane that takes up the difference to the crop along the rim of alpha. float32 0..255.

    Poisson cloning (Perez et al. 2003) adds a harmonic function to the image; push-pull interpolation from the rim is a
    smooth one that costs a hundredth of it (Agarwala 2007 and Farbman et al. 2009 do so by other means).
    """
    difference = crop.astype(np.float32) - image.astype(np.float32)
    rim = 4 * alpha * (1 - alpha)
    return np.clip(image + spread(difference, rim.astype(np.float32), 4.0), 0, 255)


def join(crop: np.ndarray, image: np.ndarray, alpha: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Image (S, S, 3) uint8 or float32 0..255 and alpha (S, S) float32 to be laid over the frame; for
    "multiband" and "gradient" see above, "feather" leaves it to alpha. crop and image (S, S, 3) uint8."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if mode == "feather" or not len(rows):
        return image, alpha
    # Sides of whole blocks, so that the pyramid's pixels stay where they are while the face moves within the crop.
    spans = []
    for found, length in zip((rows, columns), alpha.shape, strict=True):
        first, last = int(found[0]) - _MARGIN, int(found[-1]) + 1 + _MARGIN
        spans.append(slice(max(0, first // _BLOCK * _BLOCK), min(length, -(-last // _BLOCK) * _BLOCK)))
    box = (spans[0], spans[1])
    if mode == "gradient":
        result = image.astype(np.float32)
        result[box] = gradient(crop[box], image[box], alpha[box])
        return result, alpha
    result, cover = image.copy(), np.zeros_like(alpha)
    result[box] = multiband(crop[box], image[box], np.ascontiguousarray(alpha[box]))
    cover[box] = smoothstep(alpha[box], 0, 0.3)
    return result, cover


def soft_cover(inside: np.ndarray | None, size: int) -> np.ndarray:
    """(size, size) float32, 0..1: a mask (size, size) bool that is left behind softly, inwards; None is the square.

    It is 0 on the border of the square and at the border of the mask, and rises over 4 and 3 in a hundred of the side.
    """
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32)
    edge = smoothstep(ramp, 0, max(1.0, _SQUARE_RISE * size)).astype(np.float32)
    square = np.minimum(edge[:, None], edge[None, :])
    if inside is None:
        return square
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    return np.minimum(smoothstep(distance, 0, max(1.0, _MASK_RISE * size)).astype(np.float32), square)
