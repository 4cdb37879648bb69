"""The local executor on a pipeline of numbers: law 1, faults, resume and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import Encode, toy_pipeline

from vidswap.graph import InputError, Pipeline, StageError, VidswapError
from vidswap.runtime.checks import check_sources
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings


@pytest.fixture
def clip(tmp_path):
    def make(frames):
        path = tmp_path / f"clip{frames}.toy"
        path.write_text(str(frames))
        return path

    return make


@pytest.fixture
def go(tmp_path, clip):
    def start(frames=60, options=None, output="out.toy", **given):
        pipeline = Pipeline.from_mapping(toy_pipeline(**(options or {})))
        wanted = RunSettings(**{"workers": 0, "segment_frames": 10, "overwrite": True, **given})
        report = run(pipeline, clip(frames), tmp_path / output, {"source": clip(1)}, wanted)
        return report, (tmp_path / output).read_text()

    return start


def test_values_are_those_computed_by_hand(go):
    report, text = go(frames=8, segment_frames=5)
    rows = [line.split() for line in text.splitlines()]
    assert [int(r[0]) for r in rows] == list(range(8))
    assert [int(r[1]) for r in rows] == [10 * i for i in range(8)]
    assert rows[3][2] == "3.0", "frame 3 has no face and stays as it was"
    from math import sin

    near = sum(sin(i) for i in (4, 5, 6, 7))
    assert float(rows[7][2]) == pytest.approx(7 + near + 1000 * 6 + sin(0))
    assert (report.frames, report.faces, report.frames_with_faces, report.segments) == (8, 7, 7, 2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.integers(1, 70), length=st.integers(5, 80), radius=st.integers(0, 17))
def test_segment_length_does_not_change_frames(go, frames, length, radius):
    whole = go(frames, {"smooth": {"radius": radius}}, segment_frames=100)[1]
    assert go(frames, {"smooth": {"radius": radius}}, segment_frames=length)[1] == whole


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_workers_does_not_change_frames(go, workers):
    assert go(workers=workers)[1] == go()[1]


def test_success_leaves_only_the_output(go, tmp_path):
    go()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip1.toy", "clip60.toy", "out.toy"]


def test_a_failing_frame_is_named_with_stage_and_segment(go, tmp_path):
    with pytest.raises(StageError, match=r"stage blend, segment 3, frame 32: ValueError: poisoned frame"):
        go(options={"blend": {"fail_at": 32}})
    assert not (tmp_path / "out.toy").exists()


def test_a_worker_that_always_dies_ends_the_run_and_names_the_segment(go, tmp_path):
    with pytest.raises(StageError, match=r"segment 4: the worker was killed by SIGABRT, 3 times"):
        go(options={"blend": {"crash_at": 46}}, workers=1)
    assert not (tmp_path / "out.toy").exists()


def test_same_call_after_a_failure_resumes_and_gives_the_same_frames(go, tmp_path, monkeypatch):
    expected = go(output="expected.toy")[1]
    import toy

    poisoned = {"on": True}
    plain = toy.Blend.__call__

    def fail_once(self, batch):
        if poisoned["on"] and 46 in batch["frame"]:
            raise OSError("disk full")
        return plain(self, batch)

    monkeypatch.setattr(toy.Blend, "__call__", fail_once)
    with pytest.raises(StageError, match="disk full"):
        go()
    assert (tmp_path / "out.toy.vidswap" / "journal.jsonl").exists()
    poisoned["on"] = False
    report, text = go()
    assert text == expected
    assert report.segments_resumed > 0
    assert not (tmp_path / "out.toy.vidswap").exists()


def test_changed_settings_are_refused_with_the_difference_and_fresh_starts_anew(go, tmp_path):
    with pytest.raises(StageError):
        go(options={"blend": {"fail_at": 46}})
    with pytest.raises(InputError, match=r"differs: blend.fail_at was 46, is -1; --fresh starts anew"):
        go()
    assert go(fresh=True)[0].frames == 60


def test_again_starts_anew_from_the_analysis_where_it_still_holds(go, tmp_path, monkeypatch):
    import toy

    seen = []
    plain = toy.Detect.__call__
    monkeypatch.setattr(toy.Detect, "__call__", lambda self, batch: seen.append(len(batch)) or plain(self, batch))
    job = tmp_path / "kept"
    expected = go(output="plain.toy", options={"smooth": {"radius": 2}})[1]
    go(job=job)
    with pytest.raises(InputError, match=r"--fresh starts anew, the whole command with --again does, too"):
        go(job=job, overwrite=True, options={"smooth": {"radius": 2}})
    seen.clear()
    report, text = go(job=job, overwrite=True, again=True, options={"smooth": {"radius": 2}})
    # Only the source's own frame was looked at.
    assert (text, sum(seen), report.segments_resumed) == (expected, 1, 0)
    seen.clear()
    assert go(job=job, overwrite=True, again=True, segment_frames=9)[0].frames == 60
    assert sum(seen) > 60


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from toy import toy_pipeline
from vidswap.graph import Pipeline, VidswapError
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings
here = Path({here!r})
try:
    run(Pipeline.from_mapping(toy_pipeline(blend=dict(hang_at=46))), here / "clip60.toy", here / "out.toy",
        dict(source=here / "clip1.toy"), RunSettings(workers=2, segment_frames=10))
except VidswapError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_workers_and_leaves_a_resumable_job(tmp_path, clip, how):
    clip(60), clip(1)
    code = DRIVER.format(tests=str(Path(__file__).parents[1]), here=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    journal = tmp_path / "out.toy.vidswap" / "journal.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_text().count("\n") > 8):
        time.sleep(0.05)
    workers = _children(driver.pid)
    driver.send_signal(how)
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "the same command goes on from" in said
    assert not (tmp_path / "out.toy").exists()
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def _children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(p) for p in found.split()]


def test_two_runs_cannot_share_a_job_folder(go, tmp_path):
    import fcntl

    job = tmp_path / "job"
    job.mkdir()
    with (job / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (job / "job.json").write_text("{}")
        with pytest.raises(InputError, match="another run works in"):
            go(job=job)


def test_a_source_without_a_face_is_refused_and_nothing_is_left(tmp_path, clip):
    (tmp_path / "blind.toy").write_text("1 blind")
    pipeline = Pipeline.from_mapping(toy_pipeline())
    sources = {"source": tmp_path / "blind.toy"}
    with pytest.raises(InputError, match="blind.toy: no face found in it; give a portrait where"):
        run(pipeline, clip(20), tmp_path / "out.toy", sources, RunSettings(workers=0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blind.toy", "clip20.toy"]


def test_a_target_without_faces_is_copied_with_a_warning_and_an_error_when_strict(tmp_path, clip):
    target = tmp_path / "blind.toy"
    target.write_text("20 blind")
    pipeline = Pipeline.from_mapping(toy_pipeline())
    report = run(pipeline, target, tmp_path / "out.toy", {"source": clip(1)}, RunSettings(workers=0))
    assert report.warnings == [f"{target}: no face to change was found; the picture is that of the input"]
    assert [float(line.split()[2]) for line in (tmp_path / "out.toy").read_text().splitlines()] == list(range(20))
    with pytest.raises(InputError, match="no face to change"):
        run(pipeline, target, tmp_path / "b.toy", {"source": clip(1)}, RunSettings(workers=0, strict=True))
    assert not (tmp_path / "b.toy").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: (p / "out.toy").mkdir(), "is a folder"),
        (lambda p: (p / "out.toy").write_text("mine"), "exists; --overwrite replaces it"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(go, tmp_path, spoil, says):
    spoil(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=says):
        go(overwrite=False)
    assert [p for p in sorted(tmp_path.iterdir()) if not p.name.startswith("clip")] == [
        p for p in before if not p.name.startswith("clip")
    ]


def test_a_missing_output_folder_is_refused(go):
    with pytest.raises(InputError, match="does not exist; make it first"):
        go(output="none/out.toy")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_output_folder_is_refused(go, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="is not writable"):
        go(output="locked/out.toy")


def test_a_missing_source_and_an_unknown_source_are_refused(tmp_path, clip):
    pipeline = Pipeline.from_mapping(toy_pipeline())
    with pytest.raises(InputError, match=r"needs a source; give --source source=FILE \(a number\)"):
        run(pipeline, clip(5), tmp_path / "o.toy", {}, RunSettings(workers=0))
    with pytest.raises(InputError, match="has no source 'sorce'; it has source"):
        run(pipeline, clip(5), tmp_path / "o.toy", {"sorce": clip(1)}, RunSettings(workers=0))
    with pytest.raises(InputError, match="source: no such file"):
        run(pipeline, clip(5), tmp_path / "o.toy", {"source": tmp_path / "none"}, RunSettings(workers=0))


def test_a_stage_whose_setup_fails_says_why_to_every_segment(go):
    report, _ = go(frames=20, options={"blend": {"setup_fails": True}}, on_error="skip-copy")
    assert len(report.skipped) == 2
    assert all("the model is not there" in skipped["reason"] for skipped in report.skipped)


def test_one_picture_of_one_person_is_not_bound_twice(tmp_path, clip):
    mapping = toy_pipeline()
    mapping["sources"]["source"]["several"] = True
    bound = {"source": clip(1), "source1": clip(2)}
    with pytest.raises(InputError, match="sources source and source1 are one picture of one person"):
        check_sources(Pipeline.from_mapping(mapping), bound)


def test_a_target_that_changes_while_it_is_read_is_told_and_nothing_is_joined(go, tmp_path, monkeypatch):
    finish = Encode.finish

    def meanwhile(self):
        (tmp_path / "clip60.toy").write_text("60 ")
        return finish(self)

    with monkeypatch.context() as changing:
        changing.setattr(Encode, "finish", meanwhile)
        with pytest.raises(VidswapError, match=r"clip60.toy has changed while it was read; .* --fresh"):
            go()
    assert not (tmp_path / "out.toy").exists()
