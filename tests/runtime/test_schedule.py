"""The schedule: what may run when, whatever the order in which tasks finish."""

import random

from hypothesis import given
from hypothesis import strategies as st
from toy import toy_pipeline

from vidswap.graph import Pipeline, cut, halo
from vidswap.runtime.lanes import Lanes
from vidswap.runtime.order import PartTask, SourceTask
from vidswap.runtime.schedule import Schedule


def parts():
    return Pipeline.from_mapping(toy_pipeline(smooth={"radius": 12})).parts


@given(st.integers(1, 200), st.integers(5, 40), st.integers(1, 4), st.booleans(), st.randoms(use_true_random=False))
def test_every_task_runs_once_and_never_before_what_it_needs(frames, length, workers, lanes, chance: random.Random):
    segments = cut(frames, (), length)
    schedule = Schedule(parts(), segments, ["source"], window=2 * workers)
    schedule.lanes = Lanes(segments, range(0, frames, 3 * length))
    running, done, started = [], set(), []

    def seat(chance):
        return chance.randrange(workers) if lanes else None

    while not schedule.finished:
        while len(running) < workers and (task := schedule.next(seat(chance))) is not None:
            if isinstance(task, PartTask) and task.part:
                context = parts()[task.part].context
                near = [task.segment] if not context else halo(segments, task.segment, context)
                assert all(PartTask(task.part - 1, s) in done for s in near)
            if task == PartTask(2, task.segment if isinstance(task, PartTask) else -1):
                assert SourceTask("source") in done
            if isinstance(task, PartTask) and task.part == 1 and task.segment:
                assert PartTask(1, task.segment - 1) in done
            running.append(task)
            started.append(task)
        assert running, "stuck"
        finished = running.pop(chance.randrange(len(running)))
        done.add(finished)
        schedule.finish(finished)
    assert len(started) == len(set(started)) == 3 * len(segments) + 1


def test_analysis_does_not_run_ahead_of_what_is_finished():
    segments = cut(5000, (), 5)
    schedule = Schedule(parts(), segments, window=4)
    for _ in range(300):
        task = schedule.next()
        if task is None:
            break
        if task.part < 2:
            schedule.finish(task)
    assert max(schedule._done[0]) < 4 + schedule.window


def test_a_task_put_back_is_given_again():
    schedule = Schedule(parts(), cut(20, (), 5))
    first = schedule.next()
    schedule.put_back(first)
    assert schedule.next() == first


def test_finished_segments_come_out_before_the_end_is_analysed():
    schedule = Schedule(parts(), cut(1000, (), 50), window=4)
    order = []
    while not schedule.finished:
        task = schedule.next()
        order.append(task)
        schedule.finish(task)
    assert order.index(PartTask(2, 0)) < order.index(PartTask(0, 10))


def test_analysis_is_kept_ahead_of_compositing():
    segments = cut(500, (), 10)

    def composited(ahead):
        """The segments that analysis had taken when each one's compositing began."""
        schedule = Schedule(parts(), segments, window=20, ahead=ahead)
        analysed, found = 0, []
        while (task := schedule.next()) is not None:
            schedule.finish(task)
            analysed += task.part == 0
            found += [analysed - task.segment] if task.part == 2 else []
        assert schedule.finished
        return found[: len(segments) - 10]

    assert set(composited(0)) == {3}
    assert set(composited(6)) == {6}
