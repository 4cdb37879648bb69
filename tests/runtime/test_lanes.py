"""Lanes: workers go on where their decoders stand, and share what one group of pictures holds."""

import pytest
from toy import toy_pipeline

from vidswap.graph import Pipeline, cut
from vidswap.runtime.lanes import Lanes
from vidswap.runtime.order import PartTask
from vidswap.runtime.schedule import Schedule


def test_what_lies_between_a_decoder_or_a_keyframe_and_a_segment_is_decoded_for_nothing():
    lanes = Lanes(cut(100, (), 10), [0, 35, 60])
    assert [lanes.skipped(0, s) for s in range(8)] == [0, 10, 20, 30, 5, 15, 0, 10]
    lanes.note(0, 1)
    assert [lanes.skipped(0, s) for s in range(5)] == [0, 10, 0, 10, 5]
    assert lanes.skipped(1, 2) == 20
    lanes.note(0, 0)
    lanes.note(0, 1)
    assert [lanes.skipped(0, s) for s in range(5)] == [0, 10, 0, 10, 5]


def test_no_more_decoders_are_reckoned_with_than_a_reader_keeps():
    lanes = Lanes(cut(100, (), 10))
    for segment in (6, 3, 0):
        lanes.note(0, segment)
    assert [lanes.skipped(0, s) for s in (1, 4, 7)] == [0, 0, 30]
    lanes = Lanes(cut(100, (), 10), kept=1)
    for segment in (6, 3, 0):
        lanes.note(0, segment)
    assert [lanes.skipped(0, s) for s in (1, 4, 7)] == [0, 30, 60]


def decoded(segments, keyframes, workers, *, lanes):
    """Frames that decoders go through when workers of equal speed take a video through analysis and compositing."""
    pipeline = Pipeline.from_mapping(toy_pipeline(smooth={"radius": 12}))
    schedule = Schedule(pipeline.parts, segments, window=2 * workers)
    if lanes:
        schedule.lanes = Lanes(segments, keyframes)
    stands = [[] for _ in range(workers)]
    running, through = {}, 0
    while not schedule.finished:
        for seat in range(workers):
            while seat not in running and (task := schedule.next(seat if lanes else None)) is not None:
                if not pipeline.parts[task.part].reads:
                    schedule.finish(task)
                    continue
                running[seat] = task
                segment = segments[task.segment]
                key = max(k for k in keyframes if k <= segment.start)
                near = max((p for p in stands[seat] if key <= p <= segment.start), default=None)
                through += segment.stop - (key if near is None else near)
                if near is not None:
                    stands[seat].remove(near)
                stands[seat] = [*stands[seat], segment.stop][-2:]
        assert running, "stuck"
        for seat in list(running):
            schedule.finish(running.pop(seat))
    return through


@pytest.mark.parametrize(("frames", "group"), [(250, 250), (750, 250), (1500, 500)])
def test_less_is_decoded_twice_than_by_turns(frames, group):
    keyframes = range(0, frames, group)
    segments = cut(frames, keyframes)
    for workers in (1, 2, 3):
        ours = decoded(segments, keyframes, workers, lanes=True)
        assert 2 * frames <= ours <= decoded(segments, keyframes, workers, lanes=False)
    assert decoded(segments, keyframes, 4, lanes=True) < decoded(segments, keyframes, 4, lanes=False)


def test_where_every_segment_begins_at_a_keyframe_order_is_that_of_the_video():
    segments = cut(400, range(400))
    assert decoded(segments, range(400), 2, lanes=True) == 800
    schedule = Schedule(Pipeline.from_mapping(toy_pipeline()).parts, segments)
    schedule.lanes = Lanes(segments, range(400))
    assert [schedule.next(0), schedule.next(1)] == [PartTask(0, 0), PartTask(0, 1)]
