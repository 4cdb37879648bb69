"""The trace and the page of a run, on the pipeline of numbers; both are written however the run ends."""

import gzip
import json
import re

import pytest
from toy import toy_pipeline
from toy_net import net_pipeline

from vidswap.graph import InputError, Part, Pipeline, StageError
from vidswap.runtime.executors import LocalExecutor
from vidswap.runtime.local import run
from vidswap.runtime.order import Done, PartTask, Progress
from vidswap.runtime.page import sheet_frames
from vidswap.runtime.pool import InlinePool, WorkerDied
from vidswap.runtime.report import Given, Lost
from vidswap.runtime.settings import RunSettings
from vidswap.runtime.spans import Span
from vidswap.runtime.timings import Timings

STAGES = ["decode", "detect", "track", "smooth", "blend", "encode"]


@pytest.fixture
def go(tmp_path):
    """Run the toy pipeline on 60 frames in segments of 10."""
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "one.toy").write_text("1")

    def go(options=None, pool_maker=None, **settings):
        more = {"make_executor": lambda settings: WithPool(settings, pool_maker)} if pool_maker else {}
        pipeline = Pipeline.from_mapping(toy_pipeline(**(options or {})))
        chosen = RunSettings(**{"workers": 0, "segment_frames": 10, **settings})
        sources = {"source": tmp_path / "one.toy"}
        return run(pipeline, tmp_path / "clip.toy", tmp_path / "out.toy", sources, chosen, **more)

    return go


class WithPool(LocalExecutor):
    """Runs here, with a pool of the test's own."""

    def __init__(self, settings, pool_maker):
        super().__init__(settings)
        self.pool = pool_maker


def events(path):
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)["traceEvents"]


def test_a_trace_holds_every_part_of_every_segment_with_its_stages_inside(go, tmp_path):
    go(trace=tmp_path / "trace.json", workers=2)
    found = events(tmp_path / "trace.json")
    tasks = {e["name"]: e for e in found if e.get("cat") == "task"}
    analyses, composites = ([f"{part} of segment {i}" for i in range(6)] for part in ("analysis", "compositing"))
    assert {"source source", *analyses, *composites} == set(tasks)
    for stage in ("blend", "encode"):
        for segment in range(6):
            task = tasks[f"compositing of segment {segment}"]
            spans = [e for e in found if e["name"] == stage and e["args"].get("segment") == segment]
            assert spans
            for span in spans:
                assert (span["pid"], span["tid"]) == (task["pid"], task["tid"])
                # Begin and length come of two clocks.
                assert span["ts"] >= task["ts"] - 2000
                assert span["ts"] + span["dur"] <= task["ts"] + task["dur"] + 2000
    rows = {e["args"]["name"] for e in found if e["name"] == "thread_name"}
    assert len(rows) == 3 and "driver" in rows
    waits = [e for e in found if e.get("cat") == "queue"]
    assert [e["ph"] for e in waits].count("b") == [e["ph"] for e in waits].count("e") == len(tasks)
    assert [e["args"]["tasks"] for e in found if e["ph"] == "C"][-1] == 0


def test_a_trace_may_be_compressed(go, tmp_path):
    go(trace=tmp_path / "trace.json.gz")
    assert {e["name"] for e in events(tmp_path / "trace.json.gz") if e.get("cat") == "run"} == set(STAGES)


class DyingPool(InlinePool):
    """Loses the first try of one task."""

    def __init__(self, order):
        super().__init__(order)
        self.died = False

    def replies(self):
        task = self._tasks[0]
        if task == PartTask(2, 3) and not self.died:
            self.died = True
            return [(self._tasks.popleft(), WorkerDied(task, "was killed by SIGKILL", self._worker.order.folder))]
        return super().replies()


def test_what_was_lost_and_tried_again_is_in_both(go, tmp_path):
    report = go(
        trace=tmp_path / "t.json", report=tmp_path / "r.html", pool_maker=lambda order, workers: DyingPool(order)
    )
    assert report.frames == 60
    (lost,) = [e for e in events(tmp_path / "t.json") if e["ph"] == "i"]
    assert lost["name"] == "lost: compositing of segment 3"
    assert "was killed by SIGKILL" in lost["args"]["why"]
    page = (tmp_path / "r.html").read_text()
    assert "Tried again" in page and "compositing of segment 3" in page and "was killed by SIGKILL" in page


def test_the_page_tells_stages_workers_options_versions_and_needs_no_other_file(go, tmp_path):
    go(report=tmp_path / "r.html", options={"blend": {"pause_s": 0.001}})
    page = (tmp_path / "r.html").read_text()
    for stage in STAGES:
        assert f"<td>{stage}</td>" in page
    rows = dict(re.findall(r"<tr><td>(blend|smooth)</td>.*?<td class=\"n\">([\d.]+)</td>", page))
    assert float(rows["blend"]) >= 0.05 and float(rows["smooth"]) < 0.05
    for told in ("numpy", "pause_s", "Peak memory", "60, 51 of them with a face", "numbers have no packets"):
        assert told in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_run_that_fails_leaves_both_and_says_why(go, tmp_path):
    with pytest.raises(StageError):
        go(trace=tmp_path / "t.json", report=tmp_path / "r.html", options={"blend": {"fail_at": 46}})
    assert "poisoned frame" in (tmp_path / "r.html").read_text()
    assert [e for e in events(tmp_path / "t.json") if e["name"] == "compositing of segment 0"]
    assert not list(tmp_path.glob(".*tmp*"))


def test_nothing_is_recorded_where_nothing_was_asked_for(go, tmp_path):
    seen = []

    class Spied(InlinePool):
        def replies(self):
            told = super().replies()
            seen.extend(reply for _, reply in told)
            return told

    go(pool_maker=lambda order, workers: Spied(order))
    assert seen and not any(reply.spans for reply in seen)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "one.toy", "out.toy"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"trace": "trace.txt"}, "--trace .*trace.txt: give the name of a .json or .json.gz file"),
        ({"report": "out.mp4"}, "--report .*out.mp4: give the name of a .html or .htm file"),
        ({"report": "no/where.html"}, "--report .*: the folder .*no does not exist; make it first"),
    ],
)
def test_other_names_are_refused_before_any_work(go, tmp_path, settings, told):
    with pytest.raises(InputError, match=told):
        go(**{name: tmp_path / file for name, file in settings.items()})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "one.toy"]


def test_timings_sum_by_stage_part_and_worker_and_grow_by_a_number_for_each_segment():
    parts = Pipeline.from_mapping(toy_pipeline()).parts
    assert all(isinstance(p, Part) for p in parts)
    timings = Timings(parts)
    for segment in range(1000):
        task = PartTask(2, segment)
        timings(Given(task, 90.0))
        timings(Lost(task, "the worker died"))
        timings(Given(task, 100.0))
        spans = (Span("blend", 101.0, 0.5, memory_mb=200.0 + segment % 3), Span("blend", 101.5, 0.25, "wait"))
        timings(Progress(task, 10, 9, {"blend": 0.5}, spans, 7, "node-a"))
        facts = {"frames": 10, "frames_with_faces": 9}
        timings(Done(task, "f", facts, (), 7, 300.0, "node-a", 101.0, 2.0 + (segment == 17), {"encode": 0.125}))
    blend, encode = timings.stages["blend"], timings.stages["encode"]
    assert (blend.seconds, blend.wait_s, blend.memory_mb, encode.seconds) == (500.0, 250.0, 202.0, 125.0)
    assert (timings.frames_of("blend"), timings.parts[2].seconds, timings.queue_s) == (10_000, 2001.0, 1000.0)
    assert timings.parts[2].slowest[0] == (3.0, 17) and len(timings.parts[2].slowest) == 5
    (worker,) = timings.workers.items()
    assert worker[0] == ("node-a", 7) and (worker[1].tasks, worker[1].memory_mb) == (1000, 300.0)
    assert not timings._given and len(timings.finished.amounts) <= 240


def test_the_sheet_shows_frames_with_faces_spread_over_the_video():
    from vidswap.graph import Segment

    cut = [Segment(i, 100 * i, 100 * i + 100) for i in range(30)]
    assert sheet_frames(cut, {20: 100, 21: 100}, wanted=4) == [2025, 2075, 2125, 2175]
    assert sheet_frames(cut, {}, wanted=2) == [750, 2250]
    assert sheet_frames(cut[:1], {0: 3}, wanted=3) == [16, 50, 83]


def test_an_owner_of_models_has_a_row_of_its_own(tmp_path):
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "one.toy").write_text("1")
    settings = RunSettings(
        workers=2, owners=1, segment_frames=10, trace=tmp_path / "t.json", report=tmp_path / "r.html"
    )
    sources = {"source": tmp_path / "one.toy"}
    run(Pipeline.from_mapping(net_pipeline()), tmp_path / "clip.toy", tmp_path / "out.toy", sources, settings)
    found = events(tmp_path / "t.json")
    (owner,) = [e["tid"] for e in found if e["name"] == "thread_name" and "owner" in e["args"]["name"]]
    served = sorted((e["ts"], e["dur"]) for e in found if e.get("cat") == "served" and e["tid"] == owner)
    assert len(served) >= 6
    # One call after another, and shares of a call one after another: nothing overlaps but by the clock's grain.
    assert all(a + length <= b + 2000 for (a, length), (b, _) in zip(served, served[1:], strict=False))
    assert {e["tid"] for e in found if e["name"] == "net: wait"} & {e["tid"] for e in found if e.get("cat") == "task"}
    assert all(e["args"]["rows_together"] >= 1 for e in found if e.get("cat") == "served")
