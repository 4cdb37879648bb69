"""Tables between the parts of a run: what is kept of them, and which rows go with which pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidswap.graph import Batch, Segment, object_column
from vidswap.runtime.tables import attached, frames_of, own_rows, shed, spans_of, stored


@dataclass
class Shown:
    frame: int


def faces(*frames):
    return Batch(frame=np.array(frames, np.int64), track=np.arange(len(frames)))


def test_transient_columns_and_objects_are_never_stored():
    batch = faces(3, 4).with_columns(
        own=np.array([True, False]),
        picture=object_column([Shown(3), Shown(4)]),
        notes=object_column(["a", "b"]),
        mine=np.array([1.5, 2.5]),
    )
    assert stored(batch, ["frame", "own", "picture", "notes", "mine", "missing"]).names == ("frame", "mine")
    kept = shed({"face": batch, "frame": Batch()}, ["track"])
    assert kept["face"].names == ("track",) and kept["frame"].names == ()


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 1000))
def test_spans_hold_the_wanted_frames_and_no_other_and_do_not_touch(wanted, first):
    frames = np.arange(first, first + len(wanted))
    found = spans_of(frames, np.array(wanted, bool))
    assert [f for a, b in found for f in range(a, b)] == frames[np.array(wanted, bool)].tolist()
    assert all(b < c for (_, b), (c, _) in zip(found, found[1:], strict=False))


def test_the_frames_of_a_segment_have_the_videos_timestamps():
    @dataclass
    class Video:
        pts: tuple = tuple(10 * i + i % 3 for i in range(9))

    batch = frames_of(Video(), Segment(1, 4, 7))
    assert batch["frame"].tolist() == [4, 5, 6] and batch["pts"].tolist() == [41, 52, 60]
    assert batch["frame"].dtype == batch["pts"].dtype == np.int64


def test_rows_of_neighbours_are_left_out():
    tables = own_rows({"frame": faces(3, 4, 5, 6), "face": faces(2, 4, 4, 5, 9)}, Segment(0, 4, 6))
    assert tables["frame"]["frame"].tolist() == [4, 5] and tables["face"]["frame"].tolist() == [4, 4, 5]
    assert len(own_rows({"frame": Batch(), "face": Batch()}, Segment(0, 4, 6))["face"]) == 0


def test_every_row_gets_the_picture_of_its_frame():
    pictures = [Shown(4), Shown(5)]
    tables = attached({"frame": faces(3, 4, 5, 6), "face": faces(3, 5, 5, 6)}, pictures)
    assert [p.frame for p in tables["frame"]["picture"]] == tables["frame"]["frame"].tolist() == [4, 5]
    assert [p.frame for p in tables["face"]["picture"]] == tables["face"]["frame"].tolist() == [5, 5]
    assert len(attached({"frame": faces(4, 5), "face": Batch()}, pictures)["face"]) == 0
