"""How colourful and how blotchy skin is, and how a rendered face is made no more so than the skin that it comes to.

Colours are taken as they lie around grey: what is left of a pixel without its luma. In that plane skin has a hue, and
healthy skin in one light goes back and forth along it, paler here and ruddier there. What leaves it, to both sides, is
mostly light: the sky in the shade and the sun beside it, a wall, a screen. A portrait brings both along, so both are
measured, and each is held to what the target has of it.
"""

from __future__ import annotations

import cv2
import numpy as np

from .matching import smoothstep

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_AROUND = 15  # pixels of a field: colours of skin are compared with the mean over so many a side
_LEAST = np.array([0.3, 0.2])  # shares that are kept at least: along the hue, across it
_ONE_TONE = (0.15, 0.2)  # share of colours that luma does not tell: in pictures of one tone; in those of several
_WHOLE = 0.995
_EVEN = 1e-3  # unevenness that nobody sees


# Planes are taken one by one: with channels side by side numpy takes four times as long.


def mixing(target: np.ndarray, rendered: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(3, 3) float32: from RGB to RGB of the same luma, for rendered skin to be as even in its colours as the target's.

    Footage of little colour would show every blush of a colourful portrait as a stain, and even skin its every shade.
    The distance to grey is scaled along the hue of rendered skin by 0.3 to 1, across it by 0.2 to 1, and to no more
    than the target has; to none where the whole target is of one tone, black and white or sepia. target, rendered
    (h, w, 3) float32 0..255, fields; weight (h, w) float32: where both show skin.
    """
    own, wanted = _Skin(rendered, weight), _Skin(target, weight)
    less = min(wanted.saturation / max(own.saturation, 1e-3), 1.0)
    ratios = (wanted.unevenness + _EVEN) / (own.unevenness + _EVEN)
    tones = smoothstep(_beside_luma(target), *_ONE_TONE)
    along, across = np.minimum(np.clip(ratios, _LEAST, 1.0), less) * float(tones)
    if min(along, across) > _WHOLE:
        return np.eye(3, dtype=np.float32)
    grey = np.repeat(_LUMA[None], 3, 0)
    hue, beside = own.axes
    scaled = along * np.outer(hue, hue) + across * np.outer(beside, beside)
    return np.asarray(grey + scaled @ (np.eye(3) - grey), np.float32)


def _beside_luma(image: np.ndarray) -> float:
    """Share, 0..1, of the distances to grey in image (h, w, 3) float32 that no line through luma tells: next to nothing
    of sepia, a fifth and more of what has colours; 1 of grey itself.
    """
    luma = cv2.transform(image, _LUMA[None])
    planes = cv2.split(cv2.subtract(image, cv2.merge([luma, luma, luma])))
    energy = sum(float(np.square(plane).sum()) for plane in planes)
    if energy <= 1e-3 * luma.size:
        return 1.0
    luma = luma - luma.mean()
    mean = sum(float(plane.mean()) ** 2 for plane in planes)
    slope = sum(float((plane * luma).sum()) ** 2 for plane in planes)
    told = luma.size * mean + slope / max(float(np.square(luma).sum()), 1e-3)
    return float(np.sqrt(max(0.0, 1 - told / energy)))


class _Skin:
    """What skin tells in a field (h, w, 3) float32 0..255, where weight (h, w) float32 is.

    axes (2, 3): the hue of its mean colour and what lies across, unit vectors of luma 0; saturation: mean distance to
    grey over mean luma; unevenness (2,): along the axes, mean distance of colours to those around them over mean luma.
    """

    def __init__(self, image: np.ndarray, weight: np.ndarray) -> None:
        luma = cv2.transform(image, _LUMA[None])
        apart = cv2.subtract(image, cv2.merge([luma, luma, luma]))
        bright = max(float((luma * weight).sum()), 1e-3)
        mean = np.array([float((plane * weight).sum()) for plane in cv2.split(apart)])
        self.axes = _axes(mean)
        self.saturation = float((cv2.transform(np.abs(apart), np.full((1, 3), 1 / 3)) * weight).sum()) / bright
        seen = np.maximum(cv2.blur(weight, (_AROUND, _AROUND)), 1e-3)
        planes = [plane * weight for plane in cv2.split(cv2.transform(apart, self.axes))]
        around = [cv2.blur(plane, (_AROUND, _AROUND)) / seen * weight for plane in planes]
        away = [cv2.absdiff(plane, level).sum(dtype=np.float64) for plane, level in zip(planes, around, strict=True)]
        self.unevenness = np.array(away) / bright


def _axes(colour: np.ndarray) -> np.ndarray:
    """(2, 3) float32 unit vectors of luma 0: towards a colour (3,) of luma 0, and across; of grey, towards orange."""
    across_luma = _LUMA / np.linalg.norm(_LUMA)
    for hue in (colour, np.array([1.0, 0.0, -0.5])):
        hue = hue - (hue @ across_luma) * across_luma
        length = float(np.linalg.norm(hue))
        if length > 1e-3:
            break
    hue = hue / length
    return np.stack([hue, np.cross(across_luma, hue)]).astype(np.float32)
