"""Reenactment: a portrait that moves as another face does, relative to a neutral moment of that face.

What the driver's face does is told apart from who it is: the turn of its head relative to the neutral moment, and what
of the change of its shape in the frame of the mean face is expression. The portrait's own mesh takes that change in the
portrait's own pose; the whole head then turns as a relief (`Puppet`), whose field dies away through hair and neck,
without tears. Between the lips stands what the driver shows there, in the portrait's light, or the portrait's own teeth
(`teeth`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from . import topology
from .matching import smoothstep
from .pose import HeadPose, angles_of, fit_pose
from .puppet import LARGEST_ANGLES, Pose, Puppet
from .shape import expression, in_mean_frame
from .teeth import Teeth, absorbed, of_jaw

_RING = 1.55  # how far out of the face's outline, from its middle, the skin is drawn along
_SHOWN_LESS = (1.3, 1.3, 1.0)  # yaw, pitch, roll: a relief is turned so much farther to be seen turned
_FREE = 0.5  # of the largest angles: up to there heads turn as far as the driver's
_LARGEST_SWAY = 0.25  # distances between the eyes
_OPEN_MOUTH = (0.025, 0.06)  # gap of the lips, in distances between the eyes: from here the inside is the driver's
_RUDDIER, _TINT = (1.0, 1.3), 0.35  # lips, red to blue, than the driver's; what of their tint is then taken for light
_CLOSED = 30.0  # cost of a gap of the lips, in distances between the eyes, where turns by 20 degrees cost 1
_TALKS = 0.02  # distances between the eyes: lips that part by less than about this to and fro are held, not talking
_SMALL = 480  # pixels: in smaller faces contours are drawn at twice the size: triangles there are as small as pixels
_JUMP = 3.0  # pixels: so far apart are places that neighbours show where one part lies over another
_SHIFT = 4  # fractional bits of cv2's polygons


def neutral_rows(landmarks: np.ndarray) -> tuple[int, int]:
    """Of faces (N, 478, 3) the one whose head stands as it mostly does, and the one at rest: mouth closed, eyes open.

    They are one where they can be. A face that talks closes its mouth seldom, and hardly waits until its head is still.
    """
    shapes = np.stack([in_mean_frame(points) for points in landmarks])
    angles = np.array([fit_pose(points).angles for points in landmarks])
    turned = np.abs(angles - 0.5 * np.median(angles, axis=0)).sum(1) / 20.0
    gaps = np.array([mouth_gap(shape) for shape in shapes])
    eyes = np.array([_eye_gap(shape) for shape in shapes])
    wide = 8.0 * (np.median(eyes) - eyes).clip(0)
    still = int(np.argmin(turned + 6.0 * (gaps - gaps.min()) + wide))
    at_rest = int(np.argmin(turned + _CLOSED * (gaps - gaps.min()) + wide))
    return still, still if gaps[still] < _OPEN_MOUTH[0] else at_rest


def at_rest(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of faces (N, 478, 3) the one whose head stands as it mostly does, and the one at rest, each (478, 3).

    Where the mouth is closed in none, the one at rest is closed as this mouth closes: the heights of lips and jaw go
    with the gap of the lips, by least squares over all faces, and are followed to a gap of 0. A mouth that is held
    open without moving is left as it is.
    """
    neutral, resting = neutral_rows(landmarks)
    shapes = np.stack([in_mean_frame(points) for points in landmarks])
    gaps = np.array([mouth_gap(shape) for shape in shapes])
    still_open = gaps[resting] * _openness(gaps[resting])
    if still_open <= 0:
        return landmarks[neutral], landmarks[resting]
    away, heights = gaps - gaps.mean(), shapes[..., 1] - shapes[..., 1].mean(0)
    slopes = away @ heights / (np.sum(away**2) + len(away) * _TALKS**2)
    closed = shapes[resting]
    closed[:, 1] -= still_open * of_jaw() * slopes
    pose = fit_pose(landmarks[resting])
    return landmarks[neutral], np.asarray(pose.scale * closed @ pose.rotation.T + pose.translation, landmarks.dtype)


def mouth_gap(shape: np.ndarray) -> float:
    """Distance of the inner lips of a shape (478, 3) in the mean frame, in distances between the eyes."""
    return float(np.linalg.norm(shape[13, :2] - shape[14, :2]))


def _eye_gap(shape: np.ndarray) -> float:
    return float(shape[145, 1] - shape[159, 1] + shape[374, 1] - shape[386, 1])


def softly_held(value: float, most: float) -> float:
    """`value` itself as far as half of `most`, from there on slower and slower, never beyond `most`. Odd and smooth."""
    free = _FREE * most
    beyond = abs(value) - free
    if beyond <= 0:
        return value
    return math.copysign(free + (most - free) * math.tanh(beyond / (most - free)), value)


def _openness(gap: float) -> float:
    """0..1: how far a gap of the lips, in distances between the eyes, shows what is between them."""
    return float(np.clip((gap - _OPEN_MOUTH[0]) / np.ptp(_OPEN_MOUTH), 0, 1))


@dataclass(frozen=True)
class Mouth:
    """What a driver's frame shows between the lips: `crop` (h, w, 3) uint8 and the landmarks (478, 2) in it."""

    crop: np.ndarray
    points: np.ndarray


class Reenactor:
    """A portrait ready to be driven.

    Args:
        image: (h, w, 3) uint8 RGB.
        landmarks: (478, 3) of its face.
        neutral: (478, 3) landmarks of the driver, its head as it mostly is.
        resting: (478, 3) of the driver, its face at rest; None where `neutral` is.

    Raises InputError for a face too small to be moved.
    """

    def __init__(
        self, image: np.ndarray, landmarks: np.ndarray, neutral: np.ndarray, resting: np.ndarray | None = None
    ) -> None:
        self.image = np.ascontiguousarray(image)
        self._points = landmarks.astype(np.float64)
        self._pose: HeadPose = fit_pose(landmarks)
        self._neutral = fit_pose(neutral)
        self._neutral_shape = in_mean_frame(neutral if resting is None else resting)
        self._puppet = Puppet(self.image, landmarks, grid=4)
        outline = self._points[list(topology.FACE_OVAL), :2]
        middle = outline.mean(0)
        limit = np.array(image.shape[1::-1], np.float64) - 1
        self._ring = np.clip(middle + _RING * (outline - middle), 0, limit)
        self._triangles = _with_ring(self._points[:, 2])
        lip_skin = list(topology.LIPS_OUTER)
        own_gap = mouth_gap(in_mean_frame(landmarks))
        opened = _openness(own_gap)
        self._opened_already = own_gap * opened
        self._teeth = Teeth(self.image, landmarks, opened, self._puppet.unit)
        self._light = _mean_colour(self.image, self._points[lip_skin, :2])

    def perform(self, landmarks: np.ndarray, share: float = 1.0, mouth: Mouth | None = None) -> np.ndarray:
        """(h, w, 3) uint8: the portrait as the driver's landmarks (478, 3) have it; `share` 0..1 eases to rest."""
        image = self._expressed(landmarks, share, mouth)
        field = self._puppet.field(self._turn(landmarks, share))
        return np.asarray(cv2.remap(image, field, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))

    def _turn(self, landmarks: np.ndarray, share: float) -> Pose:
        pose = fit_pose(landmarks)
        relative = angles_of(pose.rotation @ self._neutral.rotation.T)
        yaw, pitch, roll = (
            share * softly_held(more * float(angle), most)
            for angle, more, most in zip(relative, _SHOWN_LESS, LARGEST_ANGLES, strict=True)
        )
        moved = (pose.translation[:2] - self._neutral.translation[:2]) / self._neutral.scale
        sway = share * 0.5 * _LARGEST_SWAY * np.tanh(moved / _LARGEST_SWAY)
        return Pose(yaw, pitch, roll, (float(sway[0]), float(sway[1])))

    def _change(self, shape: np.ndarray) -> np.ndarray:
        """(478, 3) in the mean frame: how the driver's shape (478, 3) there changes the portrait's expression."""
        return absorbed(expression(shape - self._neutral_shape), self._opened_already)

    def _placed(self, shape: np.ndarray, share: float) -> np.ndarray:
        """(478, 2) where the portrait's points go by the driver's expression, in the portrait's own pose."""
        change = share * self._change(shape)
        return np.asarray(self._points[:, :2] + self._pose.scale * (change @ self._pose.rotation.T)[:, :2])

    def _expressed(self, landmarks: np.ndarray, share: float, mouth: Mouth | None) -> np.ndarray:
        """The portrait in its own pose with the driver's change of expression."""
        shape = in_mean_frame(landmarks)
        placed = self._placed(shape, share)
        before = np.concatenate([self._points[:, :2], self._ring])
        after = np.concatenate([placed, self._ring])
        low = np.floor(np.minimum(after.min(0), before.min(0))).astype(int).clip(0)
        high = np.minimum(np.ceil(after.max(0)).astype(int) + 1, self.image.shape[1::-1])
        skin, holes = self._triangles, topology.eye_triangles()
        mesh = np.concatenate([skin, holes, topology.mouth_triangles()])
        # Lids and lips are drawn last: they lie over what they hide. Triangles that have turned over lie behind all.
        over = _signs(before[skin]) * _signs(after[skin]) < 0
        order = np.concatenate([np.flatnonzero(over), np.arange(len(skin), len(mesh)), np.flatnonzero(~over)])
        maps = _affine(after[mesh] - low, before[mesh])
        maps[len(skin) : len(skin) + len(holes)] = self._eyeballs(before, after - low, holes)
        stay = np.array([[[1.0, 0.0, low[0]], [0.0, 1.0, low[1]]]])
        drawn = _Drawn(after[mesh] - low, order, np.concatenate([stay, maps]).astype(np.float32), high - low)
        between_lips = len(skin) + len(holes)
        label, place = self._read_from(drawn, 1, between_lips, after - low)
        result = self.image.copy()
        part = _read(self.image, place)
        jumps = _jumps(place)
        if max(part.shape) <= _SMALL and jumps.any():
            fine = _read(self.image, self._read_from(drawn, 2, between_lips, after - low)[1])
            part[jumps] = cv2.resize(fine, part.shape[1::-1], interpolation=cv2.INTER_AREA)[jumps]
        still = label == 0
        part[still] = self.image[low[1] : high[1], low[0] : high[0]][still]
        inside = label > between_lips
        opened = share * _openness(mouth_gap(shape)) * (1 - self._teeth.shown)
        if mouth is not None and opened > 0:
            part = self._with_mouth(part, mouth, after - low, inside, opened)
        part = self._teeth.darkened(part, place, inside, after - low)
        result[low[1] : high[1], low[0] : high[0]] = part
        return result

    def _read_from(
        self, drawn: _Drawn, finer: int, between_lips: int, after: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is drawn at so many times the size, and from where, teeth in their length; see `_Drawn.at`."""
        label, place = drawn.at(finer)
        self._teeth.hung(place, label > between_lips, after, finer)
        return label, place

    @staticmethod
    def _eyeballs(before: np.ndarray, after: np.ndarray, holes: np.ndarray) -> np.ndarray:
        """Maps of the eyes' triangles: a closing lid comes down over an eyeball that stays; a widened eye stretches."""
        stretched = _affine(after[holes], before[holes])
        half = len(holes) // 2
        for rows, ring in ((slice(0, half), topology.RIGHT_EYE), (slice(half, None), topology.LEFT_EYE)):
            corners = [ring[0], ring[len(ring) // 2]]
            shift = before[corners].mean(0) - after[corners].mean(0)
            narrower = _area(after[list(ring)]) < _area(before[list(ring)])
            if narrower:
                stretched[rows] = [[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]
        return stretched

    def _with_mouth(
        self, part: np.ndarray, mouth: Mouth, after: np.ndarray, inside: np.ndarray, opened: float
    ) -> np.ndarray:
        ring = list(topology.LIPS_INNER)
        # One affine map for the whole opening, so that teeth are not bent by the triangles.
        known = np.column_stack([after[ring], np.ones(len(ring))])
        found = np.linalg.lstsq(known, mouth.points[ring].astype(np.float64), rcond=None)[0].T
        size = (part.shape[1], part.shape[0])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        shown = cv2.warpAffine(mouth.crop, found, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        gain = np.maximum(self._light, 1.0) / np.maximum(
            _mean_colour(mouth.crop, mouth.points[list(topology.LIPS_OUTER)]), 8.0
        )
        # What is ruddier in the portrait is skin more than light: teeth would be orange.
        light, ruddier = float(gain.mean()), float(smoothstep(gain[0] / gain[2], *_RUDDIER))
        gain = light * (gain / light) ** (1 - ruddier * (1 - _TINT))
        shown = np.clip(shown * np.clip(gain, 0.4, 2.0), 0, 255)
        sigma = max(0.6, 0.012 * self._puppet.unit)
        alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigma)[..., None] * np.float32(opened)
        return np.asarray(np.rint(part + alpha * (shown - part)).clip(0, 255), np.uint8)


class _Drawn:
    """Triangles (N, 3, 2) in the pixels of a part of the picture of size (2,), drawn one over the other in an order
    (N,); maps (N + 1, 2, 3) float32 say which place of the picture each shows, the first one what none covers.
    """

    def __init__(self, triangles: np.ndarray, order: np.ndarray, maps: np.ndarray, size: np.ndarray) -> None:
        self._triangles, self._order, self._maps, self._size = triangles, order, maps, size

    def at(self, finer: int) -> tuple[np.ndarray, np.ndarray]:
        """At so many times the size, (h, w) int32: one more than the triangle, 0 for none; and (h, w, 2) float32: the
        place in the picture.
        """
        width, height = finer * self._size
        label = np.zeros((height, width), np.int32)
        corners = np.round(((self._triangles + 0.5) * finer - 0.5) * (1 << _SHIFT)).astype(np.int32)
        for number in self._order.tolist():
            cv2.fillConvexPoly(label, corners[number], number + 1, cv2.LINE_8, _SHIFT)
        y, x = (np.mgrid[0:height, 0:width].astype(np.float32) + 0.5) / finer - 0.5
        chosen = self._maps[label]
        return label, chosen[..., 0] * x[..., None] + chosen[..., 1] * y[..., None] + chosen[..., 2]


def _read(image: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.remap(image, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def _jumps(place: np.ndarray) -> np.ndarray:
    """(h, w) bool: where places (h, w, 2) beside one another are far apart, and the pixels next to it."""
    found = np.zeros(place.shape[:2], np.uint8)
    for axis in (0, 1):
        apart = np.abs(np.diff(place, axis=axis)).max(-1) > _JUMP
        found |= np.pad(apart, [(0, axis == 0), (0, axis == 1)])
    return np.asarray(cv2.dilate(found, np.ones((3, 3), np.uint8)) > 0)


def _with_ring(depth: np.ndarray) -> np.ndarray:
    """Triangles of the mesh and of a band about it, whose outer points are numbered from 478. In drawing order.

    depth: (478,) of the portrait's points; where its face is turned, the near cheek hides the far one.
    """
    oval = topology.FACE_OVAL
    count = len(oval)
    band = []
    for i in range(count):
        j = (i + 1) % count
        a, b, c, d = oval[i], oval[j], topology.POINTS + i, topology.POINTS + j
        band += [(a, c, d), (a, d, b)]
    mesh = topology.triangles()
    return np.concatenate([np.array(band, np.int32), mesh[np.argsort(-depth[mesh].mean(1), kind="stable")]])


def _affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N, 2, 3) maps that take triangles source (N, 3, 2) to target (N, 3, 2); flat ones are moved by their middle."""
    edges = np.stack([source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]], -1)
    wanted = np.stack([target[:, 1] - target[:, 0], target[:, 2] - target[:, 0]], -1)
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    flat = np.abs(determinant) < 1e-3
    edges[flat] = np.eye(2)
    wanted[flat] = np.eye(2)
    linear = wanted @ np.linalg.inv(edges)
    offset = target.mean(1) - np.einsum("nij,nj->ni", linear, source.mean(1))
    return np.concatenate([linear, offset[..., None]], -1)


def _signs(corners: np.ndarray) -> np.ndarray:
    """(N,) 1, 0 or -1: the sense in which triangles (N, 3, 2) run."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(np.sign(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]))


def _area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


def _mean_colour(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) mean of the pixels under points (N, 2), those beyond the picture held at its edge."""
    at = np.rint(points).astype(int).clip(0, np.array(image.shape[1::-1]) - 1)
    return np.asarray(cv2.blur(image, (3, 3))[at[:, 1], at[:, 0]].mean(0, dtype=np.float64))
