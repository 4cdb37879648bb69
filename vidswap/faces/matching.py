"""Making a rendered face look as if it had been filmed in the target's shot: light, colour, sharpness, grain.

Light is matched in broad strokes: both faces are averaged over a large neighbourhood of skin (eyes, brows and lips left
out), and the rendered face is multiplied by the quotient, channel by channel. What is finer than the neighbourhood is
the source's, so that lips and brows keep their contrast to the skin. Deviations are not matched, as Reinhard et al.
2001 do: that makes skin harsh where the source is lit more softly.
"""

from __future__ import annotations

import cv2
import numpy as np

FIELD_SIDE = 96  # pixels a side at which fields of light are made
_DARKEST = 1.0  # percentile of each channel over the face
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_GAIN = (0.4, 2.2)  # beyond these the difference is added, not multiplied: dark pixels have no contrast to amplify


def light_field(
    target: np.ndarray, rendered: np.ndarray, weight: np.ndarray, cover: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (h, w, 3) float32: rendered * gain + offset has the broad light of `target`.

    target, rendered (h, w, 3) float32 0..255, small; weight (h, w) float32: where both show skin; cover (h, w): where
    both show the face; reach: sigma of the neighbourhood in pixels.

    Light is a factor above a floor, the darkest that the face shows: haze and flare, which add to everything, lift the
    floor and leave less room for contrast. What fits badly under a first field (glasses, beard, cast shadows, strands
    of hair on either face) weighs little in the second.
    """
    there = cover > 0.5
    floors = [_floor(image, there) for image in (target, rendered)]
    pair = np.concatenate([target, rendered], 2)
    weight = weight * _not_dark(target, weight) * _not_dark(rendered, weight)
    gain, offset = _field(spread(pair, weight, 2 * reach), *floors)
    misfit = np.abs(rendered * gain + offset - target).mean(2)
    usual = float((misfit * weight).sum()) / max(float(weight.sum()), 1e-6)
    trusted = weight / (1 + (misfit / max(1.5 * usual, 4.0)) ** 4)
    return _field(spread(pair, trusted, reach), *floors)


def _field(both: np.ndarray, floor: np.ndarray, own_floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wanted, given = both[..., :3], both[..., 3:]
    gain = (np.maximum(wanted - floor, 0) + 8) / (np.maximum(given - own_floor, 0) + 8)
    # A portrait without deep shadows is not given any: haze may take contrast, its absence adds none.
    gain = np.clip(np.minimum(gain, (wanted + 8) / (given + 8)), *_GAIN)
    return gain, wanted - given * gain


def _not_dark(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    luma = image.mean(2)
    usual = float((luma * weight).sum()) / max(float(weight.sum()), 1e-6)
    return 0.05 + 0.95 * smoothstep(luma, 0.3 * usual, 0.55 * usual)


def saturation(image: np.ndarray, weight: np.ndarray) -> float:
    """How colourful skin is: mean distance to grey over mean luma, of image (h, w, 3) float32 where weight (h, w)."""
    luma = image @ _LUMA
    apart = np.abs(image - luma[..., None]).sum(2)
    return float((apart * weight).sum()) / max(float((luma * weight).sum()), 1e-3)


def less_colourful(image: np.ndarray, share: float) -> np.ndarray:
    """image (h, w, 3) uint8 with its distance to grey scaled by `share`, 0..1."""
    if share >= 0.995:
        return image
    mixing = share * np.eye(3) + (1 - share) * np.repeat(_LUMA[None], 3, 0)
    return cv2.transform(image, mixing)


def _floor(image: np.ndarray, there: np.ndarray) -> np.ndarray:
    if there.sum() < 32:
        return np.zeros(3, np.float32)
    return np.asarray(np.percentile(image[there], _DARKEST, axis=0), np.float32)


def relight(image: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """image (h, w, 3) uint8 or float32 under a field of any size; float32 0..255."""
    size = (image.shape[1], image.shape[0])
    gain = cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    offset = cv2.resize(offset, size, interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(image, gain, dtype=cv2.CV_32F)
    return np.clip(cv2.add(lit, offset), 0, 255)


def match_sharpness(image: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blur image (h, w, 3) float32 as far as the target's (h, w, 3) uint8 details are weaker than its own.

    Details are measured in luma between sigma 0.8 and 1.6 pixels, where weight (h, w) says so. A target that is sharper
    than the source gives it nothing: what the portrait does not show is not made up.
    """
    own, wanted = _detail(image, weight), _detail(target, weight)
    if own <= wanted * 1.02 or own <= 0:
        return image
    # Energy of the band after blurring by a share s of the way to sigma 1.6 goes about as (1 - s)^2.
    share = float(np.clip(1 - np.sqrt(wanted / own), 0, 0.95))
    soft = cv2.GaussianBlur(image, (0, 0), 1.6)
    return cv2.addWeighted(image, 1 - share, soft, share, 0)


def _detail(image: np.ndarray, weight: np.ndarray) -> float:
    luma = cv2.transform(image, _LUMA[None]).astype(np.float32)
    band = cv2.GaussianBlur(luma, (0, 0), 0.8) - cv2.GaussianBlur(luma, (0, 0), 1.6)
    total = float(weight.sum())
    return float((band * band * weight).sum()) / total if total > 0 else 0.0


def spread(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of values (h, w, C) float32 around every pixel, weighted by weight (h, w), over about `sigma` pixels, and
    over as much more as it takes where there is no weight near (push-pull, Gortler et al. 1996).
    """
    finest = float(np.log2(max(sigma, 1.0)))
    levels = [np.concatenate([values * weight[..., None], weight[..., None]], 2).astype(np.float32)]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(cv2.pyrDown(levels[-1]))
    mean = levels[-1][..., :-1] / np.maximum(levels[-1][..., -1:], 1e-6)
    for number in range(len(levels) - 2, -1, -1):
        level = levels[number]
        # OpenCV drops the axis of a single channel.
        mean = cv2.pyrUp(mean, dstsize=(level.shape[1], level.shape[0])).reshape(*level.shape[:2], -1)
        # In shares, so that nothing jumps when the size of a face passes a power of two.
        share = min(number - finest + 1, 1.0)
        if share > 0:
            certain = share * np.minimum(level[..., -1:] * 4, 1)
            mean += certain * (level[..., :-1] / np.maximum(level[..., -1:], 1e-6) - mean)
    return mean


def smoothstep(values: np.ndarray | float, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3 t^2 - 2 t^3 between. Same shape."""
    t = np.clip((np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)
