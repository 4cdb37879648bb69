"""A portrait driven by landmarks: at rest it is itself, it moves with the driver, and its border stays."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_faces import with_mouth

from vidswap.faces import reenactment, topology
from vidswap.faces.detection import find_faces
from vidswap.faces.pose import angles_of, fit_pose, rotation_of
from vidswap.faces.shape import in_mean_frame


@pytest.fixture
def face():
    return np.asarray(topology.canonical() * 60 + (128, 110, 0), np.float32)


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(60, 200, (256, 256, 3)).astype(np.uint8)


def opened(face, drop):
    moved = face.copy()
    lower = list(topology.LIPS_INNER[11:]) + list(topology.LIPS_OUTER[11:])
    moved[lower, 1] += drop
    return moved


def test_a_driver_at_rest_leaves_the_portrait_as_it_is(face, picture):
    made = reenactment.Reenactor(picture, face, face).perform(face)
    assert np.abs(made.astype(int) - picture).mean() < 0.5


def test_a_share_of_nothing_is_the_portrait(face, picture):
    made = reenactment.Reenactor(picture, face, face).perform(opened(face, 9), share=0.0)
    assert np.abs(made.astype(int) - picture).mean() < 0.5


def test_the_neutral_face_has_its_mouth_closed(face):
    assert reenactment.neutral_rows(np.stack([opened(face, 10), face, opened(face, 6)])) == (1, 1)


def test_a_mouth_that_is_closed_while_the_head_is_turned_is_the_one_at_rest(face):
    turned = np.asarray((face - face.mean(0)) @ rotation_of(36.0, 0.0, 0.0).T + face.mean(0), np.float32)
    talking = np.stack([opened(face, 12), opened(face, 14), turned, opened(face, 13)])
    assert reenactment.neutral_rows(talking) == (0, 2)


def test_a_mouth_that_never_closes_is_closed_at_rest_as_it_closes_itself(face):
    talking = np.stack([opened(face, drop) for drop in (4, 9, 14, 6, 11)])
    neutral, resting = reenactment.at_rest(talking)
    assert np.array_equal(neutral, talking[0]) and resting.dtype == talking.dtype
    narrowest, closed = (in_mean_frame(points) for points in (talking[0], resting))
    assert -0.01 < closed[14, 1] - closed[13, 1] < 0.2 * reenactment.mouth_gap(narrowest)
    eyes = [33, 133, 159, 145, 263, 362, 386, 374]
    assert np.abs(closed - narrowest)[eyes].max() < 0.01


def test_a_mouth_that_is_held_open_stays_open_at_rest(face):
    held = np.stack([opened(face, 8) for _ in range(5)])
    _, resting = reenactment.at_rest(held)
    assert np.abs(resting - held[0]).max() < 0.05


def test_a_mouth_that_closes_is_at_rest_where_it_does(face):
    shut = opened(face, -60 * reenactment.mouth_gap(in_mean_frame(face)))
    neutral, resting = reenactment.at_rest(np.stack([opened(face, 10), shut, opened(face, 6)]))
    assert np.array_equal(neutral, shut) and np.array_equal(resting, shut)


def test_lips_part_as_far_as_the_drivers_do_from_their_rest(face, picture):
    made = reenactment.Reenactor(picture, face, opened(face, 12), face)
    still = made._turn(opened(face, 12), 1.0)
    assert abs(still.yaw) + abs(still.pitch) + abs(still.roll) < 1e-3
    change = made._change(in_mean_frame(opened(face, 9)))
    wanted = reenactment.mouth_gap(in_mean_frame(opened(face, 9))) - reenactment.mouth_gap(in_mean_frame(face))
    assert abs(float(change[14, 1] - change[13, 1]) - wanted) < 0.1 * wanted


def test_another_persons_shape_moves_nothing_but_what_faces_move(face, picture):
    other = face.copy()
    # A longer nose and wider cheeks: no expression does that.
    other[[4, 1, 5, 195]] += [0.0, 6.0, -4.0]
    other[[234, 93, 132]] -= [5.0, 0.0, 0.0]
    other[[454, 323, 361]] += [5.0, 0.0, 0.0]
    made = reenactment.Reenactor(picture, face, face)
    shape = made._change(in_mean_frame(other))
    assert np.abs(shape).max() < 0.5 * np.abs(in_mean_frame(other) - in_mean_frame(face)).max()
    blink = face.copy()
    blink[159, 1] = blink[145, 1]
    shut = made._change(in_mean_frame(blink))
    gap = in_mean_frame(face)[145, 1] - in_mean_frame(face)[159, 1]
    assert shut[159, 1] - shut[145, 1] > 0.9 * gap


@given(st.floats(-80, 80), st.floats(1, 40))
def test_turns_are_held_softly(value, most):
    held = reenactment.softly_held(value, most)
    assert abs(held) <= most and held == -reenactment.softly_held(-value, most)
    assert held == value if abs(value) <= 0.5 * most else abs(held) <= abs(value)
    assert reenactment.softly_held(value + 0.01, most) >= held


@pytest.mark.parametrize(
    "turn", [(8.0, 0.0, 0.0), (-8.0, 0.0, 0.0), (0.0, 6.0, 0.0), (0.0, -6.0, 0.0), (0.0, 0.0, 6.0)]
)
def test_a_head_is_seen_to_turn_as_far_as_the_drivers(
    astronaut, astronaut_landmarks, as_picture, face_model, face, turn
):
    made = reenactment.Reenactor(astronaut, astronaut_landmarks, face)
    turned = made.perform((face - face.mean(0)) @ rotation_of(*turn).T + face.mean(0))
    seen = find_faces(as_picture(turned), face_model).landmarks[0]
    rotation = fit_pose(seen).rotation @ fit_pose(astronaut_landmarks).rotation.T
    axis = int(np.argmax(np.abs(turn)))
    assert 0.6 < angles_of(rotation)[axis] / turn[axis] < 1.5


def test_what_has_turned_over_lies_behind(face, monkeypatch):
    points = 4 * opened(face, 10)
    placed = points[:, :2].astype(np.float64)
    placed[list(topology.LIPS_INNER[1:10]), 1] -= 32
    triangles = topology.triangles()

    def runs(places):
        one, other = (places[triangles[:, i]] - places[triangles[:, 0]] for i in (1, 2))
        return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]

    over = triangles[runs(points[:, :2]) * runs(placed) < 0]
    picture = np.full((1024, 1024, 3), 120, np.uint8)
    for triangle in over:
        cv2.fillConvexPoly(picture, np.rint(points[triangle, :2]).astype(np.int32), (250, 60, 60))
    made = reenactment.Reenactor(picture, points, points)
    monkeypatch.setattr(made, "_placed", lambda shape, share: placed)
    shown = made._expressed(points, 1.0, None).astype(int)
    assert len(over) > 5
    # A line stays at the borders of the triangles beside them, which are read linearly.
    red = (shown[..., 0] - shown[..., 1] > 90).astype(np.uint8)
    assert cv2.erode((picture[..., 0] == 250).astype(np.uint8), np.ones((3, 3))).any()
    assert not cv2.erode(red, np.ones((3, 3))).any()


@pytest.mark.parametrize(("skin", "warmest"), [((230, 120, 70), 1.6), ((150, 120, 150), 1.2)])
def test_teeth_lent_to_a_ruddy_portrait_do_not_become_orange(face, skin, warmest):
    picture = np.full((256, 256, 3), skin, np.uint8)
    driver = with_mouth(face, 18.0)
    crop = np.full((256, 256, 3), (170, 120, 110), np.uint8)
    inner = np.rint(driver[list(topology.LIPS_INNER), :2]).astype(np.int32)
    cv2.fillPoly(crop, [inner], (210, 205, 195))
    shut = with_mouth(face, 0.0)
    made = reenactment.Reenactor(picture, shut, face).perform(driver, 1.0, reenactment.Mouth(crop, driver[:, :2]))
    x, y = driver[[13, 14], :2].mean(0).round().astype(int)
    teeth = made[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(0)
    assert np.abs(teeth - skin).max() > 15
    assert teeth[0] / teeth[2] < warmest
