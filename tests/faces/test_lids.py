"""Eyes that close show the target's lids, in the colour of the new skin."""

from __future__ import annotations

import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import lids, topology
from vidswap.faces.shape import Likeness, identity_shape

SIZE = (256, 256)


@pytest.fixture(scope="module")
def points(astronaut, face_model):
    return in_crop(face_row(astronaut, face_model))


def shut(points, ring, share=1.0):
    """The upper lid of an eye drawn down to the lower one, by a share of the way."""
    made = points.copy()
    for i in range(1, len(ring) // 2):
        made[ring[i]] += share * (made[ring[len(ring) - i]] - made[ring[i]])
    return made


def middle_of(points, iris):
    x, y = np.rint(points[iris[0], :2]).astype(int)
    return y, x


def test_lids_that_close_are_the_targets(points):
    hole = np.zeros(SIZE, np.float32)
    assert lids.closing(points, points, SIZE) == []
    winking = shut(points, topology.RIGHT_EYE)
    lids.show(lids.closing(winking, winking, SIZE), hole)
    assert hole[middle_of(points, topology.RIGHT_IRIS)] > 0.5
    assert hole[middle_of(points, topology.LEFT_IRIS)] == 0


def test_an_eye_beyond_the_picture_is_left_alone(points):
    winking = shut(points, topology.RIGHT_EYE)
    assert lids.closing(winking + (1000.0, 0, 0), winking, SIZE) == []
    assert lids.closing(winking - (1000.0, 0, 0), winking, SIZE) == []


def test_lids_get_the_colour_of_the_skin_around_them_and_lose_their_paint(points):
    winking = shut(points, topology.RIGHT_EYE)
    closing = lids.closing(winking, winking, SIZE)
    here, cover = np.full((*SIZE, 3), (120, 100, 90), np.uint8), np.ones(SIZE, np.float32)
    lit = np.full((*SIZE, 3), (160, 120, 100), np.uint8)
    place = middle_of(winking, topology.RIGHT_EYE[4:5])
    made = lids.tint(closing, lit, here, cover)
    np.testing.assert_allclose(made[place], [168 / 128, 128 / 108, 108 / 98], rtol=0.03)
    assert np.array_equal(made[middle_of(points, topology.LEFT_IRIS)], [1, 1, 1])
    assert lids.tint([], lit, here, cover) is None
    # Violet paint between the lashes and the brow, which the new face need not wear.
    (eye,) = closing
    painted = here.copy()
    painted[eye.place][eye.lid > 0] = (80, 50, 90)
    without = lids.tint(closing, here, painted, cover)[place]
    assert without[1] > without[0] > 1.15 and without[2] == pytest.approx(1, abs=0.02)
    # Where no skin is shown around the eye nothing tells of its colour.
    assert (lids.tint(closing, lit, here, 0 * cover) == 1).all()


def test_the_eyes_of_another_face_shut_when_the_targets_do(points, grace_hopper, face_model):
    other = Likeness(identity_shape(in_crop(face_row(grace_hopper, face_model))))

    def gap(landmarks):
        upper, lower, one, corner = topology.LID_GAUGES[0]
        wide = np.linalg.norm(landmarks[one, :2] - landmarks[corner, :2])
        return np.linalg.norm(landmarks[upper, :2] - landmarks[lower, :2]) / wide

    assert gap(other.wear(points)) > 0.15
    closed = shut(points, topology.RIGHT_EYE, 0.97)
    assert gap(closed) < 0.02 and gap(other.wear(closed)) < 0.03
    # An eye that is only half shut is not drawn shut.
    half = shut(points, topology.RIGHT_EYE, 0.4)
    assert gap(other.wear(half)) > 0.1
