import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.faces.tracking import TrackingOptions, TrackState, advance, assign

GREY = np.full(64, 0.5, np.float32)
SCENE = np.random.default_rng(1).uniform(0.1, 0.6, 64).astype(np.float32)


def box(x: float, y: float = 100, size: float = 40) -> list[float]:
    return [x - size / 2, y - size / 2, x + size / 2, y + size / 2]


def scan(frames: dict[int, list[list[float]]], signatures=None, options=None) -> dict[int, list[int]]:
    state = TrackState()
    return {
        frame: advance(state, frame, np.array(boxes, np.float32), (signatures or {}).get(frame, GREY), options)
        for frame, boxes in frames.items()
    }


def test_a_moving_face_keeps_its_track():
    assert set(itertools.chain(*scan({t: [box(10 + 8 * t)] for t in range(30)}).values())) == {0}


def test_a_camera_that_is_knocked_keeps_the_tracks_of_all():
    offsets = np.random.default_rng(5).normal(0, 18, (60, 2))
    frames = {t: [box(200 + x, 200 + y), box(320 + x, 190 + y)] for t, (x, y) in enumerate(offsets)}
    assert all(numbers == [0, 1] for numbers in scan(frames).values())


def test_one_who_comes_as_another_leaves_is_another():
    frames = {t: [box(100 if t < 10 else 180)] for t in range(20)}
    assert [scan(frames)[t] for t in (9, 10)] == [[0], [1]]


def test_people_who_cross_keep_their_tracks():
    frames = {t: [box(100 + 6 * t, 100), box(340 - 6 * t, 104)] for t in range(40)}
    assert all(numbers == [0, 1] for numbers in scan(frames).values())


def test_people_who_cross_keep_their_tracks_when_one_hides_the_other():
    frames = {t: [box(100 + 6 * t), box(340 - 6 * t)] for t in range(40)}
    for t in (19, 20, 21):
        frames[t] = frames[t][:1]
    numbers = scan(frames)
    assert all(numbers[t] == [0, 1] for t in range(40) if t not in (19, 20, 21))


def test_the_order_of_the_boxes_does_not_matter():
    frames = {t: [box(100 + 3 * t), box(300 - 3 * t)][:: 1 if t % 2 else -1] for t in range(60)}
    numbers = scan(frames)
    assert all(numbers[t] == (numbers[1] if t % 2 else numbers[1][::-1]) for t in range(1, 60))


@pytest.mark.parametrize(("missing", "same"), [(1, True), (5, True), (6, False), (40, False)])
def test_a_track_bears_gaps_of_at_most_five_frames(missing, same):
    frames = {t: [box(50)] for t in (*range(10), *range(10 + missing, 20 + missing))}
    numbers = scan(frames)
    assert (numbers[9] == numbers[10 + missing]) is same


@pytest.mark.parametrize("shots", [(GREY, GREY + np.float32(0.2)), (SCENE, np.roll(SCENE, 20))])
def test_a_cut_ends_tracks_where_boxes_overlap(shots):
    frames = {t: [box(50)] for t in range(20)}
    numbers = scan(frames, {t: shots[int(t >= 8)] for t in range(20)})
    assert numbers[7] == [0]
    assert numbers[8] == [1]
    assert numbers[19] == [1]


def test_a_fast_pan_is_no_cut():
    frames = {t: [box(50)] for t in range(30)}
    ramp = {t: np.full(64, 0.03 * t, np.float32) for t in range(30)}
    assert scan(frames, ramp)[29] == [0]
    scenes = np.random.default_rng(0).uniform(0, 0.9, (5, 64)).astype(np.float32)
    moving = {t: (1 - t % 8 / 8) * scenes[t // 8] + t % 8 / 8 * scenes[t // 8 + 1] for t in range(30)}
    assert scan(frames, moving)[29] == [0]


@pytest.mark.parametrize("light", [0.3, 0.6, 1.6, 3.0])
def test_a_flash_or_a_strobe_is_no_cut(light):
    frames = {t: [box(50)] for t in range(30)}
    strobe = {t: SCENE * (light if t // 2 % 3 == 0 else 1) for t in range(30)}
    assert scan(frames, strobe)[29] == [0]


@pytest.mark.parametrize("light", [0.3, 1.0, 1.6])
def test_a_cut_to_a_darker_or_a_brighter_shot_is_one(light):
    shots = {t: SCENE if t < 3 else light * np.roll(SCENE, 20) for t in range(6)}
    numbers = scan({t: [box(50)] for t in range(6)}, shots)
    assert [numbers[t] for t in (2, 3, 5)] == [[0], [1], [1]]


def test_a_cut_is_seen_over_frames_without_faces():
    frames = {t: [box(50)] for t in (0, 1, 2, 5, 6)}
    numbers = scan(frames, {t: GREY if t < 4 else 1 - np.linspace(0, 1, 64, dtype=np.float32) for t in frames})
    assert numbers[2] == [0]
    assert numbers[5] == [1]


def test_a_face_that_jumps_or_changes_size_is_another():
    assert scan({0: [box(50)], 1: [box(150)]})[1] == [1]
    assert scan({0: [box(50)], 1: [box(50, size=100)]})[1] == [1]


def test_frames_out_of_order_are_refused():
    state = TrackState()
    advance(state, 3, np.array([box(50)]), GREY)
    with pytest.raises(ValueError, match="frame 3 comes after frame 3"):
        advance(state, 3, np.array([box(50)]), GREY)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
def test_assignment_costs_as_little_as_the_best_of_all(rows, columns, seed):
    cost = np.random.default_rng(seed).integers(0, 20, (rows, columns)).astype(float)
    chosen = assign(cost)
    pairs = [(r, c) for r, c in enumerate(chosen) if c >= 0]
    assert len(pairs) == min(rows, columns) == len({c for _, c in pairs})
    wide = cost if rows <= columns else cost.T
    least = min(
        sum(wide[r, c] for r, c in enumerate(perm)) for perm in itertools.permutations(range(wide.shape[1]), len(wide))
    )
    assert sum(cost[r, c] for r, c in pairs) == least


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.integers(1, 39), max_size=8))
def test_a_scan_in_pieces_gives_the_tracks_of_the_whole(seed, cuts):
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 400, 4), rng.uniform(-12, 12, 4)
    frames = {
        t: np.array([box(start[k] + speed[k] * t, 60 * k) for k in range(4) if rng.random() > 0.2], np.float32)
        for t in range(40)
        if rng.random() > 0.1
    }
    frames = {t: boxes.reshape(-1, 4) for t, boxes in frames.items() if len(boxes)}
    signatures = {t: (GREY * rng.choice([1, 1, 1, 1.6], p=[0.4, 0.3, 0.2, 0.1])).astype(np.float32) for t in frames}
    whole = scan(frames, signatures)
    state, pieces = TrackState(), {}
    for t, boxes in frames.items():
        if t in cuts:
            state = TrackState.from_dict(json.loads(json.dumps(state.to_dict())))
        pieces[t] = advance(state, t, boxes, signatures[t], TrackingOptions())
    assert pieces == whole
