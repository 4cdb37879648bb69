import dataclasses

import cv2
import numpy as np
import occluders
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vidswap.faces import detection, second_look
from vidswap.faces.detection import DetectionOptions, find_faces
from vidswap.faces.models import Detections


def put(face: np.ndarray, size: tuple[int, int], x: int, y: int, side: int) -> np.ndarray:
    """A grey frame (w, h) with a picture of a face, `side` pixels wide, at x, y."""
    frame = np.full((size[1], size[0], 3), 120, np.uint8)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    high, wide = min(side, size[1] - y), min(side, size[0] - x)
    frame[y : y + high, x : x + wide] = small[:high, :wide]
    return frame


def test_the_two_portraits_have_one_face_each(astronaut, grace_hopper, as_picture, face_model):
    for image, box in ((astronaut, (179, 69, 271, 178)), (grace_hopper, (166, 130, 356, 334))):
        found = find_faces(as_picture(image), face_model)
        assert len(found) == 1
        np.testing.assert_allclose(found.boxes[0], box, atol=8)
        assert found.scores[0] > 0.8
        assert found.landmarks.shape == (1, 478, 3)
        assert found.landmarks.dtype == np.float32


def test_a_frame_without_faces_has_none(as_picture, face_model):
    noise = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
    for image in (noise, np.zeros((96, 96, 3), np.uint8)):
        found = find_faces(as_picture(image), face_model)
        assert len(found) == 0
        assert found.landmarks.shape == (0, 478, 3)


def test_equal_frames_give_equal_bits_whatever_came_before(astronaut, grace_hopper, as_picture, face_model):
    first = find_faces(as_picture(astronaut), face_model)
    find_faces(as_picture(grace_hopper), face_model)
    find_faces(as_picture(np.zeros_like(astronaut)), face_model)
    again = find_faces(as_picture(astronaut), face_model)
    assert np.array_equal(first.landmarks, again.landmarks)
    assert np.array_equal(first.scores, again.scores)


def test_landmarks_turn_and_grow_with_the_frame(astronaut, astronaut_landmarks, as_picture, face_model):
    matrix = cv2.getRotationMatrix2D((225, 130), 25, 1.7)
    turned = cv2.warpAffine(astronaut, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    found = find_faces(as_picture(turned), face_model)
    expected = astronaut_landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert len(found) == 1
    apart = np.linalg.norm(found.landmarks[0][:, :2] - expected, axis=1)
    assert apart.mean() < 0.02 * 1.7 * 110
    grown = np.ptp(found.landmarks[0][:, 2]) / np.ptp(astronaut_landmarks[:, 2])
    assert 1.5 < grown < 1.9


def test_several_faces_come_from_left_to_right(astronaut, grace_hopper, as_picture, face_model):
    frame = np.full((512, 1024, 3), 90, np.uint8)
    frame[:, :512], frame[:, 512:] = grace_hopper[:512], astronaut
    found = find_faces(as_picture(frame), face_model)
    assert len(found) == 2
    assert found.boxes[0, 2] < 512 < found.boxes[1, 0]
    assert len(find_faces(as_picture(frame), face_model, DetectionOptions(max_faces=1))) == 1


@pytest.mark.parametrize(("x", "y"), [(30, 40), (930, 500), (1600, 780)])
def test_a_face_of_60_pixels_is_found_in_1080p_by_tiles(astronaut, as_picture, face_model, x, y):
    # The face is 110 of the portrait's 512 pixels high.
    frame = put(astronaut, (1920, 1080), x, y, 290)
    found = find_faces(as_picture(frame), face_model)
    assert len(found) == 1
    assert 50 < found.boxes[0, 3] - found.boxes[0, 1] < 75
    assert abs(found.boxes[0, 0] - (x + 179 * 290 / 512)) < 8


def test_without_tiles_the_small_face_is_left_out(astronaut, as_picture, face_model):
    frame = put(astronaut, (1920, 1080), 930, 500, 200)
    assert len(find_faces(as_picture(frame), face_model, DetectionOptions(min_face=0))) == 0


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(64, 3840),
    height=st.integers(64, 2160),
    face=st.integers(12, 160),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@example(width=147, height=1177, face=98, at=(0.0, 0.5))
@example(width=64, height=900, face=80, at=(0.0, 0.5))
def test_a_face_of_the_least_size_is_whole_in_one_tile(width, height, face, at):
    squares = list(detection.tiles(width, height, face))
    if not squares or min(width, height) < 3 * face:
        return
    x, y = at[0] * (width - face), at[1] * (height - face)
    assert any(
        left <= x + 1e-6 and x + face <= left + side + 1e-6 and top <= y + 1e-6 and y + face <= top + side + 1e-6
        for left, top, side in squares
    )
    for left, top, side in squares:
        assert left >= 0 and top >= 0 and left + side <= width + 1e-6 and top + side <= height + 1e-6


def test_a_face_cut_by_the_edge_of_the_frame_is_found(grace_hopper, as_picture, face_model):
    found = find_faces(as_picture(grace_hopper[:, 200:]), face_model)
    assert len(found) == 1
    assert found.boxes[0, 0] < 2


class Heads:
    """A model whose detector gives boxes of heads, twice as large as faces, in the two looks at the whole frame."""

    def __init__(self, model):
        self._model, self.looks, self.crop_size, self.landmarks = model, 0, model.crop_size, model.landmarks

    def detect(self, rgb, **options):
        self.looks += 1
        found = self._model.detect(rgb, **options)
        if self.looks > 2:
            return found
        middle, half = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2, found.boxes[:, 2:] - found.boxes[:, :2]
        return Detections(np.hstack([middle - half, middle + half]), found.scores, found.keypoints)


@pytest.mark.parametrize(("put", "faces"), [(occluders.surgical_mask, 1), (occluders.beard, 1), (occluders.eye_bar, 0)])
def test_a_face_whose_box_is_that_of_its_head_is_found_if_its_eyes_are_seen(
    astronaut, astronaut_landmarks, as_picture, face_model, put, faces
):
    worn, _ = put(astronaut, astronaut_landmarks)
    found = find_faces(as_picture(worn), Heads(face_model), DetectionOptions(min_face=0))
    assert len(found) == faces
    for landmarks in found.landmarks:
        apart = np.linalg.norm((landmarks - astronaut_landmarks)[:, :2], axis=1)
        assert apart.mean() < 0.05 * np.ptp(astronaut_landmarks[:, 1])


def test_suppression_keeps_the_best_of_those_that_overlap_or_nest():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [3, 3, 6, 6], [40, 0, 50, 10]], np.float32)
    found = Detections(boxes, np.array([0.6, 0.9, 0.7, 0.5], np.float32), np.zeros((4, 6, 2), np.float32))
    assert detection.suppress(found).boxes.tolist() == [[1, 1, 11, 11], [40, 0, 50, 10]]


def test_iou_is_one_for_equal_and_none_for_separate_boxes():
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]])
    np.testing.assert_allclose(detection.iou(np.array([0, 0, 10, 10]), others), [1, 1 / 3, 0])


def test_a_mesh_away_from_the_detection_is_dropped(astronaut_landmarks, astronaut, face_model):
    found = face_model.detect(astronaut)
    assert second_look.agrees(astronaut_landmarks, found.boxes[0], found.keypoints[0])
    assert not second_look.agrees(astronaut_landmarks + 60, found.boxes[0], found.keypoints[0])
    assert not second_look.agrees(astronaut_landmarks * 0.3, found.boxes[0], found.keypoints[0])


def test_options_have_no_hidden_defaults_that_differ_from_the_operators():
    from vidswap.operators.detect import DetectOptions

    own = dataclasses.asdict(DetectionOptions())
    theirs = DetectOptions().model_dump(exclude={"task", "turned", "face", "every"})
    assert {**theirs, "largest": DetectOptions().face == "largest"} == own


@pytest.mark.parametrize(
    ("clip", "faces", "least"),
    [
        ("clip_talking_woman.mp4", 1, 1.0),
        ("clip_glasses_man.mp4", 1, 1.0),
        ("clip_head_turn.mp4", 1, 1.0),
        ("clip_two_faces.mp4", 2, 1.0),
    ],
)
def test_footage_shows_as_many_faces_as_there_are(clip_frames, as_picture, face_model, clip, faces, least):
    frames = clip_frames(clip, step=12 if "talking" in clip or "glasses" in clip else 4)
    counts = [len(find_faces(as_picture(frame), face_model)) for frame in frames]
    assert np.mean([count == faces for count in counts]) >= least


def test_the_street_has_no_face_to_find(clip_frames, as_picture, face_model):
    counts = [len(find_faces(as_picture(frame), face_model)) for frame in clip_frames("clip_face_leaves.mp4", step=9)]
    assert counts[:20] == [1] * 20
    assert sum(counts[21:]) == 0
