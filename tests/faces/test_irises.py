import cv2
import numpy as np
import pytest

from vidswap.faces import irises, topology

BROWN, BLUE, WHITE, SKIN = (96, 60, 40), (90, 120, 160), (215, 210, 205), (190, 150, 130)


def face(side=480, turn=0.0, opening=1.0):
    """Landmarks (478, 3) of a mean face in a picture `side` pixels wide, its lids as open as `opening` says."""
    points = topology.canonical().astype(np.float64) * side * 0.3
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE):
        middle = points[list(ring), 1].mean()
        points[list(ring), 1] = middle + 1.6 * opening * (points[list(ring), 1] - middle)
    cos, sin = np.cos(turn), np.sin(turn)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    points[:, :2] += side / 2
    return points.astype(np.float32)


def drawn(points, colour, side=480, lids=True):
    crop = np.full((side, side, 3), SKIN, np.uint8)
    for iris, ring, *_ in irises.EYES:
        opening = np.zeros((side, side), np.uint8)
        cv2.fillPoly(opening, [np.rint(points[list(ring), :2] * 16).astype(np.int32)], 1, shift=4)
        eye = np.full_like(crop, WHITE)
        centre = points[iris[0], :2]
        radius = np.linalg.norm(points[list(iris[1:]), :2] - centre, axis=1).mean()
        for share, tone in ((1.0, colour), (0.35, (8, 8, 8))):
            cv2.circle(eye, tuple(np.rint(centre * 16).astype(int)), int(share * radius * 16), tone, -1, cv2.LINE_AA, 4)
        shine = tuple(np.rint((centre - 0.5 * radius) * 16).astype(int))
        cv2.circle(eye, shine, int(0.15 * radius * 16), (250, 250, 250), -1, cv2.LINE_AA, 4)
        crop[opening > 0] = eye[opening > 0]
    return crop


def at(crop, points, iris, dx=0.0, dy=0.0):
    """Pixel of a crop, so many radii from the middle of an iris."""
    radius = np.linalg.norm(points[list(iris[1:]), :2] - points[iris[0], :2], axis=1).mean()
    x, y = np.rint(points[iris[0], :2] + radius * np.array([dx, dy])).astype(int)
    return crop[y, x].astype(int)


@pytest.mark.parametrize("turn", [0.0, 0.6])
@pytest.mark.parametrize("side", [240, 480])
def test_the_colour_of_both_eyes_is_read(turn, side):
    points = face(side, turn)
    seen = irises.seen_in_crop(drawn(points, BLUE, side), points)
    assert seen.shape == (2, 4) and seen.dtype == np.float32
    assert (seen[:, 3] > 0.95).all()
    assert np.abs(seen[:, :3] / seen[:, 3:] - BLUE).max() < 8


def test_a_closed_eye_a_lens_and_a_speck_are_no_irises():
    shut = face(opening=0.1)
    assert not irises.seen_in_crop(drawn(shut, BLUE), shut).any()
    points = face()
    assert not irises.seen_in_crop(np.full((480, 480, 3), 25, np.uint8), points).any()
    assert not irises.seen_in_crop(np.full((480, 480, 3), SKIN, np.uint8), points).any()
    far = face(12)
    assert not irises.seen_in_crop(drawn(far, BLUE, 12), far).any()


@pytest.mark.parametrize(("own", "new"), [(BLUE, BROWN), (BROWN, BLUE)])
def test_an_iris_takes_the_colour_and_keeps_pupil_highlight_and_white(own, new):
    points = face()
    crop = drawn(points, own)
    before = crop.copy()
    wanted = np.tile(np.float32([*new, 1.0]), (2, 1))
    made = irises.recoloured(crop, points, wanted)
    assert np.array_equal(crop, before)
    for iris, *_ in irises.EYES:
        assert np.abs(at(made, points, iris, 0.6, 0.2) - np.clip(new, None, 1.6 * np.array(own))).max() < 10
        assert at(made, points, iris).max() < 40
        assert at(made, points, iris, -0.5, -0.5).min() > 230
        np.testing.assert_array_equal(at(made, points, iris, 1.6), at(crop, points, iris, 1.6))
        outside = np.ones(crop.shape[:2], np.uint8)
        for one in (topology.RIGHT_EYE, topology.LEFT_EYE):
            cv2.fillPoly(outside, [np.rint(points[list(one), :2] * 16).astype(np.int32)], 0, shift=4)
        away = cv2.erode(outside, np.ones((7, 7), np.uint8)) > 0
        assert np.array_equal(made[away], crop[away])


def test_it_changes_as_far_as_it_is_to_and_not_at_all_without_trust():
    points = face()
    crop = drawn(points, BLUE)
    wanted = [np.tile(np.float32([*BROWN, share]), (2, 1)) for share in (1.0, 0.5)]
    pictures = [crop, *(irises.recoloured(crop, points, colours) for colours in wanted)]
    own, whole, half = (at(picture, points, irises.EYES[0][0], 0.6) for picture in pictures)
    np.testing.assert_allclose(half, (whole + own) / 2, atol=2)
    assert irises.recoloured(crop, points, np.tile(np.float32([*BROWN, 0.0]), (2, 1))) is crop
    assert irises.recoloured(crop, points, np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)) is crop


def test_what_was_told_over_time_counts_not_what_this_frame_shows():
    points = face()
    told = irises.seen_in_crop(drawn(points, BLUE), points)
    shaded = drawn(points, tuple(int(0.6 * v) for v in BLUE))
    wanted = np.tile(np.float32([*BROWN, 1.0]), (2, 1))
    made = irises.recoloured(shaded, points, wanted, told)
    assert np.abs(at(made, points, irises.EYES[0][0], 0.6) - 0.6 * np.array(BROWN)).max() < 8


def test_what_smoothing_makes_of_trust_at_the_ends_of_a_track_does_no_harm():
    points = face()
    crop = drawn(points, BLUE)
    wanted = np.tile(np.float32([0, 0, 250, 1.0]), (2, 1))
    for told in ([90, 120, 160, 1.3], [-4, 2, 3, 0.04], [-4, -2, 3, -0.04], [300, 400, 20, 1.0]):
        made = irises.recoloured(crop, points, wanted, np.tile(np.float32(told), (2, 1)))
        sure = at(made, points, irises.EYES[0][0], 0.6)
        assert np.abs(at(made, points, irises.EYES[0][0]) - (8, 8, 8)).max() < 20
        assert sure[0] <= 90 + 1 and sure[2] >= 159


def test_pictures_of_a_person_count_by_trust():
    sure, unsure = np.float32([100, 60, 40, 1]), np.float32([10, 10, 10, 0.1])
    seen = np.stack([np.stack([sure, sure]), np.stack([unsure, np.zeros(4, np.float32)])])
    told = irises.of_a_person(seen)
    np.testing.assert_allclose(told, [210 / 2.1, 130 / 2.1, 90 / 2.1, 1], rtol=1e-5)
    assert not irises.of_a_person(np.zeros((3, 2, 4), np.float32)).any()


def test_an_eye_behind_something_is_not_believed():
    points = face()
    crop, hidden = drawn(points, BLUE), np.zeros((480, 480), np.float32)
    hidden[:, :240] = 1
    plain, covered = irises.seen_in_crop(crop, points), irises.seen_in_crop(crop, points, hidden)
    right_is_left = points[topology.RIGHT_IRIS[0], 0] < 240
    assert right_is_left and not covered[0].any()
    np.testing.assert_array_equal(covered[1], plain[1])
