import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidswap.faces import mediapipe_models
from vidswap.faces.mediapipe_models import TaskModel, load_face_model
from vidswap.graph.errors import InputError


def crop_of(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[20:212, 120:312])


def test_equal_images_give_equal_bits_whatever_came_between(face_model, astronaut, grace_hopper):
    noise = np.random.default_rng(0).integers(0, 255, (192, 192, 3), np.uint8)
    first = face_model.landmarks(crop_of(astronaut))
    found, near, mask = (
        face_model.detect(astronaut, far=True),
        face_model.detect(astronaut),
        face_model.segment(astronaut),
    )
    for other in (noise, grace_hopper, noise[:64]):
        face_model.landmarks(other)
        face_model.detect(other, far=True)
        face_model.detect(other)
        face_model.segment(other)
        again = face_model.landmarks(crop_of(astronaut))
        assert again.presence == first.presence
        assert np.array_equal(again.points, first.points)
        assert np.array_equal(face_model.detect(astronaut, far=True).boxes, found.boxes)
        assert np.array_equal(face_model.detect(astronaut).keypoints, near.keypoints)
        assert np.array_equal(face_model.segment(astronaut), mask)


def test_models_are_shared_by_threads_and_made_anew_when_one_has_failed(face_model, astronaut):
    expected = face_model.landmarks(crop_of(astronaut)).points
    other = load_face_model()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: (face_model, other)[n % 2].landmarks(crop_of(astronaut)).points, range(24)))
    assert all(np.array_equal(points, expected) for points in found)
    before = mediapipe_models._graphs["landmarks"]
    before.is_broken = True
    assert np.array_equal(other.landmarks(crop_of(astronaut)).points, expected)
    assert mediapipe_models._graphs["landmarks"] is not before


def test_presence_tells_a_face_from_noise(face_model, astronaut):
    noise = np.random.default_rng(0).integers(0, 255, (192, 192, 3), np.uint8)
    assert face_model.landmarks(crop_of(astronaut)).presence > 0.9
    assert face_model.landmarks(noise).presence < 0.1


def test_landmarks_move_with_the_image(face_model, astronaut):
    here = face_model.landmarks(astronaut[20:212, 120:312]).points
    there = face_model.landmarks(astronaut[26:218, 116:308]).points
    np.testing.assert_allclose(np.median(here - there, 0)[:2], [-4, 6], atol=0.7)


def test_detections_name_the_subjects_right_eye_first(face_model, astronaut):
    found = face_model.detect(astronaut)
    assert len(found) == 1
    assert found.keypoints[0, 0, 0] < found.keypoints[0, 1, 0]
    x0, y0, x1, y1 = found.boxes[0]
    assert 160 < x0 < x1 < 290
    assert 50 < y0 < y1 < 200


def test_the_segmenter_says_of_a_large_picture_what_it_says_of_a_small_one(face_model, astronaut):
    small = face_model.segment(cv2.resize(astronaut, (256, 144), interpolation=cv2.INTER_AREA))
    for size in ((512, 512), (448, 448), (700, 333)):
        person = face_model.segment(cv2.resize(astronaut, size, interpolation=cv2.INTER_CUBIC))
        assert person.shape == size[::-1]
        told = cv2.resize(person, (256, 144), interpolation=cv2.INTER_AREA)
        assert np.abs(told - small).mean() < 0.02


def test_the_segmenter_finds_the_person(face_model, astronaut):
    person = face_model.segment(astronaut)
    assert person.shape == (512, 512)
    assert person.dtype == np.float32
    assert person[130, 225] > 0.9
    assert 0 <= person.min() <= person.max() <= 1


def test_a_missing_bundle_is_one_clear_line():
    with pytest.raises(InputError, match="no FaceLandmarker bundle at /nowhere/face.task"):
        load_face_model(Path("/nowhere/face.task"))


def test_a_file_that_is_no_bundle_is_one_clear_line(tmp_path):
    path = tmp_path / "face.task"
    path.write_bytes(b"not a zip archive")
    with pytest.raises(InputError, match=r"face\.task is no FaceLandmarker bundle"):
        load_face_model(path)


def test_a_zip_archive_without_models_is_one_clear_line(tmp_path):
    import zipfile

    path = tmp_path / "face.task"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "nothing here")
    with pytest.raises(InputError, match=r"face\.task is no FaceLandmarker bundle that MediaPipe can read"):
        load_face_model(path)


@pytest.mark.skipif("VIDSWAP_TASK" not in os.environ, reason="no FaceLandmarker bundle (set VIDSWAP_TASK to its path)")
def test_a_bundle_finds_the_same_face(astronaut, astronaut_landmarks, as_picture):
    from vidswap.faces.detection import find_faces

    model = load_face_model(Path(os.environ["VIDSWAP_TASK"]))
    found = find_faces(as_picture(astronaut), model)
    assert len(found) == 1
    assert np.abs(found.landmarks[0] - astronaut_landmarks)[:, :2].max() < 6
    model.close()


def test_loading_the_models_imports_no_plots_and_leaves_them_importable():
    pytest.importorskip("matplotlib")
    code = (
        "import sys; from vidswap.faces.mediapipe_import import import_mediapipe; m = import_mediapipe();"
        "assert not {'matplotlib', 'matplotlib.pyplot', 'sounddevice'} & set(sys.modules);"
        "assert callable(m.solutions.drawing_utils.plt.figure); import matplotlib.pyplot as p;"
        "assert p.figure is m.solutions.drawing_utils.plt.figure"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)


def test_a_bundle_beside_a_wheel_without_models_says_what_is_lacking(monkeypatch):
    def without_models(*_):
        raise InputError("no models here")

    monkeypatch.setattr(mediapipe_models, "_shared", without_models)
    bundle = TaskModel.__new__(TaskModel)
    bundle._wheel, bundle._told = mediapipe_models.WheelModel(), []
    picture = np.zeros((64, 48, 3), np.uint8)
    assert bundle.segment(picture).min() == 1.0 and bundle.hands(picture).shape == (0, 4)
    assert bundle.take_warnings() == ["what stands before faces is told less well: no models here"]
    assert bundle.take_warnings() == []
