import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.faces.selection import SelectionOptions, SelectionState, check_face, choices, choose
from vidswap.faces.tracking import TrackState, advance
from vidswap.graph.errors import InputError

GREY = np.full(64, 0.5, np.float32)


def box(x: float, size: float = 40) -> list[float]:
    return [x - size / 2, 100 - size / 2, x + size / 2, 100 + size / 2]


def run(frames: dict[int, list[list[float]]], face: str, signatures=None) -> dict[int, list[int]]:
    """Indices of the boxes chosen in each frame."""
    tracks, state, result = TrackState(), SelectionState(), {}
    for frame, boxes in frames.items():
        numbers = advance(tracks, frame, np.array(boxes, np.float32), (signatures or {}).get(frame, GREY))
        chosen = choose(state, tracks, SelectionOptions(face))
        result[frame] = [i for i, n in enumerate(numbers) if n in chosen]
    return result


@pytest.mark.parametrize("face", ["biggest", "-1", "1.5", "", "²"])
def test_an_unknown_choice_lists_what_may_be_said(face):
    with pytest.raises(InputError, match="largest, all, left, right, like:PORTRAIT or a number"):
        check_face(face)


@pytest.mark.parametrize(("face", "index"), [("largest", 1), ("left", 0), ("right", 2), ("0", 0), ("1", 1), ("2", 2)])
def test_each_choice_takes_its_face(face, index):
    frames = {t: [box(50, 40), box(150, 60), box(250, 50)] for t in range(5)}
    assert set(map(tuple, run(frames, face).values())) == {(index,)}


def test_all_takes_all_and_a_number_too_high_takes_none():
    frames = {t: [box(50), box(150)] for t in range(5)}
    assert run(frames, "all")[4] == [0, 1]
    assert run(frames, "2")[4] == []


def test_the_largest_does_not_flicker_between_faces_of_like_size():
    rng = np.random.default_rng(0)
    frames = {t: [box(50, 40 + rng.uniform(-4, 4)), box(150, 40 + rng.uniform(-4, 4))] for t in range(200)}
    assert len(set(map(tuple, run(frames, "largest").values()))) == 1


def test_the_largest_gives_way_to_one_that_stays_clearly_larger():
    frames = {t: [box(50, 40), box(150, 30 if t < 20 else 60)] for t in range(80)}
    # Boxes may not double from one frame to the next, or their track ends.
    frames.update({t: [box(50, 40), box(150, 45)] for t in (20, 21)})
    chosen = run(frames, "largest")
    assert chosen[25] == [0]
    assert chosen[79] == [1]


def test_left_stays_with_the_person_when_people_cross():
    frames = {t: [box(100 + 5 * t), box(300 - 5 * t)] for t in range(40)}
    assert set(map(tuple, run(frames, "left").values())) == {(0,)}


def test_a_false_face_of_a_few_frames_does_not_take_the_place():
    frames = {t: [box(150)] + ([box(40)] if 20 <= t < 28 else []) for t in range(60)}
    assert set(map(tuple, run(frames, "left").values())) == {(0,)}


def test_left_is_taken_over_by_one_who_comes_in_from_the_left_and_stays():
    frames = {t: [box(150)] + ([box(40)] if t >= 20 else []) for t in range(60)}
    chosen = run(frames, "left")
    assert chosen[25] == [0]
    assert chosen[59] == [1]


def test_a_lost_face_is_waited_for_before_its_neighbour_is_taken():
    frames = {t: ([box(50, 60)] if t < 20 or t >= 32 else []) + [box(250)] for t in range(90)}
    chosen = run(frames, "largest")
    assert all(chosen[t] == [] for t in range(20, 32))
    assert all(chosen[t] == [0] for t in range(32, 90))


def test_the_neighbour_is_taken_when_the_lost_face_stays_away():
    frames = {t: ([box(50, 60)] if t < 20 else []) + [box(250)] for t in range(90)}
    chosen = run(frames, "largest")
    assert chosen[30] == []
    assert chosen[89] == [0]


def test_a_face_that_comes_back_alone_is_taken_at_once():
    frames = {t: [box(50)] for t in range(10)} | {t: [box(300)] for t in range(20, 30)}
    assert all(chosen == [0] for chosen in run(frames, "largest").values())


def test_a_new_shot_is_chosen_in_afresh():
    frames = {t: [box(50, 60), box(150, 40)] if t < 10 else [box(50, 40), box(150, 60)] for t in range(20)}
    bright = GREY + np.float32(0.3)
    chosen = run(frames, "largest", {t: GREY if t < 10 else bright for t in range(20)})
    assert chosen[9] == [0]
    assert chosen[10] == [1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.integers(1, 59), max_size=8), st.sampled_from(["largest", "left", "1"]))
def test_a_scan_in_pieces_chooses_as_the_whole_does(seed, cuts, face):
    rng = np.random.default_rng(seed)
    frames = {
        t: [box(60 + 90 * k + 3 * rng.normal(), 40 * rng.uniform(0.8, 1.3)) for k in range(3) if rng.random() > 0.3]
        for t in range(60)
    }
    frames = {t: boxes for t, boxes in frames.items() if boxes}

    def once(cut_at):
        tracks, state, result = TrackState(), SelectionState(), []
        for t, boxes in frames.items():
            if t in cut_at:
                tracks = TrackState.from_dict(json.loads(json.dumps(tracks.to_dict())))
                state = SelectionState.from_dict(json.loads(json.dumps(state.to_dict())))
            advance(tracks, t, np.array(boxes, np.float32), GREY)
            result.append(choose(state, tracks, SelectionOptions(face)))
        return result

    assert once(cuts) == once(set())


def test_a_list_names_a_face_for_each_person(tmp_path):
    assert choices("left, 2") == ("left", "2")
    assert choices("largest") == ("largest",)
    portrait = tmp_path / "ada, smiling.jpg"
    portrait.touch()
    assert choices(f"like:{portrait}") == (f"like:{portrait}",)
    for wrong in ("left,left", "all,left", "left,"):
        with pytest.raises(InputError, match="face is"):
            choices(wrong)


def test_what_another_choice_has_is_not_taken():
    tracks = TrackState()
    numbers = advance(tracks, 0, np.array([box(50), box(150)], np.float32), GREY)
    state = SelectionState()
    assert choose(state, tracks, SelectionOptions("left"), taken={numbers[0]}) == []
    assert choose(state, tracks, SelectionOptions("right"), taken={numbers[0]}) == [numbers[1]]
    assert choose(SelectionState(), tracks, SelectionOptions("largest"), taken={numbers[0]}) == [numbers[1]]


def test_the_face_nearest_in_shape_is_taken_and_kept():
    tracks, state, how = TrackState(), SelectionState(), SelectionOptions("like:ada.jpg", hold=3)
    taken = []
    for frame in range(12):
        a, b = advance(tracks, frame, np.array([box(50), box(150)], np.float32), GREY)
        # The second face is a little nearer from the third frame on, and clearly from the sixth.
        nearer = {a: 1.0, b: 2.0} if frame < 3 else {a: 1.0, b: 0.95} if frame < 6 else {a: 1.0, b: 0.5}
        taken += choose(state, tracks, how, distances=nearer)
    assert taken == [a] * 9 + [b] * 3
