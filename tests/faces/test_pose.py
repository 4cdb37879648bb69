import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.faces import topology
from vidswap.faces.detection import find_faces
from vidswap.faces.pose import angles_of, fit_pose, head_pose, rotation_of


@settings(max_examples=80, deadline=None)
@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-170, 170), st.floats(0.1, 50))
def test_the_pose_of_a_turned_mean_face_is_its_turn(yaw, pitch, roll, scale):
    rotation = rotation_of(yaw, pitch, roll)
    landmarks = scale * topology.canonical() @ rotation.T + [300, 200, 40]
    fitted = fit_pose(landmarks)
    np.testing.assert_allclose(fitted.angles, (yaw, pitch, roll), atol=1e-3)
    assert fitted.scale == pytest.approx(scale, rel=1e-5)
    np.testing.assert_allclose(fitted.rotation, rotation, atol=1e-5)


@pytest.mark.parametrize(
    ("angles", "nose"), [((30, 0, 0), (0.5, 0, -0.87)), ((0, 30, 0), (0, -0.5, -0.87)), ((0, 0, 30), (0, 0, -1))]
)
def test_signs_are_those_of_the_image(angles, nose):
    np.testing.assert_allclose(rotation_of(*angles) @ [0, 0, -1], nose, atol=0.01)
    assert angles_of(rotation_of(*angles)) == pytest.approx(angles)


def test_roll_turns_the_eyes_clockwise():
    eyes = topology.canonical()[[468, 473]] @ rotation_of(0, 0, 20).T
    assert eyes[1, 1] > eyes[0, 1]


def test_frontal_portraits_look_ahead(astronaut_landmarks):
    yaw, pitch, roll = head_pose(astronaut_landmarks)
    assert abs(yaw) < 6
    assert abs(pitch) < 15
    assert abs(roll) < 8


def test_mirroring_the_portrait_turns_yaw_and_roll_around(astronaut, astronaut_landmarks, as_picture, face_model):
    mirrored = find_faces(as_picture(cv2.flip(astronaut, 1)), face_model).landmarks[0]
    yaw, pitch, roll = head_pose(astronaut_landmarks)
    np.testing.assert_allclose(head_pose(mirrored), (-yaw, pitch, -roll), atol=3)


def test_poses_of_many_faces_keep_their_shape(astronaut_landmarks):
    assert head_pose(np.stack([astronaut_landmarks] * 3)[None]).shape == (1, 3, 3)


def test_a_head_that_turns_does_so_by_more_than_70_degrees(clip_frames, as_picture, face_model):
    yaw = [
        head_pose(find_faces(as_picture(f), face_model).landmarks[0])[0] for f in clip_frames("clip_head_turn.mp4", 2)
    ]
    assert max(yaw) - min(yaw) > 70
