"""Head pose from 478 landmarks: the mean face turned, scaled and moved onto them.

Weak perspective: the landmark model gives depth in the scale of x and y, so that head and landmarks differ by a
similarity in three dimensions, found in closed form (Kabsch 1976, Umeyama 1991) over the points that expression moves
least.

Angles are in degrees, of R = Ry(yaw) Rx(pitch) Rz(roll), the turn from the mean face (x right, y down, z away from the
viewer) to the image. As the viewer sees it: yaw > 0 turns the nose to the right of the image, pitch > 0 raises it, roll
> 0 turns the head clockwise. A face whose forehead and chin are equally far away has pitch 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import topology

_MOVING = set(topology.LIPS_OUTER + topology.LIPS_INNER + topology.EYES + topology.BROWS + topology.IRISES)
_RIGID = np.array([i for i in range(468) if i not in _MOVING and topology.canonical()[i, 1] < 0.95])
"""Points above the mouth, but for eyes and brows: jaw, lips and lids move by themselves."""


@dataclass(frozen=True)
class HeadPose:
    """rotation (3, 3), scale (frame pixels per distance between the eyes) and translation (3,): p = scale R v + t."""

    rotation: np.ndarray
    scale: float
    translation: np.ndarray

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll in degrees."""
        return angles_of(self.rotation)


def fit_pose(landmarks: np.ndarray) -> HeadPose:
    """The similarity that takes the mean face (`topology.canonical`) nearest to landmarks (478, 3) (least squares)."""
    mean = topology.canonical()[_RIGID].astype(np.float64)
    points = np.asarray(landmarks, np.float64)[_RIGID]
    middle, centre = mean.mean(0), points.mean(0)
    a, b = mean - middle, points - centre
    u, s, vt = np.linalg.svd(a.T @ b)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign @ vt).T
    scale = float((s * sign).sum() / (a * a).sum())
    return HeadPose(rotation, scale, centre - scale * rotation @ middle)


def head_pose(landmarks: np.ndarray) -> np.ndarray:
    """(..., 3) float64 yaw, pitch, roll in degrees of landmarks (..., 478, 3)."""
    landmarks = np.asarray(landmarks)
    flat = landmarks.reshape(-1, topology.POINTS, 3)
    return np.array([fit_pose(points).angles for points in flat], np.float64).reshape(*landmarks.shape[:-2], 3)


def angles_of(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of a rotation (3, 3) from the mean face to the image."""
    # The nose of the mean face points at -z.
    x, y, z = (float(v) for v in -rotation[:, 2])
    yaw = np.arctan2(x, -z)
    pitch = np.arctan2(-y, np.hypot(x, z))
    roll = np.arctan2(float(rotation[1, 0]), float(rotation[1, 1]))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def rotation_of(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) rotation of angles in degrees: the inverse of `angles_of`."""
    # z points away from the viewer, hence the sense of yaw and pitch.
    cy, sy = np.cos(np.radians(yaw)), np.sin(np.radians(-yaw))
    cp, sp = np.cos(np.radians(pitch)), np.sin(np.radians(-pitch))
    cr, sr = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
    about_z = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return about_y @ about_x @ about_z
