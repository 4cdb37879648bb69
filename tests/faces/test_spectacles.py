"""A portrait's glasses are taken off; a bare face stays as it is."""

import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import occlusion, topology
from vidswap.faces.spectacles import frames_of_glasses, without_glasses


@pytest.fixture(scope="module")
def bare(astronaut, face_model):
    row = face_row(astronaut, face_model, 512)
    return row["crop"][0], in_crop(row)


@pytest.fixture(scope="module")
def glazed(grace_hopper, face_model):
    row = face_row(grace_hopper, face_model, 512)
    return row["crop"][0], in_crop(row)


def put_on(crop, points, colour, share):
    """Draw two round rims and a bridge of a colour; returns the picture and where they are."""
    worn, mask = crop.copy(), np.zeros(crop.shape[:2], np.uint8)
    pupils = [points[i, :2] for i in (topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0])]
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    down = np.array([0.0, 0.08 * between])
    centres = [np.rint(p + down).astype(int) for p in pupils]
    radius, thick = round(0.38 * between), max(2, round(share * between))
    for image, value in ((worn, colour), (mask, 1)):
        for centre in centres:
            cv2.circle(image, tuple(map(int, centre)), radius, value, thick, cv2.LINE_AA)
        bridge = [tuple(map(int, c + (s * radius, -2))) for c, s in zip(centres, (1, -1), strict=True)]
        cv2.line(image, *bridge, value, thick, cv2.LINE_AA)
    return worn, cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0


def test_a_bare_face_is_left_alone(bare):
    crop, points = bare
    assert without_glasses(crop, points) is crop


@pytest.mark.parametrize(("colour", "share"), [((20, 18, 22), 0.04), ((60, 30, 15), 0.08)])
def test_rims_drawn_onto_a_face_are_gone(bare, colour, share):
    crop, points = bare
    worn, where = put_on(crop, points, colour, share)
    off = without_glasses(worn, points)
    # Along the brows a rim may pass for one.
    seen = where & (np.arange(len(crop)) > points[[topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0]], 1].max())[:, None]
    before, after = (np.abs(p.astype(float) - crop)[seen].mean() for p in (worn, off))
    assert after < 0.2 * before
    below = int(points[list(topology.LIPS_OUTER), 1].min())
    assert np.array_equal(off[below:], worn[below:])


def test_real_glasses_are_found_and_taken_off(glazed):
    crop, points = glazed
    assert frames_of_glasses(crop, points).any()
    assert occlusion.eyewear(without_glasses(crop, points), points) < 0.1 < occlusion.eyewear(crop, points)


def test_eyes_stay(glazed):
    crop, points = glazed
    eyes = np.zeros(crop.shape[:2], np.uint8)
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE):
        cv2.fillPoly(eyes, [np.rint(points[list(ring), :2]).astype(np.int32)], 1)
    assert np.array_equal(without_glasses(crop, points)[eyes > 0], crop[eyes > 0])


def test_a_rim_that_touches_one_eye_is_told_from_its_lashes_by_the_other_eye(bare):
    crop, points = bare
    worn, _ = put_on(crop, points, (20, 18, 22), 0.06)
    inner = points[topology.RIGHT_EYE_INNER, :2]
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    touching = np.zeros(crop.shape[:2], np.uint8)
    place = np.rint(inner + (0.045 * between, 0.0)).astype(int)
    cv2.circle(touching, tuple(map(int, place)), max(2, round(0.02 * between)), 1, -1)
    worn[touching > 0] = (20, 18, 22)
    off = without_glasses(worn, points)
    before, after = (np.abs(p.astype(float) - crop)[touching > 0].mean() for p in (worn, off))
    assert after < 0.35 * before
