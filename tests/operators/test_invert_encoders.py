"""The faces that encoders are shown."""

import cv2
import numpy as np
import pytest
from vidswap.operators.invert_encoders import sampled

from vidswap import media
from vidswap.faces import alignment


def picture_of(image, path):
    cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
    return next(iter(media.read(media.probe(path), 0, 1)))


def test_a_crop_of_the_right_size_within_the_frame_is_itself(tmp_path):
    picture = picture_of(np.full((300, 300, 3), 90, np.uint8), tmp_path / "grey.png")
    matrix = alignment.matrix_of_axes(np.array([[150, 150], [60, 0], [0, 60]]), 256)
    crop = picture.crop(matrix, (256, 256))
    assert sampled(picture, matrix, crop) is crop
    assert sampled(picture, matrix, crop, side=64).shape == (64, 64, 3)
    assert sampled(picture, matrix - [[0, 0, -200], [0, 0, 0]], crop) is not crop


@pytest.mark.parametrize(("case", "mean"), [("centre", 0.6), ("shrink", 1.2), ("border", 0.6)])
def test_the_aligned_crop_is_the_published_one_beyond_the_picture_too(shared, tmp_path, case, mean):
    golden = np.load(shared / "fixtures/stylemask/ffhq_align_crop.npz")
    picture = picture_of(golden[f"{case}.image"], tmp_path / "image.png")
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes_dlib(golden[f"{case}.landmarks"]), 256)
    made = sampled(picture, matrix, picture.crop(matrix, (256, 256)))
    # The README allows a mean of two grey levels where the resampler is another one.
    assert np.abs(made.astype(int) - golden[f"{case}.crop256"]).mean() <= mean
