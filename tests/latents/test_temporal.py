"""Filters of codes: what they keep of motion, what they take of noise, and that a cut changes no bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.latents import temporal
from vidswap.latents.temporal import Steadying
from vidswap.metrics.motion import BandMotion

RATE = 25.0
KINDS = [
    Steadying("gaussian", 1.0),
    Steadying("savitzky-golay", window=7),
    Steadying(),
    Steadying("adaptive", 1.0, eager=0.5, reach=9),
    Steadying("none"),
]


def path(count=200, noise=0.05, seed=0):
    """(N, 6, 8) float32: nods at 0.4 to 2.5 Hz, the faster the smaller, through random directions, and noise."""
    random = np.random.default_rng(seed)
    time = np.arange(count) / RATE
    waves = np.stack([np.sin(2 * np.pi * f * time + f) / f for f in (0.4, 1.0, 1.7, 2.5)], 1)
    clean = waves @ random.normal(0, 0.5, (4, 48))
    return clean, (clean + random.normal(0, noise, clean.shape)).astype(np.float32).reshape(count, 6, 8)


def measured(before, after, band):
    motion = BandMotion(RATE, band)
    for one, other in zip(before.reshape(len(before), -1), after.reshape(len(after), -1), strict=True):
        motion.add(one, other)
    motion.cut()
    return motion


@pytest.mark.parametrize("how", KINDS[:3], ids=lambda how: how.filter)
def test_noise_is_at_least_halved_and_motion_keeps_its_size_without_lag(how):
    clean, codes = path(noise=0.1)
    made = how(np.arange(len(codes)), codes)
    noise, motion = measured(codes, made, (5.0, RATE / 2)), measured(clean, made, (0.3, 3.0))
    assert noise.other_power < 0.5 * noise.power
    assert 0.95 < motion.gain < 1.01
    assert abs(motion.lag_frames) < 0.1


def test_the_adaptive_filter_leaves_fast_motion_alone_and_calms_rest():
    how = Steadying("adaptive", 2.5, eager=0.5)
    random = np.random.default_rng(1)
    rest = random.normal(0, 0.05, (100, 20))
    moving = rest + 3 * np.sin(np.arange(100) / 3.0)[:, None]
    frames = np.arange(100)
    assert how(frames, rest)[20:80].std() < 0.6 * rest.std()
    assert np.abs(how(frames, moving) - moving).max() < 0.05


def test_a_steady_drift_stays_as_it_is_up_to_the_ends():
    frames = np.arange(30)
    drift = np.linspace(0, 5, 30)[:, None] * np.ones(4)
    for how in KINDS:
        assert np.abs(how(frames, drift) - drift).max() < 1e-9


def test_motion_is_told_in_deviations_of_the_noise():
    random = np.random.default_rng(2)
    frames = np.arange(60)
    noise = random.normal(0, 0.1, (60, 400))
    assert np.median(temporal.motion_over_noise(frames, noise, 6)) < 0.3
    drifting = noise + 0.4 * frames[:, None]
    assert np.allclose(temporal.motion_over_noise(frames, drifting, 6), 4.0, rtol=0.2)
    assert np.isinf(temporal.motion_over_noise(np.arange(0, 60, 2), noise[::2], 6)).all()
    assert (temporal.motion_over_noise(frames, np.zeros((60, 3)), 6) == 0).all()


@given(
    seed=st.integers(0, 200),
    cuts=st.sets(st.integers(1, 59), max_size=4),
    how=st.sampled_from(KINDS),
    lost=st.sampled_from([0.0, 0.2, 0.6]),
)
def test_a_cut_changes_no_bit(seed, cuts, how, lost):
    _, codes = path(60, seed=seed)
    frames = np.flatnonzero(np.random.default_rng(seed).random(60) >= lost)
    whole = how(frames, codes[frames])
    bounds = [0, *sorted(cuts), 60]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        seen = frames[(frames >= start - how.radius) & (frames < stop + how.radius)]
        if len(seen):
            part = how(seen, codes[seen])
            own = (seen >= start) & (seen < stop)
            assert np.array_equal(part[own], whole[np.isin(frames, seen[own])])


def test_finer_rows_are_smoothed_for_longer():
    _, codes = path()
    frames = np.arange(len(codes))
    made = temporal.steadied_wplus(frames, codes, Steadying("gaussian", 1.0), fine_from=3, fine_sigma=8.0)
    plain = Steadying("gaussian", 1.0)(frames, codes)
    assert np.array_equal(made[:, :3], plain[:, :3])
    assert np.diff(made[:, 3:], axis=0).std() < 0.5 * np.diff(plain[:, 3:], axis=0).std()
    assert made.dtype == np.float32


def test_the_portraits_code_is_an_anchor():
    _, codes = path(10)
    own = np.ones((6, 8), np.float32)
    made = temporal.anchored(codes, own, 1.0, first_row=4)
    assert np.array_equal(made[:, :4], codes[:, :4]) and np.allclose(made[:, 4:], 1.0, atol=1e-6)
    assert np.array_equal(temporal.anchored(codes, own, 0.0), codes)
    with pytest.raises(ValueError, match="from 0 to 1"):
        temporal.anchored(codes, own, 1.5)


def test_keyframes_are_counted_from_the_video_and_ends_of_tracks_are_kept():
    frames = np.array([3, 4, 5, 6, 7, 8, 9, 12, 13])
    assert temporal.keyframes(frames, 4).tolist() == [True, True, False, False, False, True, True, True, True]
    assert temporal.keyframes(frames[:0], 4).tolist() == []


@pytest.mark.parametrize("clip", ["clip_talking_woman.mp4"])
def test_real_footage_is_steadied_and_keeps_its_motion(clip_frames, face_model, as_picture, clip):
    """Landmarks of real frames, searched one by one, in place of codes: any linear map of them has their spectrum."""
    from vidswap.faces.detection import find_faces

    points = [find_faces(as_picture(image), face_model).landmarks[0][:, :2] for image in clip_frames(clip, stop=75)]
    codes = np.stack(points).astype(np.float32)
    made = Steadying()(np.arange(len(codes)), codes)
    noise, motion = measured(codes, made, (5.0, RATE / 2)), measured(codes, made, (1.0, 3.0))
    assert noise.other_power < 0.5 * noise.power
    assert motion.gain > 0.95 and abs(motion.lag_frames) < 0.05
