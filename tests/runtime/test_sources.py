"""Which face of a portrait is meant."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.graph import Batch, InputError, Pipeline
from vidswap.runtime.sources import choose_face, followed_face, moments, prepare_source, small_face

THREE = Batch(
    frame=np.zeros(3, np.int64),
    box=np.array([[300, 0, 420, 120], [10, 0, 310, 300], [500, 0, 560, 60]], np.float32),
)


@pytest.mark.parametrize(
    ("choice", "left_edge"), [("largest", 10), ("left", 10), ("right", 500), ("0", 10), ("1", 300), ("2", 500)]
)
def test_a_face_is_chosen_by_size_side_or_index_from_the_left(choice, left_edge):
    assert choose_face(THREE, choice, "p.png")["box"][0, 0] == left_edge


def test_several_faces_without_a_choice_are_refused_with_the_option_named():
    with pytest.raises(InputError, match=r"p.png: 3 faces found .*0: 300 px high.*choose with --source-face"):
        choose_face(THREE, None, "p.png")


@pytest.mark.parametrize("choice", ["3", "-1", "middle", ""])
def test_a_wrong_choice_is_refused_with_what_is_allowed(choice):
    with pytest.raises(InputError, match=r"is none of largest, left, right, 0\.\.2"):
        choose_face(THREE, choice, "p.png")


@pytest.mark.parametrize(
    ("choice", "left_edge"),
    [("largest", 10), ("all", 10), ("like:ada.jpg", 10), ("left,right", 10), ("right", 500), ("1", 300)],
)
def test_of_the_target_once_more_the_face_is_taken_that_is_followed(choice, left_edge):
    assert followed_face(THREE, choice, "p.mp4")["box"][0, 0] == left_edge


@pytest.mark.parametrize("name", ["reenact-mesh", "reenact-landmarks"])
def test_the_neutral_moment_is_that_of_the_face_that_drives(name):
    ready = Pipeline.from_yaml(name, ["track.face=left"])
    assert ready.followed_face("driver") == "left"
    assert ready.followed_face("source") is None


def test_a_driver_with_fewer_faces_than_the_number_says_is_one_line():
    faces = SimpleNamespace(operator=SimpleNamespace(yields="face"))
    decoder = SimpleNamespace(
        probe=lambda path: SimpleNamespace(frame_count=2),
        read=lambda video, start, stop: [SimpleNamespace(frame=start, pts=0)],
    )
    box = np.array([[0, 0, 200, 200]], np.float32)
    stages = [(faces, lambda batch: batch.with_columns(box=box))]
    found, _ = prepare_source("driver", Path("d.mp4"), decoder, stages, "0", followed=True)
    assert found["frame"].tolist() == [0, 1]
    with pytest.raises(InputError, match=r"driver d.mp4: --face 1: none of 2 moments"):
        prepare_source("driver", Path("d.mp4"), decoder, stages, "1", followed=True)


def test_a_frame_without_the_face_that_is_followed_tells_nothing():
    assert len(followed_face(THREE, "3", "p.mp4")) == 0


def test_a_tiny_face_is_warned():
    face = choose_face(THREE, "2", "p.png")
    assert small_face(face["box"], "p.png") == [
        "p.png: the face is only 60 pixels high; a larger one gives a sharper and steadier result"
    ]
    # Of a video, one good frame is enough.
    assert small_face(THREE["box"], "p.mp4") == []


def test_a_source_in_which_a_later_stage_sees_no_face_is_one_line():
    def stage(yields=None):
        return SimpleNamespace(operator=SimpleNamespace(yields=yields))

    picture = SimpleNamespace(frame=0, pts=0)
    decoder = SimpleNamespace(
        probe=lambda path: SimpleNamespace(frame_count=1), read=lambda video, start, stop: [picture]
    )
    box = np.array([[0, 0, 200, 200]], np.float32)
    asked = []
    stages = [
        (stage("face"), lambda batch: batch.with_columns(box=box)),
        (stage(), lambda batch: batch.take(np.zeros(1, bool))),
        (stage(), lambda batch: asked.append(batch) or batch),
    ]
    with pytest.raises(InputError, match=r"source p.png: no face found in it"):
        prepare_source("source", Path("p.png"), decoder, stages, None)
    assert not asked


@given(frames=st.integers(1, 5000), looks=st.integers(1, 9))
def test_moments_are_spread_over_the_video_and_apart_from_one_another(frames, looks):
    runs = moments(frames, looks)
    numbers = [number for run in runs for number in run]
    assert numbers == sorted(set(numbers))
    assert 0 <= numbers[0] and numbers[-1] < frames
    assert len(runs) == min(frames, 8) and max(map(len, runs)) <= looks
    assert [run.start for run in runs] == [run.start for run in moments(frames, 1)]


def test_of_a_driver_some_frames_of_each_moment_are_looked_at():
    faces = SimpleNamespace(operator=SimpleNamespace(yields="face"))
    decoder = SimpleNamespace(
        probe=lambda path: SimpleNamespace(frame_count=400),
        read=lambda video, start, stop: [SimpleNamespace(frame=n, pts=n) for n in range(start, stop)],
    )
    stages = [(faces, lambda batch: batch.with_columns(box=np.array([[0, 0, 200, 200]], np.float32)))]
    driver, _ = prepare_source("driver", Path("d.mp4"), decoder, stages, None, followed=True)
    portrait, _ = prepare_source("source", Path("d.mp4"), decoder, stages, None)
    assert driver["frame"][:8].tolist() == [25, 28, 31, 34, 37, 40, 43, 75]
    assert portrait["frame"].tolist() == list(range(25, 400, 50))
