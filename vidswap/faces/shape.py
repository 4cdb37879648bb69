"""Identity and expression of a face's shape, told apart frame by frame.

Landmarks are brought into the frame of the mean face (pose and scale removed). What then differs between two faces is
identity and expression together. In each region of the face a few directions are known in which faces move
(`face_motion.npz`: principal components of how seven filmed people's landmarks leave their own median, left and right
mirrored); what a difference has in these directions is taken for expression, the rest for identity. The split is
linear and has no memory: the target's expression never leaks into the difference, however it moves, so that the result
moves with the target and by as much.

People differ in these directions too, by as much as they move: in how high their brows lie or how long their upper lip
is. Where it is known how a target is at rest (`resting`), a share of what differs from that is identity as well. How
far lids and lips are open, and how far the mouth's corners are raised, stays the target's.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np

from . import topology
from .matching import smoothstep
from .pose import HeadPose, fit_pose

REGIONS = ("brows", "eyes", "nose", "mouth", "skin")
SHUT = (0.04, 0.13)
"""Height to width of an eye: shut for sure below, not quite above."""
_THE_PERSONS = {"brows": 0.6, "eyes": 0.7, "mouth": 0.6}
"""What of a difference between two people in the directions in which faces move is theirs: about its variance between
twelve people, over that and the variance within a single shot of each. None of the nose and the rest, which move with
the mouth."""
_MOVED_BY_SMILES = ("eyes", "mouth")
_LIDS = (((159, -1.0), (145, 1.0), (386, -1.0), (374, 1.0)),)
_LIPS = (
    ((13, -1.0), (14, 1.0)),
    ((topology.RIGHT_MOUTH_CORNER, 0.5), (topology.LEFT_MOUTH_CORNER, 0.5), (13, -0.5), (14, -0.5)),
)
_ACTS = {"brows": _LIDS, "eyes": _LIDS, "mouth": _LIPS}
"""Sums of heights of landmarks that only ever tell what a face does: how far lids and lips are open, and a smile."""
_OUTLINE_FADE = 0.55  # of the distance between the eyes: from the outline, which is the target's, inwards


def in_mean_frame(landmarks: np.ndarray, pose: HeadPose | None = None) -> np.ndarray:
    """(478, 3) float64: landmarks (478, 3) with pose and scale removed, in the units of `topology.canonical`.

    pose: theirs, where it is known.
    """
    pose = pose or fit_pose(landmarks)
    return np.asarray((np.asarray(landmarks, np.float64) - pose.translation) @ pose.rotation / pose.scale)


def identity_shape(landmarks: np.ndarray, pose: HeadPose | None = None) -> np.ndarray:
    """(478, 3) float64: the shape of a face in the mean frame, made symmetric: asymmetry is mostly expression."""
    shape = in_mean_frame(landmarks, pose)
    other = shape[topology.mirror()] * (-1.0, 1.0, 1.0)
    return 0.5 * (shape + other)


def coordinates(one: np.ndarray) -> np.ndarray:
    """(M,) float64: how far a shape (478, 3) of `identity_shape` is from the mean face along directions of `motion`,
    region by region.
    """
    apart = (np.asarray(one, np.float64) - topology.canonical()).ravel()
    return np.concatenate([read @ apart for read, _ in motion()])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two shapes (478, 3) of `identity_shape` are apart: root mean square, in distances between the eyes.

    Mouth and jaw count little, because they move when people speak.
    """
    mouth = region_weights()[REGIONS.index("mouth")]
    weight = 1.0 - 0.8 * mouth
    squares = ((np.asarray(one) - np.asarray(other)) ** 2).sum(axis=1)
    return float(np.sqrt((weight * squares).sum() / weight.sum()))


def region_weights() -> np.ndarray:
    """(5, 478) float64: how far a landmark belongs to each of `REGIONS`; columns sum to 1, borders are soft."""
    mean = topology.canonical().astype(np.float64)
    rings = {
        "brows": topology.BROWS,
        "eyes": topology.EYES,
        "nose": (*topology.NOSE, topology.NOSE_TIP, 4, 5, 195, 197, 6),
        "mouth": topology.LIPS_OUTER + topology.LIPS_INNER,
    }
    spread = {"brows": 0.14, "eyes": 0.16, "nose": 0.16, "mouth": 0.22}
    rows = []
    for name in REGIONS[:-1]:
        apart = np.linalg.norm(mean[:, None] - mean[None, list(rings[name])], axis=2).min(1)
        rows.append(np.exp(-0.5 * (apart / spread[name]) ** 2))
    rows.append(np.full(topology.POINTS, 0.15))
    weights = np.stack(rows)
    return weights / weights.sum(0)


def outline_fade() -> np.ndarray:
    """(478,) float64: 0 on the outline, 1 well within: the outline stays the target's, so that no rim opens."""
    mean = topology.canonical().astype(np.float64)
    apart = np.linalg.norm(mean[:, None] - mean[None, list(topology.FACE_OVAL)], axis=2).min(1)
    t = np.clip(apart / _OUTLINE_FADE, 0, 1)
    return t * t * (3 - 2 * t)


class Likeness:
    """A source's identity, to be worn by others.

    Args:
        shape: (478, 3) of `identity_shape`.
        regions: those of `REGIONS` that take the source's shape.
        strength: 0..1, share of it.
        smiling: 0..1, how far `shape` smiles: so far its eyes and mouth say nothing of what they are at rest.
    """

    def __init__(
        self, shape: np.ndarray, regions: Collection[str] = REGIONS, strength: float = 1.0, smiling: float = 0.0
    ) -> None:
        self._shape = shape
        worn = [strength if name in regions else 0.0 for name in REGIONS]
        self._weights = region_weights() * outline_fade() * np.array(worn)[:, None]
        self._motion = motion()
        steps = []
        for name, weights, (_, write) in zip(REGIONS, self._weights, self._motion, strict=True):
            share = _THE_PERSONS.get(name, 0.0) * (1 - smiling if name in _MOVED_BY_SMILES else 1.0)
            still = share * (_without(_ACTS.get(name, ()), write) @ write)
            steps.append(still.reshape(len(write), -1, 3) * weights[:, None])
        self._steps = np.concatenate(steps)
        self._rests = coordinates(shape)

    def offset(self, own: np.ndarray, resting: np.ndarray | None = None) -> np.ndarray:
        """(478, 3) float64 in the mean frame: what is to be added to a target's shape `own` (478, 3), mean frame.

        resting: a row of `resting.at_rest`, how the target is when it does nothing; without it all of what the two
        differ by in the directions in which faces move stays the target's.
        """
        difference = self._shape - own
        total = np.zeros_like(difference)
        for weights, (read, write) in zip(self._weights, self._motion, strict=True):
            moved = (read @ difference.ravel()) @ write
            total += weights[:, None] * (difference - moved.reshape(difference.shape))
        if resting is not None and resting[-1] > 0:
            # Not a product of matrices: at this size BLAS would wake threads that then spin.
            total += np.einsum("k,kij->ij", float(resting[-1]) * (self._rests - resting[:-1]), self._steps)
        # An eyeball goes where its lids go, whole: the gaze stays.
        for iris, ring in ((topology.RIGHT_IRIS, topology.RIGHT_EYE), (topology.LEFT_IRIS, topology.LEFT_EYE)):
            total[list(iris)] = total[list(ring)].mean(0)
        return total

    def wear(self, landmarks: np.ndarray, resting: np.ndarray | None = None) -> np.ndarray:
        """(478, 3) float32, frame pixels: this face with pose and expression of a target's landmarks (478, 3).

        resting: as `offset` wants it.
        """
        pose = fit_pose(landmarks)
        own = in_mean_frame(landmarks, pose)
        worn = landmarks + pose.scale * self.offset(own, resting) @ pose.rotation.T
        _shut_lids(worn, np.asarray(landmarks, np.float64))
        return np.asarray(worn, np.float32)


def _shut_lids(worn: np.ndarray, own: np.ndarray) -> None:
    """Draw upper lids of worn (478, 3) down as far as those of own (478, 3), the closer these are the more.

    A slit that stays open shows the line of the lashes in all of its height.
    """
    eyes = zip((topology.RIGHT_EYE, topology.LEFT_EYE), topology.LID_GAUGES, strict=True)
    for ring, (upper, lower, one, other) in eyes:
        wide, own_wide = (float(np.linalg.norm(points[one, :2] - points[other, :2])) for points in (worn, own))
        gap = float(np.linalg.norm(own[upper, :2] - own[lower, :2])) / max(own_wide, 1e-6)
        closed = 1 - float(smoothstep(gap, *SHUT))
        if closed <= 0:
            continue
        above, below = list(ring[1 : len(ring) // 2]), list(ring[: len(ring) // 2 : -1])
        gaps = worn[above] - worn[below]
        apart, wanted = np.linalg.norm(gaps, axis=1), np.linalg.norm(own[above] - own[below], axis=1)
        wanted *= wide / max(own_wide, 1e-6)
        share = 1 - closed * np.clip(1 - wanted / np.maximum(apart, 1e-9), 0, 1)
        worn[above] = worn[below] + gaps * share[:, None]


def _without(acts: Collection[tuple[tuple[int, float], ...]], write: np.ndarray) -> np.ndarray:
    """(K, K) float64: takes from steps (K,) along directions write (K, 1434) what changes any of the `acts`."""
    changes = np.array([[sum(w * step[3 * i + 1] for i, w in act) for step in write] for act in acts])
    changes = changes.reshape(len(acts), len(write))
    # A step below a thousandth of the largest is the same act once more.
    return np.asarray(np.eye(len(write)) - (np.linalg.pinv(changes, rcond=1e-3) @ changes).T)


def expression(difference: np.ndarray) -> np.ndarray:
    """(478, 3) float64: what of a difference of two shapes (478, 3) in the mean frame is expression.

    What it has in the directions in which faces move; of lids and lips all of it, so that they close. The rest is that
    two people are different, or that the landmarks of a face seen from the side are.
    """
    difference = np.asarray(difference, np.float64)
    weights = _region_weights()
    moved = np.zeros_like(difference)
    for share, (read, write) in zip(weights, motion(), strict=True):
        moved += share[:, None] * ((read @ difference.ravel()) @ write).reshape(difference.shape)
    whole = np.clip(1.25 * (weights[REGIONS.index("eyes")] + weights[REGIONS.index("mouth")]), 0, 1)
    return moved + whole[:, None] * (difference - moved)


@cache
def _region_weights() -> np.ndarray:
    return region_weights()


@cache
def motion() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """For each of `REGIONS` (read, write): read (K, 1434) tells how far a difference goes along each direction in
    which the region moves, write (K, 1434) says what the whole face does along it. float64.
    """
    with np.load(Path(__file__).with_name("face_motion.npz")) as file:
        found = tuple(
            (file[f"{name}_read"].astype(np.float64), file[f"{name}_write"].astype(np.float64)) for name in REGIONS
        )
    return found
