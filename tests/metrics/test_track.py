"""All measures of one face, on made-up faces: no video, no model."""

import numpy as np
import pytest

from vidswap.metrics.track import FaceSample, TrackMeasures

RATE = 25.0
FACE = np.ones((32, 32), bool)


def face_at(frame, *, move=5.0, hertz=2.0):
    rng = np.random.default_rng(9)
    return rng.uniform(0, 100, (40, 3)) + [move * np.sin(2 * np.pi * hertz * frame / RATE), 0, 0]


def crop_at(frame, bright=0):
    y, x = np.mgrid[:32, :32]
    image = 120 + 40 * np.sin((x + frame) / 4) + 30 * np.cos(y / 3) + bright
    return np.repeat(image[..., None], 3, 2).astype(np.uint8)


def sample(frame, *, points=None, other=None, bright=0, seam=None, change=0.0, pose=0.0):
    own = face_at(frame) if points is None else points
    return FaceSample(
        frame=frame,
        target=own,
        result=own if other is None else other,
        size=50.0,
        target_pose=np.zeros(3),
        result_pose=np.array([pose, 0.0, -pose]),
        target_crop=crop_at(frame),
        result_crop=crop_at(frame, bright),
        face=FACE,
        seam=seam,
        change=change,
        noise=0.0,
    )


def measured(samples):
    track = TrackMeasures(RATE)
    for one in samples:
        track.add(one)
    track.cut()
    return track


def test_a_face_that_is_itself_has_ratios_of_exactly_1():
    values = measured(sample(i) for i in range(60)).values()
    assert values["jitter_ratio"] == values["flicker_ratio"] == values["warping_ratio"] == values["motion_gain"] == 1.0
    assert values["lag_frames"] == values["pose_difference_deg"] == values["nme"] == values["seam"] == 0.0


def test_a_still_face_that_is_itself_has_gain_1_also_when_it_is_short():
    values = measured(sample(i, points=face_at(0)) for i in range(5)).values()
    assert (values["motion_gain"], values["lag_frames"], values["jitter_ratio"]) == (1.0, 0.0, 1.0)


def test_motion_that_is_no_more_than_noise_is_not_judged():
    rng = np.random.default_rng(1)
    pairs = [(face_at(0) + rng.normal(size=(40, 3)), face_at(0) + rng.normal(size=(40, 3))) for _ in range(120)]
    values = measured(sample(i, points=a, other=b) for i, (a, b) in enumerate(pairs)).values()
    assert values["motion_gain"] is None and values["lag_frames"] is None
    assert values["target_motion"] > 0
    assert values["jitter_ratio"] == pytest.approx(1.0, abs=0.05)


def test_halved_motion_has_half_the_gain_and_half_the_jitter():
    halved = [sample(i, other=face_at(i, move=2.5)) for i in range(100)]
    values = measured(halved).values()
    assert values["motion_gain"] == pytest.approx(0.5, abs=0.01)
    assert values["jitter_ratio"] == pytest.approx(0.5, abs=0.01)


def test_pose_nme_seam_and_change_are_means_over_frames():
    other = face_at(0) + [3.0, 4.0, 99.0]
    frames = [sample(i, points=face_at(0), other=other, pose=6.0 * i, seam=float(i), change=10.0) for i in range(3)]
    track = measured(frames)
    values = track.values()
    assert values["nme"] == pytest.approx(0.1)
    assert values["pose_difference_deg"] == pytest.approx(4.0)
    assert values["yaw_difference_deg"] == values["roll_difference_deg"] == pytest.approx(6.0)
    assert values["seam"] == 1.0
    assert values["seam_deviation"] == pytest.approx(np.std([0, 1, 2]))
    assert track.changed


def test_what_coding_does_to_a_face_has_no_seam():
    coded = measured(sample(i, seam=2.0, change=0.8) for i in range(3))
    assert not coded.changed
    assert coded.values()["seam"] is None and coded.values()["change"] == pytest.approx(0.8)


def test_brightness_that_alternates_flickers_and_warps_badly():
    steady = measured(sample(i, bright=20, change=20.0) for i in range(12)).values()
    values = measured(sample(i, bright=20 * (i % 2), change=10.0) for i in range(12)).values()
    assert values["flicker_ratio"] > 10 and values["warping_ratio"] > 3
    assert steady["flicker_ratio"] == pytest.approx(1.0) and steady["warping_ratio"] == pytest.approx(1.0)


def test_gaps_and_lost_faces_are_cuts():
    jump = [sample(i, points=face_at(0)) for i in range(5)] + [sample(i, points=face_at(0) + 90) for i in range(9, 14)]
    assert measured(jump).values()["target_jitter"] == 0.0
    track = TrackMeasures(RATE)
    for i in range(10):
        if i == 5:
            track.miss()
        else:
            track.add(sample(i, points=face_at(0) + 90 * (i > 5)))
    assert track.values()["target_jitter"] == 0.0
    assert (track.frames, track.lost) == (9, 1)


def test_what_is_held_does_not_grow_with_the_frames():
    def held(track):
        return len(track._motion._held) + sum(len(r._held) for r in track._trembling)

    track = TrackMeasures(RATE)
    sizes = []
    for i in range(450):
        track.add(sample(i, points=face_at(i)[:5]))
        sizes.append(held(track))
    assert max(sizes[200:]) == max(sizes[100:200])


def test_faces_are_weighed_by_their_frames_when_merged():
    total = TrackMeasures(RATE)
    total.merge(measured(sample(i, pose=3.0, change=10.0) for i in range(30)))
    total.merge(measured(sample(i, pose=6.0, change=10.0) for i in range(10)))
    assert total.frames == 40
    assert total.values()["yaw_difference_deg"] == pytest.approx(3.75)
    assert TrackMeasures(RATE).values()["jitter_ratio"] is None
