"""A portrait that shows its teeth, driven by a mouth that opens: they keep their length, a dark mouth opens below."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_faces import with_mouth

from vidswap.faces import reenactment, teeth, topology

SCALE = 90
SKIN, WHITE, GREY, LIPS = (190, 150, 130), (235, 230, 220), (150, 145, 140), (170, 80, 85)


@pytest.fixture(scope="module")
def face():
    return np.asarray(topology.canonical() * SCALE + (200, 160, 0), np.float32)


@pytest.fixture(scope="module")
def smile(face):
    """A portrait (400, 400, 3) that smiles: stripes of two colours for teeth; and its landmarks."""
    points = with_mouth(face, 0.24 * SCALE)
    picture = np.full((400, 400, 3), SKIN, np.uint8)
    outer, inner = (np.rint(points[list(r), :2]).astype(np.int32) for r in (topology.LIPS_OUTER, topology.LIPS_INNER))
    cv2.fillPoly(picture, [outer], LIPS)
    mask = cv2.fillPoly(np.zeros((400, 400), np.uint8), [inner], 1)
    stripes = np.where((np.arange(400) // 4 % 2)[:, None, None] > 0, np.uint8(WHITE), np.uint8(GREY))
    return np.where(mask[..., None] > 0, np.broadcast_to(stripes, picture.shape), picture), points


@pytest.fixture(scope="module")
def reenactor(smile, face):
    return reenactment.Reenactor(*smile, face)


def column(image, points):
    """The middle of the mouth, downwards from the upper lip to the lower one."""
    x = round(float(points[13, 0]))
    return image[round(float(points[13, 1])) : round(float(points[14, 1])) + 1, x].astype(int)


def test_a_smile_at_rest_is_the_portraits(reenactor, smile, face):
    made = reenactor.perform(face)
    assert np.abs(made.astype(int) - smile[0]).mean() < 0.5


def test_teeth_keep_their_length_above_a_dark_mouth(reenactor, smile, face):
    picture, points = smile
    made = reenactor.perform(with_mouth(face, 0.39 * SCALE))
    before = column(picture, points)
    shown = column(made, with_mouth(points, 0.59 * SCALE))
    # The head is not turned, and the upper lip has not moved: teeth are where they were.
    count = len(before) - 5
    assert np.abs(shown[2:count] - before[2:count]).mean() < 12
    below = shown[len(before) + 4 : len(before) + 12]
    assert (below.max(1) < 120).all()


def test_a_mouth_that_stretches_only_has_no_dark_in_it(reenactor, smile, face):
    wide = face.copy()
    wide[[61, 78, 291, 308], 0] += np.array([-4, -4, 4, 4], np.float32)
    shown = column(reenactor.perform(wide), smile[1])
    assert (shown[3:-3].max(1) > 120).all()


def test_a_closed_portrait_shows_no_teeth_of_its_own(face):
    picture = np.full((400, 400, 3), SKIN, np.uint8)
    closed = teeth.Teeth(picture, face, 0.0, SCALE)
    inside = np.ones((40, 40), bool)
    place = np.zeros((40, 40, 2), np.float32)
    closed.hung(place, inside, face)
    assert not place.any()
    part = picture[:40, :40]
    assert closed.darkened(part, place, inside, with_mouth(face, 24.0)) is part


@given(st.floats(-0.3, 0.6), st.floats(0, 0.5))
def test_openings_are_absorbed_in_part_and_closings_are_not(opening, gap):
    change = np.zeros((478, 3))
    change[14, 1] = opening
    left = float(teeth.absorbed(change, gap)[14, 1])
    if opening <= 0 or gap == 0:
        assert left == opening
    else:
        assert 0.4 * opening - 1e-12 <= left <= opening
        assert opening - left <= gap


def test_nothing_above_the_mouth_is_absorbed(face):
    change = np.zeros((478, 3))
    change[:, 1] = 0.1
    change[14, 1] = 0.4
    left = teeth.absorbed(change, 0.3)
    np.testing.assert_allclose(left[[10, 105, 334, 159, 386], 1], 0.1, atol=2e-3)
    assert left[152, 1] < 0.1 and (left[:, [0, 2]] == 0).all()
