import numpy as np
import pytest
from pydantic import ValidationError
from vidswap.operators.align import AlignFFHQ, AlignOptions

from vidswap.faces import alignment
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.columns import STANDARD_COLUMNS
from vidswap.graph.errors import InputError


@pytest.fixture
def face(astronaut, astronaut_landmarks, as_picture) -> Batch:
    return Batch(
        frame=np.zeros(1, np.int64),
        picture=object_column([as_picture(astronaut)]),
        landmarks=astronaut_landmarks[None],
    )


def test_the_crop_is_about_as_large_as_the_face_in_the_frame(face):
    result = AlignFFHQ(AlignOptions())(face)
    assert result["crop"][0].shape == (192, 192, 3)
    assert 0.9 < alignment.scale_of(result["matrix"][0]) < 1.5
    for name in AlignFFHQ.gives:
        assert STANDARD_COLUMNS[name].check(result[name]) is None


def test_eyes_lie_level_at_the_place_where_ffhq_has_them(face):
    result = AlignFFHQ(AlignOptions(size=1024))(face)
    eyes = alignment.transform(result["matrix"][0], face["landmarks"][0][[468, 473], :2]) / 1024
    np.testing.assert_allclose(eyes, [[0.37, 0.47], [0.63, 0.47]], atol=0.03)


def test_smoothed_axes_are_taken_where_there_are_any(face):
    axes = alignment.ffhq_axes(face["landmarks"]) + np.array([[30.0, 0], [0, 0], [0, 0]])
    moved = AlignFFHQ(AlignOptions())(face.with_columns(quad_axes=axes))
    plain = AlignFFHQ(AlignOptions())(face)
    scale = alignment.scale_of(plain["matrix"][0])
    assert moved["matrix"][0][0, 2] == pytest.approx(plain["matrix"][0][0, 2] - 30 * scale, abs=3)


def test_scale_widens_the_crop(face):
    wide, plain = (AlignFFHQ(AlignOptions(size=256, scale=s))(face)["matrix"][0] for s in (1.5, 1.0))
    assert alignment.scale_of(plain) == pytest.approx(1.5 * alignment.scale_of(wide))


def test_a_face_beyond_the_edge_of_the_frame_is_cut_with_repeated_pixels(face):
    shifted = face.with_columns(landmarks=face["landmarks"] - np.array([250, 80, 0], np.float32))
    crop = AlignFFHQ(AlignOptions(size=64))(shifted)["crop"][0]
    assert crop.shape == (64, 64, 3)
    assert np.ptp(crop[:8, :8].reshape(-1, 3), 0).max() <= 1


@pytest.mark.parametrize("options", [{"size": "big"}, {"scale": 0}, {"crop": 3}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValidationError):
        AlignOptions(**options)


def test_a_size_out_of_range_is_refused_before_any_work():
    with pytest.raises((InputError, ValidationError), match="16"):
        AlignFFHQ(AlignOptions(size=4))


def test_a_sharp_face_is_that_of_the_whole_crop_and_around_it_the_same_picture_is_softer(face):
    whole, sharp = (AlignFFHQ(AlignOptions(size=640, sharp=s))(face) for s in ("all", "face"))
    assert np.array_equal(whole["matrix"], sharp["matrix"])
    points = alignment.transform(whole["matrix"][0], face["landmarks"][0][:, :2])
    (x0, y0), (x1, y1) = points.min(0).astype(int), points.max(0).astype(int) + 1
    difference = np.abs(whole["crop"][0].astype(int) - sharp["crop"][0])
    assert difference[y0:y1, x0:x1].max() <= 4
    assert 0 < difference.mean() < 4
    small = [AlignFFHQ(AlignOptions(size=384, sharp=s))(face)["crop"][0] for s in ("all", "face")]
    assert np.array_equal(*small)


def test_a_sharp_face_at_and_beyond_the_edge_of_the_frame(face):
    for away in (250, 5000):
        shifted = face.with_columns(landmarks=face["landmarks"] - np.array([away, 80, 0], np.float32))
        crop = AlignFFHQ(AlignOptions(size=512, sharp="face"))(shifted)["crop"][0]
        assert crop.shape == (512, 512, 3) and crop.dtype == np.uint8
