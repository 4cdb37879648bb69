import numpy as np
import pytest

from vidswap.metrics.running import Roughness, Running, ratio


def roughness(values, scale=1.0, cut_at=None):
    found = Roughness()
    for i, value in enumerate(values):
        if i == cut_at:
            found.cut()
        found.add(value, scale)
    return found


def test_mean_and_deviation_are_those_of_all_numbers_also_when_merged():
    numbers = np.random.default_rng(0).normal(3, 2, 100)
    one, two = Running(), Running()
    for i, n in enumerate(numbers):
        (one if i < 37 else two).add(float(n))
    one.merge(two)
    one.merge(Running())
    assert (one.count, one.mean, one.deviation) == pytest.approx((100, numbers.mean(), numbers.std()))


def test_uniform_motion_is_smooth():
    assert roughness(np.arange(10.0)[:, None, None] * np.ones((1, 4, 2))).rms == 0.0


def test_white_noise_is_rough_by_the_root_of_six():
    noise = np.random.default_rng(2).normal(size=(400, 50, 2))
    # Two coordinates of a point: the square of its length counts.
    assert roughness(noise).rms == pytest.approx(np.sqrt(6 * 2), rel=0.02)
    assert roughness(noise[:, 0, 0]).rms == pytest.approx(np.sqrt(6), rel=0.1)


def test_roughness_is_told_in_the_scale_of_the_face():
    points = np.random.default_rng(2).normal(size=(20, 5, 2))
    assert roughness(points, scale=4.0).rms == pytest.approx(roughness(points).rms / 4)


def test_a_jump_at_a_cut_is_not_rough():
    steps = [0.0] * 5 + [9.0] * 5
    assert roughness(steps, cut_at=5).rms == 0.0
    assert roughness(steps).rms > 3
    assert roughness([1.0, 2.0]).rms is None


def test_ratio_of_nothing_to_nothing_is_1():
    assert ratio(0.0, 0.0) == 1.0
    assert ratio(2.0, 4.0) == 0.5
    assert ratio(1.0, 0.0) is None
    assert ratio(None, 1.0) is None
