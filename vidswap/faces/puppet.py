"""Puppet: one photograph of a head made to turn, nod, blink and open its mouth.

The head is a relief: the depth of the 478 landmarks inside the face, sinking to the depth of the ears at the outline of
the head. Turned about the middle of the head, the relief's points move in the picture; the displacement dies away
through hair and neck, so that it is one smooth field over the whole picture, without tears and, within
`LARGEST_ANGLES`, without folds. Lids and jaw move before that, in the photograph's own pose; between the lips a mouth
is painted. Knows nothing of time or video.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.faces import topology
from vidswap.graph.errors import InputError

LARGEST_ANGLES = (22.0, 15.0, 10.0)
"""Yaw, pitch, roll in degrees, of either sign, up to which the field does not fold and a head keeps its form."""

_GRID = 2  # picture pixels per node of the displacement field, which is smooth; 4 where speed counts
_DEPTH_GRID = 4  # picture pixels per node of the depth relief
_LID_STRIP = 0.11  # height of skin above the lashes that a closing lid unrolls, in distances between the irises
_MOUTH_DARK = np.array([52.0, 20.0, 18.0])
_TEETH = np.array([206.0, 168.0, 132.0])
_TONGUE = np.array([148.0, 70.0, 66.0])


@dataclass(frozen=True)
class Pose:
    """A moment of the puppet.

    yaw, pitch, roll: degrees from the photograph's own pose, about the middle of the head (yaw > 0 turns the nose to
    the right of the picture, pitch > 0 lifts it, roll > 0 turns clockwise); sway: (2,) shift of the head, in distances
    between the irises; blink: 0 as in the photograph to 1, lids closed; jaw: drop of the lower lip in distances between
    the irises, 0 to 0.4.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    sway: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0
    jaw: float = 0.0


class Puppet:
    """A photograph (h, w, 3) uint8 RGB with the landmarks (478, 3) of its face, ready to be posed."""

    def __init__(self, image: np.ndarray, landmarks: np.ndarray, *, grid: int = _GRID) -> None:
        if landmarks.shape != (topology.POINTS, 3):
            raise ValueError(f"landmarks are (478, 3), got {landmarks.shape}")
        self.image = image
        points = landmarks.astype(np.float64)
        right, left = points[topology.RIGHT_IRIS[0], :2], points[topology.LEFT_IRIS[0], :2]
        self.unit = float(np.linalg.norm(left - right))
        if self.unit < 8:
            raise InputError(f"the face is too small to be moved: {self.unit:.0f} px between the eyes; 8 or more it is")
        self._across = (left - right) / self.unit
        self._origin = (left + right) / 2
        self.own = self.to_own(points[:, :2])
        self._relief = _Relief(self, points, grid)
        self._eyes = [_Lid(self.own[list(ring)]) for ring in (topology.RIGHT_EYE, topology.LEFT_EYE)]
        self._mouth = _Mouth(self.own)

    def posed(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """The photograph with lids and mouth moved, (h, w, 3) uint8, and the backward field of the head's turn.

        The field is (h, w, 2) float32: the place (x, y) of that photograph that each pixel of the result shows.
        """
        return self.expression(pose), self.field(pose)

    def expression(self, pose: Pose) -> np.ndarray:
        """The photograph with lids and mouth moved, the head not."""
        image = self.image
        if pose.blink > 0:
            for lid in self._eyes:
                image = self._moved(image, lid, pose.blink)
        if pose.jaw > 0:
            image = self._moved(image, self._mouth, pose.jaw)
        return image

    def field(self, pose: Pose) -> np.ndarray:
        """(h, w, 2) float32 backward field of the head's turn; zero displacement along the picture's border."""
        return self._relief.backward(pose, self.unit)

    def carried(self, points: np.ndarray, pose: Pose) -> np.ndarray:
        """(N, 2) float64: where the head's turn takes points (N, 2) of the photograph."""
        forward = self._relief.forward(pose, self.unit).astype(np.float32)
        at = (np.asarray(points, np.float64) / self._relief.grid).astype(np.float32)
        moved = cv2.remap(forward, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return np.asarray(points + moved.astype(np.float64))

    def _moved(self, image: np.ndarray, part: _Lid | _Mouth, amount: float) -> np.ndarray:
        x0, y0, x1, y1 = self._pixel_box(part.box)
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float64)
        u, v = np.moveaxis(self.to_own(np.stack([x, y], -1)), -1, 0)
        sampled, painted, alpha = part.backward(u, v, amount, self.unit)
        place = self.to_pixels(np.stack([u, sampled], -1)).astype(np.float32)
        moved = cv2.remap(image, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
        still = sampled == v
        moved[still] = image[y0:y1, x0:x1][still]
        shown = moved + alpha[..., None] * (painted - moved)
        result = image.copy()
        result[y0:y1, x0:x1] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
        return result

    def to_own(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) in the face's own frame: from the middle of the eyes, along and across them, unit 1."""
        a, b = self._across
        moved = (points - self._origin) / self.unit
        return np.stack([moved[..., 0] * a + moved[..., 1] * b, moved[..., 1] * a - moved[..., 0] * b], -1)

    def to_pixels(self, own: np.ndarray) -> np.ndarray:
        """The inverse of `to_own`."""
        a, b = self._across
        turned = np.stack([own[..., 0] * a - own[..., 1] * b, own[..., 0] * b + own[..., 1] * a], -1)
        return turned * self.unit + self._origin

    def _pixel_box(self, box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        u0, v0, u1, v1 = box
        corners = self.to_pixels(np.array([[u0, v0], [u1, v0], [u0, v1], [u1, v1]]))
        height, width = self.image.shape[:2]
        x0, y0 = np.clip(np.floor(corners.min(0)), 0, [width - 1, height - 1]).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(0)) + 1, 1, [width, height]).astype(int)
        return int(x0), int(y0), int(x1), int(y1)


class _Relief:
    """Depth of the head over the picture, and how far each pixel goes along with the head."""

    def __init__(self, puppet: Puppet, points: np.ndarray, grid: int) -> None:
        self.grid = grid
        own = puppet.own
        height, width = self._shape = puppet.image.shape[0], puppet.image.shape[1]
        ears = points[[234, 454]]
        self._pivot = ears[:, :2].mean(0)
        half = float(np.abs(own[[234, 454], 0]).mean())
        y, x = np.mgrid[0:height:grid, 0:width:grid].astype(np.float64)
        u, v = np.moveaxis(puppet.to_own(np.stack([x, y], -1)), -1, 0)
        middle = float(own[[234, 454], 1].mean())
        chin = float(own[topology.CHIN, 1])
        up, down = (2.0 * half), (chin - middle) * 1.12
        reach = np.hypot(u / (1.3 * half), (v - middle) / np.where(v < middle, up, down))
        border = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) / (0.5 * puppet.unit)
        # The neck follows for less than the hair does, whose outline would else be dragged over the background.
        limit = 1.75 - 0.25 * _falls(v - middle, -0.6, 0.6)
        self._weight = _falls(reach, 1.0, limit) * (1 - _falls(border, 0.0, 1.0))
        self._depth = self._filled(points, float(ears[:, 2].mean()), reach, (x, y))
        self._x, self._y = x, y

    def _filled(
        self, points: np.ndarray, back: float, reach: np.ndarray, places: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Depth in front of the ears, pixels: the mesh's inside the face, harmonic between it and the outline."""
        step = _DEPTH_GRID // self.grid
        inside = np.zeros(reach[::step, ::step].shape)
        known = np.zeros(inside.shape, bool)
        scaled = points[:, :2] / _DEPTH_GRID
        front = np.maximum(back - points[:, 2], 0.0)
        rows, columns = np.mgrid[0 : inside.shape[0], 0 : inside.shape[1]]
        mesh = topology.triangles(holes=False)
        # The outermost triangles are so steep that the field would fold over them.
        for triangle in mesh[~np.isin(mesh, topology.FACE_OVAL).any(1)]:
            a, b, c = scaled[triangle]
            area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
            if abs(area) < 1e-9:
                continue
            x0, y0 = np.maximum(np.floor(np.min([a, b, c], 0)).astype(int), 0)
            x1, y1 = np.ceil(np.max([a, b, c], 0)).astype(int) + 1
            here = np.s_[y0:y1, x0:x1]
            x, y = columns[here] - a[0], rows[here] - a[1]
            s = (x * (c[1] - a[1]) - y * (c[0] - a[0])) / area
            t = (y * (b[0] - a[0]) - x * (b[1] - a[1])) / area
            covered = (s >= 0) & (t >= 0) & (s + t <= 1)
            depth = front[triangle[0]] * (1 - s - t) + front[triangle[1]] * s + front[triangle[2]] * t
            inside[here][covered] = np.maximum(inside[here], depth)[covered]
            known[here] |= covered
        outside = reach[::step, ::step] >= 1.15
        fixed = known | outside
        depth = inside.copy()
        for _ in range(600):
            padded = np.pad(depth, 1, mode="edge")
            mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
            depth = np.where(fixed, inside, mean)
        smooth = cv2.GaussianBlur(depth, (0, 0), 0.06 * float(np.ptp(points[:, 0])) / _DEPTH_GRID)
        x, y = places
        at = (x / _DEPTH_GRID).astype(np.float32), (y / _DEPTH_GRID).astype(np.float32)
        return cv2.remap(smooth.astype(np.float32), *at, cv2.INTER_LINEAR).astype(np.float64)

    def forward(self, pose: Pose, unit: float) -> np.ndarray:
        """(h', w', 2) float64 displacement of the photograph's points, on the grid, in pixels."""
        turn = _rotation(pose)
        x, y, z = self._x - self._pivot[0], self._y - self._pivot[1], -self._depth
        turned = [turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z for i in range(3)]
        distance = 14.0 * unit
        nearer = (distance + z) / (distance + turned[2])
        across = turned[0] * nearer - x + pose.sway[0] * unit
        down = turned[1] * nearer - y + pose.sway[1] * unit
        return np.stack([across, down], -1) * self._weight[..., None]

    def backward(self, pose: Pose, unit: float) -> np.ndarray:
        """(h, w, 2) float32 places in the photograph, found by fixed-point iteration on the grid."""
        forward = self.forward(pose, unit).astype(np.float32)
        there = forward
        grid_y, grid_x = np.mgrid[0 : forward.shape[0], 0 : forward.shape[1]].astype(np.float32)
        for _ in range(24):
            at = grid_x - there[..., 0] / self.grid, grid_y - there[..., 1] / self.grid
            there = 0.2 * there + 0.8 * cv2.remap(forward, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        height, width = self._shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        full = cv2.remap(there, x / self.grid, y / self.grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.stack([x - full[..., 0], y - full[..., 1]], -1)


class _Lid:
    """Upper lid of one eye. Its skin unrolls from a strip above the lashes; the eyeball stays behind it."""

    def __init__(self, ring: np.ndarray) -> None:
        half = len(ring) // 2
        upper, lower = ring[: half + 1], np.concatenate([ring[half:], ring[:1]])
        self._upper, self._lower = _curve(upper), _curve(lower)
        low, high = ring.min(0), ring.max(0)
        self.box = (float(low[0]), float(low[1] - 2 * _LID_STRIP), float(high[0]), float(high[1] + 0.05))

    def backward(
        self, u: np.ndarray, v: np.ndarray, blink: float, unit: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place v of the photograph shown at (u, v); colour and alpha of what is painted over it."""
        upper, lower = np.interp(u, *self._upper), np.interp(u, *self._lower)
        edge = upper + min(blink, 1.0) * np.maximum(lower - upper, 0)
        top = upper - _LID_STRIP
        on_lid = (v > top) & (v < edge)
        sampled = np.where(on_lid, top + (v - top) * _LID_STRIP / (edge - top), v)
        # Lashes and the shadow that they throw, where the lid has come down.
        down = np.clip((edge - upper) * unit / 2, 0, 1)
        lash = np.exp(-(((v - edge) * unit / 1.2) ** 2)) * 0.45 * down
        return sampled, np.full((*u.shape, 3), 40.0), lash


class _Mouth:
    """Jaw and lower lip go down along the hinge; the upper lip, and teeth that the photograph shows, stay."""

    def __init__(self, own: np.ndarray) -> None:
        ring = own[list(topology.LIPS_INNER)]
        half = len(ring) // 2
        self._upper = _curve(ring[: half + 1])
        self._seam = _curve(np.concatenate([ring[half:], ring[:1]]))
        self._middle = float((ring[0, 0] + ring[half, 0]) / 2)
        self._half = float(abs(ring[half, 0] - ring[0, 0]) / 2)
        self._chin = float(own[topology.CHIN, 1])
        shown = float(np.max(np.interp(ring[:, 0], *self._seam) - np.interp(ring[:, 0], *self._upper)))
        self._paints_teeth = shown < 0.06
        self.box = (self._middle - 1.5, float(ring[:, 1].min()) - 0.1, self._middle + 1.5, self._chin + 1.1)

    def backward(
        self, u: np.ndarray, v: np.ndarray, jaw: float, unit: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place v of the photograph shown at (u, v); colour and alpha of the inside of the mouth."""
        seam = np.interp(u, *self._seam)
        across = (u - self._middle) / self._half
        opening = np.clip(1 - across**2, 0, 1) ** 0.75
        edge = seam + jaw * opening
        low = v > (seam + edge) / 2
        place = np.maximum(v - jaw, seam)
        for _ in range(24):
            place = np.maximum(0.3 * place + 0.7 * (v - jaw * self._goes_along(u, place, seam, opening)), seam)
        sampled = np.where(low & (v > seam), place, v)
        gap = (edge - seam) * unit
        alpha = np.clip(np.minimum((v - seam) * unit + 0.5, (edge - v) * unit + 0.5) / 1.5, 0, 1) * np.clip(gap, 0, 1)
        return sampled, self._inside(across, v - seam, edge - seam), alpha

    def _goes_along(self, u: np.ndarray, v: np.ndarray, seam: np.ndarray, opening: np.ndarray) -> np.ndarray:
        """How far a point of the photograph goes with the jaw, 0..1."""
        below = 1 - (1 - opening) * np.exp(-(((v - seam) / 0.4) ** 2))
        return below * _falls(np.abs(u - self._middle), 0.5, 1.35) * _falls(v, self._chin + 0.05, self._chin + 1.0)

    def _inside(self, across: np.ndarray, depth: np.ndarray, gap: np.ndarray) -> np.ndarray:
        colour = np.broadcast_to(_MOUTH_DARK, (*across.shape, 3)).copy()
        tongue = np.clip((depth - 0.5 * gap) / np.maximum(0.5 * gap, 1e-6), 0, 1) * np.clip(1 - across**2 * 2, 0, 1)
        colour += (0.55 * tongue * np.clip(gap / 0.2, 0, 1))[..., None] * (_TONGUE - colour)
        if self._paints_teeth:
            length = np.minimum(0.09 * (1 - 0.4 * across**2), 0.45 * gap)
            within = np.clip((length - depth) / 0.025 + 0.5, 0, 1) * _falls(np.abs(across), 0.5, 0.85)
            between = 1 - 0.18 * np.exp(-(((((across * 3.6) % 1.0) - 0.5) / 0.09) ** 2))
            shade = np.clip(0.55 + depth / 0.09, 0, 1) * (1 - 0.45 * across**2) * between
            colour += (within * 0.9 * np.clip(gap / 0.14, 0, 1))[..., None] * (_TEETH * shade[..., None] - colour)
        return colour


def _curve(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(points[:, 0], kind="stable")
    return points[order, 0], points[order, 1]


def _falls(value: np.ndarray, start: float | np.ndarray, stop: float | np.ndarray) -> np.ndarray:
    """1 up to `start`, 0 from `stop` on, a cubic between."""
    t = np.clip((value - start) / (stop - start), 0, 1)
    return 1 - t * t * (3 - 2 * t)


def _rotation(pose: Pose) -> np.ndarray:
    # z points away from the viewer: the nose, at -z, goes right for a negative turn about y (down).
    about = np.radians([[0.0, -pose.yaw, 0.0], [-pose.pitch, 0.0, 0.0], [0.0, 0.0, pose.roll]])
    yaw, pitch, roll = (cv2.Rodrigues(a)[0] for a in about)
    turned: np.ndarray = yaw @ pitch @ roll
    return turned
