import numpy as np
import occluders
import pytest

from vidswap.faces import landmarking


def test_a_region_is_cut_upright(astronaut_landmarks):
    roi = np.array([100.0, 50.0, 80.0, np.radians(30)])
    matrix = landmarking.roi_matrix(roi, 192)
    middle = matrix[:, :2] @ roi[:2] + matrix[:, 2]
    np.testing.assert_allclose(middle, 95.5)
    along = matrix[:, :2] @ np.array([np.cos(roi[3]), np.sin(roi[3])])
    np.testing.assert_allclose(along, [192 / 80, 0], atol=1e-12)


def test_folded_and_torn_meshes_are_no_faces(astronaut_landmarks):
    assert landmarking.plausible(astronaut_landmarks)
    assert not landmarking.plausible(astronaut_landmarks * [-1, 1, 1])
    assert not landmarking.plausible(astronaut_landmarks * np.nan)
    assert not landmarking.plausible(astronaut_landmarks * 0.01)
    torn = astronaut_landmarks.copy()
    torn[[338, 284, 454, 397]] -= [120, 0, 0]
    assert not landmarking.plausible(torn)


@pytest.mark.parametrize("colour", [(150, 185, 205), (20, 20, 22), (240, 240, 240)])
def test_eyes_are_seen_above_a_mask_and_not_behind_one(astronaut, astronaut_landmarks, as_picture, face_model, colour):
    _, cover = occluders.surgical_mask(astronaut, astronaut_landmarks)
    masked = np.where(cover[..., None] > 0.5, np.array(colour, np.uint8), astronaut)
    assert landmarking.shows_eyes(as_picture(masked), face_model, astronaut_landmarks) > 0.9
    hidden, _ = occluders.eye_bar(astronaut, astronaut_landmarks, colour)
    assert landmarking.shows_eyes(as_picture(hidden), face_model, astronaut_landmarks) < 0.5
