"""The bars count every frame once: also on resume, and when a worker is lost in the middle of a segment."""

import pytest
from toy import ToyVideo, toy_pipeline

from vidswap.cli.progress import LineProgress, StageProgress, progress_of
from vidswap.graph import Pipeline
from vidswap.runtime.order import Done, PartTask
from vidswap.runtime.order import Progress as Step
from vidswap.runtime.report import Lost, Started

STAGES = ("decode", "detect", "track", "smooth", "blend", "encode")
LAST = PartTask(2, 3)


@pytest.fixture
def bars():
    progress = StageProgress(Pipeline.from_mapping(toy_pipeline()))

    def after(*events, done=None):
        progress(Started(ToyVideo(None, 40), 4, STAGES, 0, done or {}))
        for event in events:
            progress(event)
        return {task.description: task.completed for task in progress._bars.tasks}

    return after


def test_steps_and_the_end_of_a_segment_count_once(bars):
    found = bars(Step(LAST, 8, 8, {}), Step(LAST, 2, 2, {}), Done(LAST, "f", {"frames": 10}))
    assert found == {"decode": 10, "detect": 0, "track": 0, "smooth": 10, "blend": 10, "encode": 10}


def test_frames_of_an_earlier_run_are_there_from_the_start(bars):
    assert bars(done={0: 40, 2: 30}) == {
        "decode": 30,
        "detect": 40,
        "track": 0,
        "smooth": 30,
        "blend": 30,
        "encode": 30,
    }


def test_frames_of_a_lost_worker_are_taken_back(bars):
    again = [Step(LAST, 8, 8, {}), Step(LAST, 2, 2, {}), Done(LAST, "f", {"frames": 10})]
    assert bars(Step(LAST, 8, 8, {}), Lost(LAST), *again)["blend"] == 10


def test_a_log_gets_lines_that_count_every_frame_once(capsys, monkeypatch):
    monkeypatch.setenv("VIDSWAP_PROGRESS_EVERY_S", "0")
    progress = progress_of(Pipeline.from_mapping(toy_pipeline()))
    assert isinstance(progress, LineProgress)
    first, other = PartTask(2, 0), PartTask(2, 1)
    with progress:
        progress(Started(ToyVideo(None, 40), 4, STAGES, 1, {2: 10}))
        progress(Step(PartTask(0, 3), 8, 8, {}, (), 1, "a"))
        progress(Step(first, 8, 8, {}, (), 1, "a"))
        progress(Step(other, 4, 4, {}, (), 2, "b"))
        progress(Lost(other, "the node is gone"))
        progress(Done(first, "f", {"frames": 10}, (), 1, 0.0, "a"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "10/40 frames (25.0 %)" in lines[1] and "18/40 frames" in lines[2] and "22/40 frames" in lines[3]
    assert "20/40 frames (50.0 %)" in lines[-1]
    assert "2 workers on 2 nodes, 1 lost and tried again" in lines[-1]
