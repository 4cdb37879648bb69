"""Cutting into segments, and which neighbours a context needs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.graph import InputError, cut, halo


@given(st.integers(1, 3000), st.one_of(st.none(), st.integers(5, 400)), st.lists(st.integers(0, 3000), max_size=40))
def test_segments_tile_the_video_without_gap_or_overlap(frames, length, keyframes):
    segments = cut(frames, keyframes, length)
    assert [s.index for s in segments] == list(range(len(segments)))
    assert segments[0].start == 0 and segments[-1].stop == frames
    assert all(a.stop == b.start for a, b in zip(segments, segments[1:], strict=False))
    assert all(s.frames > 0 for s in segments)


def test_automatic_segments_start_at_keyframes_near_the_wanted_length():
    assert [s.start for s in cut(1000, range(0, 1000, 50))] == [0, 150, 300, 450, 600, 750, 900]


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (95, 1), (96, 2), (191, 2), (192, 4), (383, 4), (384, 8)])
def test_short_videos_are_cut_into_even_pieces(frames, count):
    lengths = [s.frames for s in cut(frames)]
    assert len(lengths) == count
    assert max(lengths) - min(lengths) <= 4 * count


@given(st.integers(1, 3000), st.lists(st.integers(0, 3000), max_size=40))
def test_automatic_segments_begin_where_runs_of_eight_frames_do(frames, keyframes):
    for segment in cut(frames, keyframes):
        key = max((k for k in keyframes if k <= segment.start), default=0)
        assert (segment.start - key) % 8 == 0


def test_numpy_keyframes_give_plain_integers():
    starts = [s.start for s in cut(1000, np.arange(0, 1000, 50))]
    assert json.loads(json.dumps(starts)) == starts


def test_a_video_without_frames_has_no_segments():
    assert cut(0) == ()


def test_too_short_segments_are_refused():
    with pytest.raises(InputError, match="give --segment-frames 5 or more"):
        cut(100, (), 4)


@given(st.integers(1, 300), st.integers(5, 50), st.integers(0, 40))
def test_halo_covers_the_context_and_no_segment_more(frames, length, context):
    segments = cut(frames, (), length)
    for segment in segments:
        near = halo(segments, segment.index, context)
        assert segments[near[0]].start <= max(0, segment.start - context)
        assert segments[near[-1]].stop >= min(frames, segment.stop + context)
        if len(near) > 1 and near[0] < segment.index:
            assert segments[near[0] + 1].start > segment.start - context or near[0] + 1 == segment.index


@given(st.integers(1, 20000), st.lists(st.integers(0, 20000), max_size=60, unique=True))
def test_an_automatic_segment_begins_at_the_keyframe_nearest_to_the_wanted_length(frames, keyframes):
    pieces = next((n for n in (8, 4, 2, 1) if frames // n >= 48), 1)
    wanted = min(8 * max(1, round(frames / pieces / 8)), 240)
    reach = 1000 if wanted == 240 else 2 * wanted
    segments = cut(frames, keyframes)
    for before, here in zip(segments, segments[1:], strict=False):
        apart = [k - before.start for k in sorted(keyframes) if k < frames]
        near = [d for d in apart if wanted // 2 <= d <= reach]
        if near:
            assert abs(here.start - before.start - wanted) == min(abs(d - wanted) for d in near)
