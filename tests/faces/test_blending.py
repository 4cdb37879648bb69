import cv2
import numpy as np
import pytest

from vidswap.faces import blending, compositing

SIZE = 96


def soft_disc():
    disc = np.zeros((SIZE, SIZE), np.float32)
    cv2.circle(disc, (48, 48), 28, 1.0, -1)
    return cv2.GaussianBlur(disc, (0, 0), 3) * (cv2.dilate(disc, np.ones((9, 9))) > 0)


def texture(seed):
    return np.random.default_rng(seed).integers(60, 190, (SIZE, SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["multiband", "gradient", "feather"])
def test_an_equal_image_changes_nothing(mode):
    crop = texture(0)
    image, alpha = blending.join(crop, crop, soft_disc(), mode)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == (np.float32 if mode == "gradient" else np.uint8)
    assert alpha.dtype == np.float32 and alpha.shape == (SIZE, SIZE)
    assert np.abs(image.astype(float) - crop).max() < 0.01


@pytest.mark.parametrize("mode", ["multiband", "gradient", "feather"])
def test_nothing_is_laid_where_alpha_is_zero(mode):
    cover = soft_disc()
    _, alpha = blending.join(texture(0), texture(1), cover, mode)
    assert (alpha[cover == 0] == 0).all() and alpha[48, 48] == 1


def test_a_difference_of_brightness_makes_no_step():
    crop = np.full((SIZE, SIZE, 3), 100, np.uint8)
    image = np.full((SIZE, SIZE, 3), 140, np.uint8)
    steps = {}
    for mode in ("multiband", "gradient", "feather"):
        joined, alpha = blending.join(crop, image, soft_disc(), mode)
        seen = crop + alpha[..., None] * (joined - crop)
        steps[mode] = np.abs(np.diff(seen[48, :, 0])).max()
    assert steps["multiband"] < 1.5 * steps["feather"]
    assert steps["gradient"] < 0.3 * steps["feather"]


def test_inside_the_detail_is_that_of_the_image():
    crop, image = texture(0), texture(1)
    for mode in ("multiband", "gradient"):
        joined, _ = blending.join(crop, image, soft_disc(), mode)
        inner = (slice(40, 56), slice(40, 56))
        fine = [i.astype(float)[inner] - cv2.GaussianBlur(i.astype(float), (0, 0), 2)[inner] for i in (joined, image)]
        assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.98


def test_a_label_fits_its_room_and_is_legible_on_black_and_white():
    for text, width, height in (("AI", 600, 100), ("a very long disclosure " * 6, 300, 90), ("x" * 60, 200, 60)):
        image, alpha = compositing.lettering(text, 14, width, height)
        assert alpha.shape == image.shape[:2] and alpha.shape[1] <= width and alpha.shape[0] <= height
        for ground in (0.0, 255.0):
            seen = ground + alpha[..., None] * (image - ground)
            assert np.ptp(seen) > 150


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_a_label_stands_in_its_corner(corner):
    x, y = -compositing.placed(corner, (50, 20), (320, 180), 4)[:, 2]
    assert x == (4 if "left" in corner else 266) and y == (4 if "top" in corner else 156)
