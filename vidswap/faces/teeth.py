"""The mouth of a portrait that shows its teeth, driven by a face whose mouth was closed at rest.

A driver's mouth that opens adds to the opening that is there already, which would tear a smile open: the wider the
portrait's own mouth, the less of it is added. Teeth keep their length: they hang from the upper lip, and below them an
open mouth is dark, with a tongue.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from . import topology
from .matching import smoothstep
from .shape import REGIONS, region_weights

_ABSORBED = 0.6  # of what the driver's mouth opens, as far as the portrait's is open already
_CHIN = 0.35  # distances between the eyes below the lips, from where on all moves with the jaw
_BORDER = 0.02  # distances between the eyes: how far within the lips teeth end, and how softly
_WITHIN = (0.6, 0.95)  # of that blurred: from the lips' own red rim to the teeth
_LIP = 0.02  # distances between the eyes below the teeth: lip
_RIM = 0.012  # distances between the eyes
_BARED = 0.05  # distances between the eyes that lips part farther than in the portrait for all to be dark between
_DARKEST, _LESS = 5.0, 0.7  # percentile of what is seen between the lips, and how much darker it is behind that
_DARK = 0.35  # of the lips' light, at most
_TONGUE, _TONGUE_FROM = 0.5, (0.5, 1.0)  # of the lips' colour; how far down the mouth it is seen
_HALF = len(topology.LIPS_INNER) // 2
_UPPER, _LOWER = topology.LIPS_INNER[: _HALF + 1], topology.LIPS_INNER[_HALF:] + topology.LIPS_INNER[:1]


def absorbed(change: np.ndarray, own_gap: float) -> np.ndarray:
    """(478, 3) of a change of shape (478, 3) in the mean frame: with less of an opening, for a mouth that is open by
    `own_gap` already, in distances between the eyes. One that closes is left alone.
    """
    opening = float(change[14, 1] - change[13, 1])
    if opening <= 0 or own_gap <= 0:
        return change
    kept = 1 - _ABSORBED * own_gap * np.tanh(opening / own_gap) / opening
    result = change.copy()
    result[:, 1] *= 1 - of_jaw() * (1 - kept)
    return result


@cache
def of_jaw() -> np.ndarray:
    """(478,) float64 0..1: how far a landmark moves up and down with lips and jaw."""
    down = topology.canonical()[:, 1].astype(np.float64)
    lips = float(down[list(topology.LIPS_OUTER)].max())
    mouth = np.clip(1.25 * region_weights()[REGIONS.index("mouth")], 0, 1)
    return np.maximum(mouth, smoothstep(down, lips, lips + _CHIN))


class _Opening:
    """The opening of a mouth in its own axes: from corner (0) to corner (1), and down in pixels."""

    def __init__(self, points: np.ndarray) -> None:
        points = points[:, :2].astype(np.float64)
        self._from, to = points[_UPPER[0]], points[_UPPER[-1]]
        self.width = max(float(np.linalg.norm(to - self._from)), 1.0)
        self._across = (to - self._from) / self.width
        self._down = np.array([-self._across[1], self._across[0]])
        self._upper, self._lower = (self._curve(points[list(ring)]) for ring in (_UPPER, _LOWER))

    @property
    def gap(self) -> float:
        """Pixels between the lips, in the middle."""
        return float(self.lower(np.array(0.5)) - self.upper(np.array(0.5)))

    def _curve(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self.own(points)
        order = np.argsort(own[:, 0], kind="stable")
        return own[order, 0], own[order, 1]

    def own(self, places: np.ndarray) -> np.ndarray:
        """(..., 2) of pixels (..., 2)."""
        x, y = places[..., 0] - self._from[0], places[..., 1] - self._from[1]
        along, down = self._across / self.width, self._down
        return np.stack([x * along[0] + y * along[1], x * down[0] + y * down[1]], -1)

    def pixels(self, own: np.ndarray) -> np.ndarray:
        """(..., 2): the inverse of `own`."""
        return np.asarray(self._from + own[..., :1] * self.width * self._across + own[..., 1:] * self._down, np.float64)

    def upper(self, across: np.ndarray) -> np.ndarray:
        """How far down the upper lip ends."""
        return np.interp(across, *self._upper)

    def lower(self, across: np.ndarray) -> np.ndarray:
        """How far down the lower lip begins."""
        return np.interp(across, *self._lower)


class Teeth:
    """What a portrait (h, w, 3) uint8 shows between its lips, of a face with landmarks (478, 2 or 3).

    shown: 0..1, how far they are to be kept; unit: pixels between the irises.
    """

    def __init__(self, image: np.ndarray, points: np.ndarray, shown: float, unit: float) -> None:
        self.shown, self._unit = shown, unit
        self._opening = _Opening(points)
        mask = np.zeros(image.shape[:2], np.uint8)
        outer, inner = (points[list(ring), :2] for ring in (topology.LIPS_OUTER, topology.LIPS_INNER))
        cv2.fillPoly(mask, [np.rint(inner * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        sigma = max(0.5, _BORDER * unit)
        self._there = smoothstep(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma), *_WITHIN)
        seen = image[mask > 127]
        at = np.rint(outer).astype(int).clip(0, np.array(mask.shape[::-1]) - 1)
        lips = image[at[:, 1], at[:, 0]].mean(0, dtype=np.float64)
        dark = _LESS * (np.percentile(seen, _DARKEST, axis=0) if len(seen) else np.zeros(3))
        # Where teeth are all that is seen, the darkest of them is not dark.
        self._dark = dark * min(1.0, _DARK * float(lips.mean()) / max(float(dark.mean()), 1.0))
        self._tongue = _TONGUE * lips

    def hung(self, place: np.ndarray, inside: np.ndarray, after: np.ndarray, finer: int = 1) -> None:
        """Write to place (h, w, 2) float32, where the portrait is read for each pixel, that of teeth as long as they
        are, by how far they are shown.

        inside (h, w) bool: between the lips; after (478, 2): landmarks in the pixels of the part, which is drawn at
        `finer` times its size.
        """
        if self.shown <= 0 or not inside.any():
            return
        y, x = np.nonzero(inside)
        now = _Opening(after)
        own = now.own((np.stack([x, y], -1) + 0.5) / finer - 0.5)
        across = own[:, 0]
        down = own[:, 1] - now.upper(across) + self._opening.upper(across)
        # All that is below the teeth is darkened but for its rim, which is lip and not the chin below.
        down = np.minimum(down, self._opening.lower(across) + _LIP * self._unit)
        there = self._opening.pixels(np.stack([across, down], -1))
        place[y, x] += np.float32(self.shown) * (there.astype(np.float32) - place[y, x])

    def darkened(self, part: np.ndarray, place: np.ndarray, inside: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8: a part of the picture, drawn from places (h, w, 2), with the dark of the mouth where lips
        have parted from the teeth. Other arguments are those of `hung`.
        """
        now = _Opening(after)
        wider = now.gap - self._opening.gap
        bared = self.shown * float(np.clip(wider / (_BARED * self._unit), 0, 1))
        if bared <= 0 or not inside.any():
            return part
        # The lower lip's rim is as bright as the teeth that it touched.
        rim, sigma = max(1, round(_RIM * self._unit)), max(0.6, 0.5 * _BORDER * self._unit)
        left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
        margin = rim + round(4 * sigma)
        window = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
        between = inside[window]
        grown = cv2.dilate(between.astype(np.uint8), np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
        soft = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), sigma)
        y, x = np.nonzero(soft > 0.5)
        own = now.own(np.stack([x + window[1].start, y + window[0].start], -1))
        upper, lower = now.upper(own[:, 0]), now.lower(own[:, 0])
        depth = (own[:, 1] - upper) / np.maximum(lower - upper, 1.0)
        there = cv2.remap(self._there, place[window], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[y, x]
        share = bared * (2 * soft[y, x] - 1) * (1 - there) * (between[y, x] | (depth > 0.5))
        middle = np.clip(1 - (2 * own[:, 0] - 1) ** 2, 0, 1)
        tongue = (smoothstep(depth, *_TONGUE_FROM) * middle)[:, None]
        shown = self._dark + tongue * (self._tongue - self._dark)
        result = part.copy()
        seen = part[window][y, x]
        result[window][y, x] = np.rint(seen + share[:, None] * (shown - seen)).clip(0, 255)
        return result
