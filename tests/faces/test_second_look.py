import cv2
import numpy as np
import pytest

from vidswap.faces import second_look
from vidswap.faces.detection import DetectionOptions, find_faces
from vidswap.faces.landmarking import roi_of_landmarks
from vidswap.faces.second_look import Seen, landmarks_of


def laid(image: np.ndarray, landmarks: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The image turned clockwise about its middle, whole, on grey; and where its landmarks (N, 2) lie then."""
    height, width = image.shape[:2]
    side = int(np.hypot(height, width)) + 1
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    turned = cv2.warpAffine(image, matrix, (side, side), borderValue=(120, 120, 120))
    return turned, landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]


@pytest.mark.parametrize("degrees", [-150, -90, -60, 0, 40, 75, 90, 120, 180])
def test_a_large_face_is_found_however_it_lies(astronaut, astronaut_landmarks, as_picture, face_model, degrees):
    image, expected = laid(astronaut[:300, 75:375], astronaut_landmarks[:, :2] - [75, 0], degrees)
    (points,) = find_faces(as_picture(image), face_model, DetectionOptions(min_face=0)).landmarks
    apart = np.linalg.norm(points[:, :2] - expected, axis=1).mean()
    assert apart < 0.05 * np.ptp(astronaut_landmarks[:, 1])


class Counting:
    """A model that counts its detector's looks."""

    def __init__(self, model):
        self._model, self.looks, self.crop_size, self.landmarks = model, 0, model.crop_size, model.landmarks

    def detect(self, rgb, **options):
        self.looks += 1
        return self._model.detect(rgb, **options)


@pytest.mark.parametrize(("score", "looks"), [(0.9, 0), (0.6, 1)])
def test_a_face_that_stands_as_its_landmarks_say_keeps_them(astronaut, as_picture, face_model, score, looks):
    found = face_model.detect(astronaut)
    sure = Seen(found.boxes[0], 0.99, found.keypoints[0])
    _, expected, presence = landmarks_of(as_picture(astronaut), face_model, sure, 1, 0.5, 0.5)
    counting = Counting(face_model)
    seen = Seen(found.boxes[0], score, found.keypoints[0])
    told = landmarks_of(as_picture(astronaut), counting, seen, 1, 0.5, 0.5)
    assert told is not None
    assert told[0] is seen
    assert np.array_equal(told[1], expected)
    assert told[2] == presence
    assert counting.looks == looks


def test_a_second_look_is_told_in_pixels_of_the_frame(astronaut, as_picture, face_model):
    found = face_model.detect(astronaut)
    for angle in np.radians([-30, 0, 45]):
        look = second_look._look(as_picture(astronaut), face_model, found.boxes[0], float(angle), 0.5)
        assert look is not None
        size = np.ptp(found.boxes[0][[0, 2]])
        assert np.abs(look.keypoints[:4] - found.keypoints[0][:4]).max() < 0.15 * size
        assert np.abs(look.box - found.boxes[0]).max() < 0.25 * size


def test_landmarks_that_stand_otherwise_than_the_face_are_replaced(
    astronaut, astronaut_landmarks, as_picture, face_model
):
    image, expected = laid(astronaut, astronaut_landmarks, 180)
    box = np.r_[expected.min(0), expected.max(0)].astype(np.float32)
    middle, size = (box[:2] + box[2:]) / 2, np.ptp(box[[1, 3]])
    # The eyes and the mouth of an upright face there.
    upright = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [0, 0.3], [-0.4, 0], [0.4, 0]]) * size + middle
    seen = Seen(box, 0.6, upright.astype(np.float32))
    told = landmarks_of(as_picture(image), face_model, seen, 1, 0.0, 0.5)
    assert told is not None
    assert abs(abs(np.degrees(roi_of_landmarks(told[1])[3])) - 180) < 12
    assert np.linalg.norm(told[1][:, :2] - expected, axis=1).mean() < 0.05 * size


def test_noise_shows_no_face_in_any_direction(as_picture, face_model):
    noise = np.random.default_rng(3).integers(0, 255, (200, 200, 3), np.uint8)
    points = np.array([[80, 90], [120, 90], [100, 110], [100, 130], [60, 100], [140, 100]], np.float32)
    seen = Seen(np.array([50, 50, 150, 150], np.float32), 0.6, points)
    assert landmarks_of(as_picture(noise), face_model, seen, 1, 0.5, 0.5) is None
