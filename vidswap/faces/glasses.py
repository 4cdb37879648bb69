"""Where the rims and dark lenses of a face's glasses are, in one frame.

Of a face that wears some (`eyewear.worn`): fine lines near the eyes, broad ones (plastic) wherever glasses can be, and
lenses that hide the skin around an eye. Whether a line there is a rim, or a brow or a crease, is better told over time:
coarse pictures of where rims were found (`sample_rims`), once they are smoothed, choose among the lines.
"""

from __future__ import annotations

import cv2
import numpy as np

from . import topology
from .eyewear import pale_across
from .landmarking import PictureLike
from .matching import smoothstep

RIMS = (32, 48)
"""Rows and columns of the coarse pictures of where rims are."""
_AROUND, _HIGH = 2.5, 0.45  # width of those pictures in distances of the eyes; where in their height the eyes lie
_FINER = 7  # times: rims are looked for at so much more than their size
_SURE = 2.0
_CORNERS = (
    (topology.RIGHT_EYE_OUTER, topology.RIGHT_EYE_INNER),
    (topology.LEFT_EYE_INNER, topology.LEFT_EYE_OUTER),
)
# fmt: off
_FINE_ZONE = (
    127, 34, 143, 116, 50, 36, 5, 266, 280, 345, 372, 264, 356, 276, 283, 282, 295, 285, 55, 65, 52, 53, 46,
)
# fmt: on
# All that follows is in distances of the pupils.
_ZONE = (-1.15, 1.15, -0.5, 0.74)  # where glasses can be: left, right, above, below the middle of the eyes
_FINE, _BROAD = 0.055, 0.13  # half the width of lines
_DARK, _BRIGHT = (0.12, 0.28), (0.14, 0.28)  # contrast of fine ones
_BROAD_DARK, _BROAD_BRIGHT = (0.4, 0.55), (0.2, 0.36)
_LIKE_RIMS = (0.35, 0.6)  # of the contrast that most of a frame's rims have: lines below are none of them, and are
_LONG, _BROAD_LONG = 0.25, 0.5  # extent of what is a line, at least
_BLACKER = (0.45, 0.55), (0.7, 0.85)  # contrast of rims over brows: at least, and of that of the others
_BESIDE_BROWS = 0.35  # of a rim lies beside the brows, at least
_PALER = 1.2  # times the cheeks' light: of rims that are told from brows
_BROW, _EYE, _TIP, _OVAL = 0.02, 0.05, 0.08, 0.05  # margins around them
_BELOW_EYE = 0.13  # creases under the eye are not rims
_NOSE = 1.27  # times its length, from the root to the base
_MASKS = 40  # pixels between the pupils, at which masks and what is broad are told
_LENS = (0.6, 0.75)  # contrast with the cheeks of lenses that hide the eye
_HIDDEN = (0.6, 0.85)  # share of the skin around an eye that is as dark: none, for sure
_AROUND_EYE, _LENS_REACH = 0.16, 0.6
_CHEEKS = ((205, 207, 187, 123, 50, 36), (425, 427, 411, 352, 280, 266), (18, 200, 201, 421))
_NOSE_TIP = (198, 49, 129, 64, 98, 97, 2, 326, 327, 294, 358, 279, 420, 5)


def rims(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: rims and dark lenses of a face that wears glasses, brows and lids left out.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels.
    """
    result = np.zeros(crop.shape[:2], np.float32)
    window, found = rims_in(crop, points)
    result[window] = found
    return result


def dark_lenses(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(S, S) float32, 0..1: lenses through which the eyes of a face that wears glasses are not seen.

    crop (S, S, 3) uint8 RGB; points (478, 2 or 3) landmarks in its pixels.
    """
    result = np.zeros(crop.shape[:2], np.float32)
    lines = _Lines(crop, points)
    if lines.any:
        lines.found()
        result[lines.window] = lines.lenses
    return result


def sample_rims(picture: PictureLike, landmarks: np.ndarray) -> np.ndarray:
    """RIMS uint8, 255 where rims are found in an upright rectangle around the eyes: of the face with landmarks (478, 3)
    in pixels of the frame. For a face that wears glasses.
    """
    rows, columns = RIMS
    matrix = np.asarray(_rims_matrix(landmarks) * _FINER, np.float64)
    matrix[:, 2] += (_FINER - 1) / 2
    crop = picture.crop(matrix, (columns * _FINER, rows * _FINER))
    lines = _Lines(crop, landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2], cv2.MORPH_RECT)
    found = np.zeros(crop.shape[:2], np.float32)
    found[lines.window] = cv2.dilate(lines.found(), np.ones((_FINER, _FINER), np.uint8)) if lines.any else 0
    return np.rint(255 * cv2.resize(found, (columns, rows), interpolation=cv2.INTER_AREA)).astype(np.uint8)


def rims_in(
    crop: np.ndarray, points: np.ndarray, told: np.ndarray | None = None
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The rows and columns that rims are looked for in, and how surely they are there (h, w) float32, 0..1.

    crop, points: see `rims`; told: what `sample_rims` says, smoothed over time, which then chooses among the lines.
    """
    lines = _Lines(crop, points, told=told)
    if not lines.any:
        return lines.window, np.zeros(lines.shape, np.float32)
    found = lines.found()
    grown = cv2.dilate(found, _disc(0.008 * lines.between))
    return lines.window, cv2.GaussianBlur(grown, (0, 0), 0.8)


class _Lines:
    """Lines around the eyes of a face in crop (S, S, 3) uint8 with landmarks (478, 2 or 3).

    window: the rows and columns looked at; shape (h, w) of it; between: distance of the pupils, size: what it is of the
    face seen from the front; lenses (h, w) float32, once lines are `found`: what is dark lens of it. form: OpenCV's
    name of what a fine line is thinner than; a square is much quicker than a disc. told: see `rims_in`; without it,
    where lines go and how long they are decides, which one frame tells badly.
    """

    def __init__(
        self, crop: np.ndarray, points: np.ndarray, form: int = cv2.MORPH_ELLIPSE, told: np.ndarray | None = None
    ) -> None:
        own = points[:, :2].astype(np.float32)
        self.between = between = float(np.linalg.norm(own[468] - own[473]))
        # A face that is turned is narrower than it is high: its nose tells how far its pupils are apart.
        nose = _NOSE * float(np.linalg.norm(own[topology.NOSE_ROOT] - own[topology.NOSE_BASE]))
        high = min(max(nose / max(between, 1e-6), 1.0), 2.0)
        self.size = high * between
        corners = _corners(own, high)
        x0, y0, x1, y1 = _bounds(corners, crop.shape[:2])
        self.window = (slice(y0, y1), slice(x0, x1))
        self.shape = (max(0, y1 - y0), max(0, x1 - x0))
        self.any = min(self.shape) >= 4 and between >= 1
        if not self.any:
            return
        self._luma = cv2.cvtColor(crop[self.window], cv2.COLOR_RGB2GRAY)
        self._level = self._luma.astype(np.float32)
        corner = np.array((x0, y0), np.float32)
        self._step = max(1, round(self.size / _MASKS))
        self._grid = (-(-self.shape[0] // self._step), -(-self.shape[1] // self._step))
        self._points, self._corners = own - corner, corners - corner
        self._eyes = self._filled(topology.RIGHT_EYE, topology.LEFT_EYE)
        self._brows = self._full(self._grown(self._filled(topology.RIGHT_BROW, topology.LEFT_BROW), _BROW))
        cheeks = self._coarse(self._level)[self._filled(*_CHEEKS) > 0]
        self._cheeks = float(np.median(cheeks)) if cheeks.size >= 16 else 0.0
        self._pale_bridge = pale_across(crop, points)
        self._form, self._told = form, None if told is None else self._chosen(points, told)

    def found(self) -> np.ndarray:
        """(h, w) float32, 0..1: how surely rims and dark lenses are there."""
        dark, bright, zone = self._contrasts()
        strong = smoothstep(dark, *_BROAD_DARK) * zone
        plain = (self._full(self._filled(_FINE_ZONE)) > 0) & (self._brows == 0)
        if self._told is None:
            # Black rims run over the bridge: what is dark elsewhere alone is hair, or a shadow.
            crossing = self._over_bridge(strong)
            strong = np.maximum(self._no_brows(strong), crossing)
            usual = _usual(dark[(strong > 0.5) & plain], 75)
            black = usual * float(crossing.max() > 0.5)
        else:
            usual = black = _usual(dark[(self._told > 0.5) & plain], 90)
        # Black plastic along the brows is blacker than they are.
        over = smoothstep(dark, *(max(least, share * usual) for least, share in zip(*_BLACKER, strict=True)))
        broad = strong * np.where(self._brows, over, np.float32(1))
        fine = self._fine(black)
        self.lenses = lenses = self._lenses(np.maximum(broad, fine) > 0.3)
        # Skin between black rims is pale, and so it is between them and hair.
        clear = self._pale_bridge * (1 - float(max(lenses.max(), smoothstep(black, *_BROAD_DARK))))
        if clear > 0:
            broad = np.maximum(broad, clear * self._pale(bright, zone))
        broad = np.maximum(broad, lenses)
        if self._told is not None:
            return np.asarray(np.maximum(fine, broad) * self._told)
        # What is left of a brow or a crease is short.
        return np.maximum(_long(fine, _LONG * self.between), broad)

    def _chosen(self, points: np.ndarray, told: np.ndarray) -> np.ndarray:
        """(h, w) float32: what is told over time, in the window. What was found half of the time is a rim, always."""
        matrix = _rims_matrix(points)
        matrix[:, 2] += matrix[:, :2] @ (self.window[1].start, self.window[0].start)
        size, flags = self.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.minimum(cv2.warpAffine(told, matrix, size, flags=flags) * np.float32(_SURE / 255), 1)

    def _fine(self, usual: float) -> np.ndarray:
        """Fine lines (h, w) float32, near the eyes; usual: contrast of black rims, 0 where there are none."""
        reach = max(1, round(_FINE * self.between))
        kernel = cv2.getStructuringElement(self._form, (2 * reach + 1, 2 * reach + 1))
        closed = cv2.morphologyEx(self._luma, cv2.MORPH_CLOSE, kernel).astype(np.float32)
        dark = (closed - self._luma) / (closed + 16)
        bright = cv2.morphologyEx(self._luma, cv2.MORPH_TOPHAT, kernel).astype(np.float32) / (self._level + 16)
        # Beside a black frame a faint line is a crease.
        low, high = (max(least, share * usual) for least, share in zip(_DARK, _LIKE_RIMS, strict=True))
        lines = np.maximum(smoothstep(dark, low, high), smoothstep(bright, *_BRIGHT))
        # Nor are creases under the eyes.
        below = np.ones((max(1, round(_BELOW_EYE * self.between / self._step)) + 1, 1), np.uint8)
        eyes = self._grown(self._eyes, _EYE) | cv2.dilate(self._eyes, below, anchor=(0, len(below) - 1))
        zone = self._full(self._filled(_FINE_ZONE) & ~eyes) & ~self._brows
        return np.asarray(lines * zone, np.float32)

    def _contrasts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How much darker and brighter than what is around it everything is (h, w) float32, as far as broad lines go;
        and (h, w) uint8: where they can be.
        """
        small, contrasts = self._coarse(self._luma), []
        for method, sign in ((cv2.MORPH_CLOSE, np.float32(1)), (cv2.MORPH_OPEN, np.float32(-1))):
            other = cv2.morphologyEx(small, method, _disc(_BROAD * self.size / self._step))
            level = self._enlarged(other).astype(np.float32)
            contrasts.append(sign * (level - self._level) / (np.maximum(level, self._level) + 16))
        zone = np.zeros(self._grid, np.uint8)
        self._fill(zone, self._corners)
        zone &= ~(self._grown(self._filled(_NOSE_TIP), _TIP) | self._grown(self._eyes, _EYE))
        # Hair beside the face is black too.
        zone &= self._grown(self._filled(topology.FACE_OVAL), _OVAL)
        return contrasts[0], contrasts[1], self._full(zone)

    def _pale(self, bright: np.ndarray, zone: np.ndarray) -> np.ndarray:
        """Lines (h, w) float32 of pale plastic frames. Between brow and lid skin is pale, but no paler than cheeks."""
        free = zone & (1 - self._brows)
        if self._cheeks > 0:
            free |= zone & (self._level > _PALER * self._cheeks)
        lines = smoothstep(bright, *_BROAD_BRIGHT) * free
        return self._over_bridge(lines) if self._told is None else lines

    def _over_bridge(self, lines: np.ndarray) -> np.ndarray:
        """Lines (h, w) float32 that cross the bridge of the nose."""
        inner = self._points[[topology.RIGHT_EYE_INNER, topology.LEFT_EYE_INNER]]
        across = inner[1] - inner[0]
        down = np.array([-across[1], across[0]], np.float32)
        one, other = inner[0] + 0.25 * across, inner[1] - 0.25 * across
        zone = np.zeros(self._grid, np.uint8)
        self._fill(zone, np.array([one - 0.6 * down, other - 0.6 * down, other + 0.6 * down, one + 0.6 * down]))
        count, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.25).astype(np.uint8), connectivity=8)
        crossing = np.bincount(labels[self._full(zone) > 0], minlength=count) > 0
        kept = crossing & (stats[:, cv2.CC_STAT_WIDTH] >= _BROAD_LONG * self.size)
        kept[0] = False
        return np.asarray(lines * kept[labels], np.float32)

    def _no_brows(self, lines: np.ndarray) -> np.ndarray:
        """Long lines (h, w) float32 that do not lie along a brow alone."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.25).astype(np.uint8), connectivity=8)
        long = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1) >= _BROAD_LONG * self.size
        beside = np.bincount(labels[self._brows == 0], minlength=count)
        kept = long & (beside >= _BESIDE_BROWS * stats[:, cv2.CC_STAT_AREA])
        kept[0] = False
        return np.asarray(lines * kept[labels], np.float32)

    def _lenses(self, rims: np.ndarray) -> np.ndarray:
        """(h, w) float32: what is as dark as a lens, where the skin around an eye is, rims (h, w) bool left aside. The
        eye itself is not seen.
        """
        found = np.zeros(self._grid, np.float32)
        if self._cheeks > 0:
            dark = smoothstep(1 - self._coarse(self._level) / (self._cheeks + 1), *_LENS)
            free = self._coarse(rims.astype(np.float32)) < 0.5
            for eye in (topology.RIGHT_EYE, topology.LEFT_EYE):
                own = self._filled(eye)
                ring = self._grown(own, _AROUND_EYE) & ~own
                skin = (ring > 0) & free
                share = float(smoothstep(float(dark[skin].mean()), *_HIDDEN)) if skin.sum() > 0.3 * ring.sum() else 0.0
                if share > 0:
                    near = (dark > 0.5) & (self._grown(own, _LENS_REACH) > 0)
                    np.maximum(found, np.float32(share) * _touching(near.astype(np.uint8), ring), out=found)
        return self._enlarged(found)

    def _filled(self, *rings: tuple[int, ...]) -> np.ndarray:
        """(h', w') uint8, on the grid of masks: 1 within the hulls of landmarks."""
        mask = np.zeros(self._grid, np.uint8)
        for ring in rings:
            self._fill(mask, cv2.convexHull(self._points[list(ring)])[:, 0])
        return mask

    def _fill(self, mask: np.ndarray, corners: np.ndarray) -> None:
        """Draw a convex polygon (N, 2), in pixels of the window, onto a mask of the grid."""
        places = (corners + 0.5) / self._step - 0.5
        cv2.fillConvexPoly(mask, np.rint(places * 16).astype(np.int32), 1, shift=4)

    def _grown(self, mask: np.ndarray, margin: float) -> np.ndarray:
        return np.asarray(cv2.dilate(mask, _disc(margin * self.size / self._step)))

    def _coarse(self, image: np.ndarray) -> np.ndarray:
        """An image (h, w) on the grid of masks (h', w'). The last row and column may be held a little longer."""
        if self._step == 1:
            return image
        down, right = (n * self._step - m for n, m in zip(self._grid, self.shape, strict=True))
        whole = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(whole, self._grid[::-1], interpolation=cv2.INTER_AREA))

    def _enlarged(self, image: np.ndarray) -> np.ndarray:
        """An image (h', w') of the grid on the window (h, w), linearly between."""
        if self._step == 1:
            return image
        rows, columns = self.shape
        size = (self._grid[1] * self._step, self._grid[0] * self._step)
        return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)[:rows, :columns])

    def _full(self, mask: np.ndarray) -> np.ndarray:
        """A mask (h', w') of the grid, 0 or 1, on the window (h, w)."""
        return np.asarray((self._enlarged(mask * np.uint8(255)) > 127).astype(np.uint8))


def _corners(points: np.ndarray, high: float) -> np.ndarray:
    """(4, 2) float32: an upright rectangle of the face's around its eyes, in which glasses can be."""
    pupils = points[[topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0]]]
    across = pupils[1] - pupils[0]
    down = np.array([-across[1], across[0]])
    left, right, above, below = _ZONE
    middle = pupils.mean(0)
    corners = [(left, above), (right, above), (right, below), (left, below)]
    return np.array([middle + x * across + y * high * down for x, y in corners], np.float32)


def _rims_matrix(points: np.ndarray) -> np.ndarray:
    """(2, 3) float64: from pixels of points (478, 2 or 3) to those of a picture of size RIMS around the eyes."""
    corners = points[[*_CORNERS[0], *_CORNERS[1]], :2].astype(np.float64).reshape(2, 2, 2).mean(1)
    across = corners[1] - corners[0]
    scale = RIMS[1] / _AROUND / max(float(np.hypot(*across)), 1e-6)
    cos, sin = scale * across / max(float(np.hypot(*across)), 1e-6)
    matrix = np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])
    middle = np.array([(RIMS[1] - 1) / 2, _HIGH * (RIMS[0] - 1)])
    matrix[:, 2] = middle - matrix[:, :2] @ corners.mean(0)
    return matrix


def _usual(contrasts: np.ndarray, percentile: float) -> float:
    return float(np.percentile(contrasts, percentile)) if contrasts.size >= 16 else 0.0


def _long(lines: np.ndarray, least: float) -> np.ndarray:
    """Lines (h, w) float32 without those that extend over less than so many pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((lines > 0.25).astype(np.uint8), connectivity=8)
    extent = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1)
    return np.asarray(lines * (extent >= least)[labels], np.float32)


def _touching(mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Parts of a mask (h, w) uint8 that touch another (h, w), with what glints within them."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    result = np.zeros_like(mask)
    for contour in contours:
        part = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED)
        if (part & other).any():
            result |= part
    return result


def _bounds(points: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    size = np.array(shape[::-1])
    x0, y0 = np.clip(np.floor(points.min(0)) - 4, 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(points.max(0)) + 5, 0, size).astype(int).tolist()
    return x0, y0, x1, y1


def _disc(radius: float) -> np.ndarray:
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
