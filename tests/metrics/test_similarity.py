import math

import numpy as np
import pytest

from vidswap.metrics.similarity import psnr, ssim


def plain_ssim(a, b, peak):
    """The formula of Wang et al., window by window."""
    offset = np.arange(11) - 5
    weight = np.exp(-(offset**2) / (2 * 1.5**2))
    weight = np.outer(weight, weight) / weight.sum() ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11].astype(float), b[y : y + 11, x : x + 11].astype(float)
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
            cov = (weight * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


@pytest.fixture
def noisy():
    rng = np.random.default_rng(5)
    a = rng.integers(0, 256, (24, 31), np.uint8)
    return a, np.clip(a.astype(int) + rng.integers(-20, 21, a.shape), 0, 255).astype(np.uint8)


def test_psnr_of_equal_pictures_is_infinite():
    assert psnr(np.full((3, 4, 3), 7, np.uint8), np.full((3, 4, 3), 7, np.uint8)) == math.inf


def test_psnr_of_one_grey_level_is_48_13_db():
    assert psnr(np.zeros((5, 5), np.uint8), np.ones((5, 5), np.uint8)) == pytest.approx(48.1308, abs=1e-4)


def test_psnr_takes_the_chosen_pixels_and_the_peak_of_the_depth():
    a = np.zeros((4, 4), np.uint16)
    b = a.copy()
    b[0, 0] = 1023
    where = np.ones((4, 4), bool)
    assert psnr(a, b, peak=1023) == pytest.approx(10 * math.log10(16))
    where[0, 0] = False
    assert psnr(a, b, peak=1023, where=where) == math.inf
    assert math.isnan(psnr(a, b, where=np.zeros((4, 4), bool)))


def test_ssim_is_that_of_the_plain_formula(noisy):
    assert ssim(*noisy) == pytest.approx(plain_ssim(*noisy, 255.0), abs=1e-9)
    assert ssim(noisy[0], noisy[0]) == 1.0


def test_ssim_of_colours_is_the_mean_over_channels(noisy):
    a, b = noisy
    colour = ssim(np.dstack([a, a, a]), np.dstack([a, b, b]))
    assert colour == pytest.approx((1 + 2 * ssim(a, b)) / 3)


def test_shapes_that_differ_and_small_pictures_are_refused():
    with pytest.raises(ValueError, match=r"one shape were expected, got \(4, 4\) and \(4, 5\)"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="11 x 11 pixels or more, got 30 x 10"):
        ssim(np.zeros((10, 30)), np.zeros((10, 30)))
