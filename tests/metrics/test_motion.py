import numpy as np
import pytest

from vidswap.metrics.motion import BandMotion

RATE = 25.0


def measured(target, result, *, cut_at=None):
    motion = BandMotion(RATE)
    for i, (a, b) in enumerate(zip(target, result, strict=True)):
        if i == cut_at:
            motion.cut()
        motion.add(a, b)
    motion.cut()
    return motion


def swinging(hertz, frames=200, points=5, late=0.0):
    time = (np.arange(frames) - late) / RATE
    return 3 * np.sin(2 * np.pi * hertz * time + 0.4)[:, None, None] * np.ones((1, points, 2))


def test_equal_motions_have_gain_1_and_lag_0_exactly():
    track = np.random.default_rng(1).normal(size=(173, 9, 2)).cumsum(0)
    motion = measured(track, track)
    assert motion.gain == 1.0
    assert motion.lag_frames == 0.0


@pytest.mark.parametrize("hertz", [1.2, 2.0, 2.8])
@pytest.mark.parametrize("late", [0.0, 0.5, 2.0, -1.25])
def test_lag_and_gain_of_a_sine_are_found(hertz, late):
    motion = measured(swinging(hertz), 0.7 * swinging(hertz, late=late))
    assert motion.lag_frames == pytest.approx(late, abs=0.06)
    assert motion.gain == pytest.approx(0.7, abs=0.01)


def test_motion_beyond_the_band_does_not_count():
    target = swinging(2.0)
    motion = measured(target + 5 * swinging(0.25), target + 4 * swinging(8.0))
    assert motion.gain == pytest.approx(1.0, abs=0.05)


def test_noise_of_the_result_does_not_raise_the_gain():
    rng = np.random.default_rng(3)
    target = swinging(1.7, points=40)
    motion = measured(target, 0.5 * target + rng.normal(scale=1.0, size=target.shape))
    assert motion.gain == pytest.approx(0.5, abs=0.02)


def test_a_frozen_result_has_gain_0():
    assert measured(swinging(2.0), np.zeros((200, 5, 2))).gain == pytest.approx(0.0, abs=1e-9)


def test_a_jump_at_a_cut_is_no_motion():
    still = np.zeros((200, 5, 2))
    still[100:] += 50
    assert measured(still, still, cut_at=100).size == 0.0
    assert measured(still, still).size > 1


def test_what_is_shorter_than_a_second_and_a_half_is_not_judged():
    assert measured(swinging(2.0, frames=37), swinging(2.0, frames=37)).gain is None
    assert measured(swinging(2.0, frames=38), swinging(2.0, frames=38)).gain == 1.0


def test_size_is_the_root_mean_square_of_a_points_motion():
    # A sine of amplitude 3 in x and in y has a mean square of 9.
    assert measured(swinging(2.0, frames=400), swinging(2.0, frames=400)).size == pytest.approx(3.0, rel=0.03)


def test_what_is_held_does_not_grow():
    motion = BandMotion(RATE)
    for _ in range(3):
        for point in swinging(2.0, frames=1000):
            motion.add(point, point)
        assert len(motion._held) <= 100


def test_merged_streams_measure_as_one_with_a_cut():
    one, two = swinging(1.5, 120), swinging(2.5, 160)
    together = measured(np.concatenate([one, two]), 0.8 * np.concatenate([one, two]), cut_at=120)
    merged = measured(one, 0.8 * one)
    merged.merge(measured(two, 0.8 * two))
    assert merged.gain == pytest.approx(together.gain, rel=1e-12)
    assert merged.size == pytest.approx(together.size, rel=1e-12)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0, got 0"):
        BandMotion(0)
