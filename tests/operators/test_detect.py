import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from vidswap.operators.detect import DetectMediaPipe, DetectOptions, DetectTracks, TracksOptions

from vidswap.graph.batch import Batch, object_column
from vidswap.graph.columns import STANDARD_COLUMNS
from vidswap.graph.operator import Setting


def frames_of(pictures) -> Batch:
    return Batch(
        frame=np.array([p.frame for p in pictures], np.int64),
        pts=np.array([p.pts for p in pictures], np.int64),
        picture=object_column(pictures),
    )


@pytest.fixture(scope="module")
def detect():
    operator = DetectMediaPipe(DetectOptions())
    operator.setup(Setting())
    yield operator
    operator.teardown()


@pytest.fixture(scope="module")
def two_faces(astronaut, grace_hopper):
    image = np.full((512, 1024, 3), 90, np.uint8)
    image[:, :512], image[:, 512:] = grace_hopper[:512], astronaut
    return image


def test_frames_become_a_row_per_face(detect, as_picture, astronaut, two_faces):
    blank = np.zeros((64, 64, 3), np.uint8)
    pictures = [as_picture(image, 7 + i) for i, image in enumerate([astronaut, blank, two_faces])]
    faces = detect(frames_of(pictures))
    assert faces["frame"].tolist() == [7, 9, 9]
    assert faces["pts"].tolist() == [7 * 512, 9 * 512, 9 * 512]
    assert faces["picture"][1] is faces["picture"][2] is pictures[2]
    assert faces["track"].tolist() == [-1, -1, -1]
    assert faces["box"][1, 0] < faces["box"][2, 0]
    assert np.array_equal(faces["signature"][1], faces["signature"][2])
    for name in DetectMediaPipe.gives:
        assert STANDARD_COLUMNS[name].check(faces[name]) is None


def test_frames_without_faces_leave_an_empty_batch_with_its_columns(detect, as_picture):
    faces = detect(frames_of([as_picture(np.zeros((64, 64, 3), np.uint8))]))
    assert len(faces) == 0
    assert faces["landmarks"].shape == (0, 478, 3)
    for name in DetectMediaPipe.gives:
        assert STANDARD_COLUMNS[name].check(faces[name]) is None


def test_batches_of_any_size_give_the_same_rows(detect, as_picture, astronaut, two_faces):
    pictures = [as_picture(image, i) for i, image in enumerate([astronaut, two_faces, astronaut[::-1], astronaut])]
    whole = detect(frames_of(pictures))
    single = Batch.concat([detect(frames_of([p])) for p in pictures])
    for name in DetectMediaPipe.gives:
        assert np.array_equal(whole[name], single[name])


@pytest.mark.parametrize("options", [{"min_score": 2}, {"refine": -1}, {"tiles": "never"}, {"min_faces": 1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValidationError):
        DetectOptions(**options)


@pytest.mark.parametrize("face", ["biggest", -1, 1.5])
def test_an_unknown_face_lists_what_may_be_said(face):
    with pytest.raises(ValidationError, match="largest, all, left, right, like:PORTRAIT or a number"):
        TracksOptions(face=face)


def test_a_number_may_be_given_as_a_number():
    assert TracksOptions(face=1).face == "1"


def scene(seed: int = 0) -> Batch:
    """Rows of three people who come, go and cross, over two shots."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(50):
        for k in range(3):
            if rng.random() < 0.15:
                continue
            x, size = 100 + 120 * k + (6 - 6 * k) * t * 0.7, 40 + 6 * k
            rows.append((t, [x, 50, x + size, 50 + size], 0.2 if t < 23 else 0.7))
    return Batch(
        frame=np.array([r[0] for r in rows], np.int64),
        box=np.array([r[1] for r in rows], np.float32),
        signature=np.repeat(np.array([[r[2]] for r in rows], np.float32), 64, 1),
        track=np.full(len(rows), -1, np.int64),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sets(st.integers(1, 49), max_size=10), st.sampled_from(["all", "largest", "left", "1"]))
def test_segments_of_any_length_give_the_tracks_of_the_whole(seed, cuts, face):
    operator = DetectTracks(TracksOptions(face=face))
    rows = scene(seed)
    whole, _ = operator.scan(rows, None)
    carry, parts = None, []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 50], strict=True):
        part, carry = operator.scan(rows.frames_between(low, high), carry)
        carry = json.loads(json.dumps(carry))
        parts.append(part)
    joined = Batch.concat(parts)
    for name in whole.names:
        assert np.array_equal(joined[name], whole[name])


def test_tracks_break_at_the_cut_and_only_asked_faces_stay():
    everyone, _ = DetectTracks(TracksOptions(face="all")).scan(scene(), None)
    before, after = everyone.frames_between(0, 23)["track"], everyone.frames_between(23, 50)["track"]
    assert not set(before) & set(after)
    left, _ = DetectTracks(TracksOptions(face="left")).scan(scene(), None)
    assert len(np.unique(left["frame"])) == len(left) < len(everyone)


def test_a_segment_without_faces_passes_the_carry_on():
    operator = DetectTracks(TracksOptions())
    _, carry = operator.scan(scene(), None)
    empty, same = operator.scan(scene().frames_between(100, 200), carry)
    assert len(empty) == 0
    assert same is carry


def test_a_cut_from_one_man_to_another_breaks_the_track(clip_frames, as_picture, detect):
    pictures = [as_picture(image, i) for i, image in enumerate(clip_frames("clip_face_leaves.mp4", stop=60))]
    faces = detect(frames_of(pictures)).without(["picture"])
    tracks, _ = DetectTracks(TracksOptions()).scan(faces, None)
    assert len(tracks) == 60
    assert set(tracks.frames_between(0, 50)["track"]) == {0}
    assert set(tracks.frames_between(50, 60)["track"]) == {1}
