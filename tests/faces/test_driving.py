import numpy as np
import pytest

from vidswap.faces import alignment
from vidswap.faces.driving import PORTRAIT_SCALE, Driven
from vidswap.faces.pose import head_pose
from vidswap.faces.shape import in_mean_frame
from vidswap.graph.errors import InputError


@pytest.fixture(scope="module")
def portrait(astronaut, astronaut_landmarks, as_picture):
    """The astronaut's head in a square of 512 px, and its landmarks there."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(astronaut_landmarks), 512, PORTRAIT_SCALE)
    return as_picture(astronaut).crop(matrix, (512, 512)), alignment.transform(matrix, astronaut_landmarks)


@pytest.fixture(scope="module")
def driven(portrait):
    return Driven(*portrait)


def turned(landmarks, degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    middle = landmarks.mean(0)
    return (landmarks - middle) @ turn.T + middle


def test_a_face_driven_by_itself_stays(driven, portrait):
    _, points = portrait
    made, placed = driven.as_target(points, 256)
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(points), 256)
    np.testing.assert_allclose(placed, alignment.transform(matrix, points[:, :2]), atol=0.6)
    assert made.shape == (256, 256, 3)


def test_the_driven_face_is_aligned_whatever_the_targets_place_and_size(driven, portrait):
    _, points = portrait
    one, placed = driven.as_target(points, 256)
    other, moved = driven.as_target(points * 3.0 + (500, -200, 0), 256)
    np.testing.assert_allclose(moved, placed, atol=0.05)
    assert np.abs(one.astype(int) - other).mean() < 0.5


def test_the_head_turns_as_the_targets_does(driven, portrait, face_model):
    _, points = portrait
    yaws = []
    for degrees in (-15, 0, 15):
        image, _ = driven.as_target(turned(points, degrees), 256)
        yaws.append(head_pose(face_model.landmarks(image).points)[0])
    assert abs(yaws[0] - yaws[1]) > 6
    assert abs(yaws[2] - yaws[1]) > 6
    assert (yaws[0] - yaws[1]) * (yaws[2] - yaws[1]) < 0


def test_landmarks_told_are_those_that_a_model_finds(driven, portrait, face_model):
    _, points = portrait
    image, placed = driven.as_target(turned(points, 12), 256)
    found = face_model.landmarks(image).points[:, :2]
    assert np.linalg.norm(found - placed, axis=1).mean() < 4


def test_a_mouth_opens_with_the_targets(driven, portrait):
    _, points = portrait
    opened = points.copy()
    lower = [14, 87, 178, 88, 95, 317, 402, 318, 324, 17, 84, 181, 314, 405]
    opened[lower, 1] += 0.25 * np.linalg.norm(points[468, :2] - points[473, :2])
    _, before = driven.as_target(points, 256)
    _, after = driven.as_target(opened, 256)
    assert (after[14, 1] - after[13, 1]) > (before[14, 1] - before[13, 1]) + 3


def test_identity_is_not_taken_from_the_target(driven, portrait):
    _, points = portrait
    wider = points.copy()
    middle = points[:, 0].mean()
    wider[:, 0] = middle + 1.15 * (points[:, 0] - middle)
    _, placed = driven.as_target(wider, 256)
    _, own = driven.as_target(points, 256)
    shapes = [in_mean_frame(np.column_stack([p, np.zeros(478)]))[:, :2] for p in (placed, own)]
    nose = np.abs(shapes[0][[49, 279]] - shapes[1][[49, 279]]).max()
    assert nose < 0.05


def test_a_face_too_small_is_one_line():
    with pytest.raises(InputError, match="too small to be moved"):
        Driven(np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0).random((478, 3)) * 4)
