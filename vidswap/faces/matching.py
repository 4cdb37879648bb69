"""Making a rendered face look as if it had been filmed in the target's shot: light, colour, sharpness, grain.

Light is matched in broad strokes: both faces are averaged over a large neighbourhood of skin (eyes, brows and lips left
out), and the rendered face is multiplied by the quotient, channel by channel. What is finer than the neighbourhood is
the source's, so that lips and brows keep their contrast to the skin. Deviations are not matched, as Reinhard et al. 2001
do: that makes skin harsh where the source is lit more softly.
"""

from __future__ import annotations

import cv2
import numpy as np

from .texture import spread

FIELD_SIDE = 96  # pixels a side at which fields of light are made
_GAIN = (0.4, 2.2)  # beyond these the difference is added, not multiplied: dark pixels have no contrast to amplify


def light_field(
    target: np.ndarray, rendered: np.ndarray, weight: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset (h, w, 3) float32: rendered * gain + offset has the broad light of `target`.

    target, rendered (h, w, 3) float32 0..255, small; weight (h, w) float32: where both show skin; reach: sigma of the
    neighbourhood in pixels.
    """
    both = spread(np.concatenate([target, rendered], 2), weight, reach)
    wanted, given = both[..., :3], both[..., 3:]
    gain = np.clip((wanted + 6) / (given + 6), *_GAIN)
    return gain, wanted - given * gain


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
    luma = cv2.transform(image, np.array([[0.299, 0.587, 0.114]], np.float32)).astype(np.float32)
    band = cv2.GaussianBlur(luma, (0, 0), 0.8) - cv2.GaussianBlur(luma, (0, 0), 1.6)
    total = float(weight.sum())
    return float((band * band * weight).sum()) / total if total > 0 else 0.0
