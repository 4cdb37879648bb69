"""Law 1 at the reader: the same frames, whatever is asked for, and no more than one group of pictures too many."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidswap.media import Reader, cursor, probe, read

X264 = {"g": "10", "bf": "3", "preset": "fast"}
CLIPS = {
    "b_frames.mp4": {"options": X264},
    "pyramid.mkv": {"options": {**X264, "x264-params": "b-pyramid=normal:bframes=5:keyint=12"}},
    "open_gop.mp4": {"options": {**X264, "x264-params": "open-gop=1:bframes=3:keyint=8"}},
    "open_gop_hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "fast", "x265-params": "log-level=none:keyint=8:open-gop=1:pools=1"},
    },
    "intra_refresh.mkv": {"options": {**X264, "x264-params": "intra-refresh=1:keyint=8"}},
    "vfr.mp4": {
        "options": X264,
        "pts": np.cumsum([7, 13, 40, 1, 90, 33, 34, 200] * 5).tolist(),
        "time_base": Fraction(1, 1000),
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "g": "8"}},
    "x264.avi": {"options": X264},
    "stream.ts": {"options": X264},
    "picture.gif": {"codec": "gif", "pixel_format": "rgb8"},
}
FRAMES = 40


@pytest.fixture(scope="module")
def clips(tmp_path_factory, make_clip) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {name: make_clip(folder / name, FRAMES, **how) for name, how in CLIPS.items()}


def planes(pictures) -> list[tuple[int, int, bytes]]:
    return [(p.frame, p.pts, b"".join(v.tobytes() for v in p.planes)) for p in pictures]


@pytest.fixture(scope="module")
def wholes(clips):
    return {name: (probe(path), planes(read(probe(path), 0, FRAMES))) for name, path in clips.items()}


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_is_the_one_that_its_index_says(clips, shown_number, name):
    index = probe(clips[name])
    shown = [(p.frame, shown_number(p)) for p in read(index, 0, index.frame_count)]
    assert shown == [(i, i) for i in range(FRAMES)]


@pytest.mark.parametrize("name", CLIPS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, FRAMES), max_size=3))
def test_any_cut_of_the_video_gives_the_frames_of_the_whole(wholes, name, cuts):
    index, whole = wholes[name]
    edges = [0, *sorted(cuts), FRAMES]
    pieces = [planes(read(index, a, b, threads=1 + (a % 2))) for a, b in zip(edges, edges[1:], strict=False)]
    assert [frame for piece in pieces for frame in piece] == whole


@pytest.mark.parametrize("name", CLIPS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges=st.lists(st.tuples(st.integers(0, FRAMES), st.integers(0, 15), st.integers(0, 15)), max_size=6))
def test_any_sequence_of_ranges_through_one_reader_gives_the_frames_of_the_whole(wholes, name, ranges):
    index, whole = wholes[name]
    with Reader(index, threads=1 + len(ranges) % 2) as reader:
        for start, length, taken in ranges:
            stop = min(start + length, FRAMES)
            pictures = reader.read(start, stop)
            # Some ranges are given up in the middle.
            found = planes(itertools.islice(pictures, taken))
            assert found == whole[start : min(stop, start + taken)]
            if taken % 2:
                pictures.close()


def test_ranges_that_follow_each_other_are_decoded_once(clips, monkeypatch):
    index = probe(clips["b_frames.mp4"])
    fed = []
    original = cursor.frames_of

    def counted(container, stream, *more):
        for frame in original(container, stream, *more):
            fed.append(frame.pts)
            yield frame

    monkeypatch.setattr(cursor, "frames_of", counted)
    with Reader(index) as reader:
        for start in (0, 6, 12, 18, 24):
            # Two readings side by side, as a worker's analysis and compositing are.
            assert len(list(reader.read(start, start + 6))) == 6
            assert len(list(reader.read(start // 2, start // 2 + 3))) == 3
        assert len(fed) <= 30 + 15 + 2 * 4
        assert len(reader._idle) == 2
    assert reader._idle == []


@pytest.mark.parametrize("name", ["b_frames.mp4", "pyramid.mkv", "open_gop.mp4", "open_gop_hevc.mp4", "vp9.webm"])
def test_reading_near_the_end_decodes_one_group_of_pictures(clips, monkeypatch, name):
    index = probe(clips[name])
    fed = []
    original = cursor.frames_of

    def counted(container, stream, *more):
        for frame in original(container, stream, *more):
            fed.append(frame.pts)
            yield frame

    monkeypatch.setattr(cursor, "frames_of", counted)
    assert [p.frame for p in read(index, 35, 37)] == [35, 36]
    assert len(fed) <= 14 + index.reorder_depth


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "pyramid.mkv", "open_gop.mp4", "open_gop_hevc.mp4", "vfr.mp4", "vp9.webm"]
)
@pytest.mark.parametrize(("start", "stop"), [(9, 11), (19, 20), (23, 31), (39, 40)])
def test_no_more_than_one_group_of_pictures_is_decoded_before_a_range(clips, monkeypatch, name, start, stop):
    index = probe(clips[name])
    decoded = []
    original = cursor.frames_of

    def counted(container, stream, *more):
        for frame in original(container, stream, *more):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(cursor, "frames_of", counted)
    assert [p.frame for p in read(index, start, stop)] == list(range(start, stop))
    edges = [*index.keyframes, FRAMES]
    longest = int(np.diff(edges).max())
    before = [pts for pts in decoded if pts < index.pts[start]]
    # Frames that are shown before the keyframe of an open group are of the group before it.
    assert len(before) <= longest + index.reorder_depth
    assert len(decoded) - len(before) <= stop - start + index.reorder_depth


def test_a_wrong_seek_falls_back_to_decoding_from_the_start(clips, wholes):
    index, whole = wholes["b_frames.mp4"]
    wrong = dataclasses.replace(index, seek_timestamps=index.seek_timestamps[::-1].copy())
    assert planes(read(wrong, 12, 25)) == whole[12:25]


def test_a_frame_that_is_not_there_repeats_the_one_before_and_is_named_with_its_time(clips, wholes):
    index, whole = wholes["b_frames.mp4"]
    more = dataclasses.replace(
        index, pts=np.append(index.pts, index.pts[-1] + 999), durations=np.append(index.durations, 1)
    )
    with Reader(more) as reader:
        found = planes(reader.read(30, 41))
        assert found[:10] == whole[30:]
        assert found[10][2] == whole[39][2]
        (warning,) = reader.take_warnings()
        assert "is damaged at 1.6" in warning
        assert "(frame 40)" in warning
        assert reader.take_warnings() == []


def test_a_range_outside_the_video_is_refused(clips):
    index = probe(clips["b_frames.mp4"])
    with pytest.raises(ValueError, match=r"not within \[0, 40\)"):
        list(read(index, 0, 41))


@pytest.mark.parametrize("name", ["clip_talking_woman.mp4", "clip_two_faces.gif", "made_rotated_90.mp4"])
def test_footage_read_in_pieces_is_the_footage(media, name):
    index = probe(media / name)
    stop = min(index.frame_count, 56)
    whole = planes(read(index, 0, stop, threads=2))
    assert planes(read(index, 0, 17)) + planes(read(index, 17, 40)) + planes(read(index, 40, stop)) == whole
