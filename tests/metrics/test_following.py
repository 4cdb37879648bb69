"""Measures of a face that follows another one, in another place, size and pose: what moves less, late or otherwise."""

import numpy as np
import pytest

from vidswap.metrics.following import FollowedFace, FollowingMeasures, Together

RATE = 25.0


def angles(i, lag=0.0, gain=1.0):
    time = (i - lag) / RATE
    turned = np.array([8 * np.sin(2 * np.pi * 2 * time), 5 * np.sin(2 * np.pi * 1.5 * time), 0.0])
    return gain * turned


def face(i, *, lag=0.0, gain=1.0, mouth=1.0, tremble=0.0, flicker=0.0, frame=None):
    points = np.random.default_rng(0).normal(size=(30, 2)) * 40
    own = points + 6 * np.sin(2 * np.pi * i / RATE)
    other = 3 * own + 500 + tremble * np.random.default_rng(i).normal(size=own.shape)
    gauge = np.array([0.3 + 0.2 * np.sin(2 * np.pi * 1.1 * i / RATE), 0.3])
    crops = np.full((2, 16, 16, 3), 120, np.uint8)
    crops[0] += np.uint8(i % 2)
    crops[1] += np.uint8((1 + flicker) * (i % 2))
    everywhere = np.ones((16, 16), bool)
    return FollowedFace(
        frame=i if frame is None else frame,
        landmarks=(own, other),
        sizes=(40.0, 120.0),
        poses=(angles(i), angles(i, lag, gain) + (10.0, -20.0, 3.0)),
        gauges=(gauge, mouth * gauge + 0.1),
        crops=(crops[0], crops[1]),
        faces=(everywhere, everywhere),
    )


def measured(faces):
    measures = FollowingMeasures(RATE)
    for one in faces:
        measures.add(one)
    measures.cut()
    return measures.values()


def test_one_that_does_the_same_in_another_place_size_and_pose_follows_wholly():
    values = measured(face(i) for i in range(100))
    assert values["jitter_ratio"] == pytest.approx(1.0)
    assert values["turn_gain"] == pytest.approx(1.0) and values["lag_frames"] == pytest.approx(0.0, abs=1e-6)
    assert values["pose_deviation_deg"] == pytest.approx(0.0, abs=1e-9)
    assert values["mouth_follows"] == pytest.approx(1.0)
    assert values["flicker_ratio"] == pytest.approx(1.0) and values["faces_found_share"] == 1.0
    assert values["lids_follow"] is None and values["likeness"] is None


def test_turns_that_are_smaller_or_late_are_found():
    values = measured(face(i, gain=0.6, lag=2.0) for i in range(100))
    assert values["turn_gain"] == pytest.approx(0.6, abs=0.03)
    assert values["lag_frames"] == pytest.approx(2.0, abs=0.1)
    assert values["pose_deviation_deg"] > 2


def test_trembling_flicker_and_a_mouth_that_does_otherwise_are_found():
    values = measured(face(i, tremble=3.0, flicker=2, mouth=-1.0) for i in range(100))
    assert values["jitter_ratio"] > 1.5
    assert values["flicker_ratio"] == pytest.approx(3.0)
    assert values["mouth_follows"] == pytest.approx(-1.0)


def test_a_driver_that_is_still_says_nothing_of_turns():
    still = [face(0, frame=i) for i in range(100)]
    values = measured(still)
    assert values["turn_gain"] is None and values["lag_frames"] is None and values["mouth_follows"] is None


def test_faces_that_are_lost_are_counted_and_nothing_goes_over_the_gap():
    measures = FollowingMeasures(RATE)
    for i in range(3):
        measures.add(face(i))
        measures.miss()
    assert measures.values()["faces_found_share"] == 0.5
    assert measures.values()["jitter_ratio"] is None


def test_correlation_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    first = np.cumsum(rng.normal(size=200))
    second = 2 * first + rng.normal(size=200)
    together = Together()
    for pair in zip(first, second, strict=True):
        together.add(*map(float, pair))
    assert together.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    noise = Together()
    for value in rng.normal(size=200):
        noise.add(float(value), float(value))
    assert noise.correlation is None
