"""What goes wrong around a run, disk, signals, leftovers of crashes, dying workers: one line, and the run goes on."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from toy import toy_pipeline

from vidswap.graph import InputError, Interrupted, Pipeline, StageError, VidswapError
from vidswap.runtime.interrupt import interruptible
from vidswap.runtime.job import Job
from vidswap.runtime.local import run
from vidswap.runtime.order import Done, PartTask, WorkOrder
from vidswap.runtime.pool import ProcessPool, WorkerDied
from vidswap.runtime.settings import RunSettings


@pytest.fixture
def go(tmp_path):
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "source.toy").write_text("1")

    def start(options=None, output="out.toy", **given):
        pipeline = Pipeline.from_mapping(toy_pipeline(**(options or {})))
        settings = RunSettings(**{"workers": 0, "segment_frames": 10, **given})
        sources = {"source": tmp_path / "source.toy"}
        report = run(pipeline, tmp_path / "clip.toy", tmp_path / output, sources, settings)
        return report, (tmp_path / output).read_text()

    return start


@pytest.fixture
def job(tmp_path):
    return tmp_path / "out.toy.vidswap"


def _full(monkeypatch, when):
    """The disk is full once `when` says so of the file that is synced."""
    sync = os.fsync

    def fsync(descriptor):
        if when(Path(f"/proc/self/fd/{descriptor}").resolve().name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    "name", [".job.", ".source.source.", ".000003.part0.", ".000003.part1.", ".000003.", "journal.jsonl", ".out."]
)
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(go, monkeypatch, tmp_path, name):
    expected = go(output="expected.toy")[1]
    seen = []

    def when(synced):
        seen.append(synced.startswith(name))
        return seen[-1] and (name != "journal.jsonl" or sum(seen) > 7)

    with monkeypatch.context() as full:
        _full(full, when)
        with pytest.raises(VidswapError, match=r"[nN]o space left on device") as told:
            go()
    assert told.value.exit_code == 1 and "\n" not in str(told.value)
    assert not (tmp_path / "out.toy").exists()
    assert not list(tmp_path.rglob(".*.tmp*"))
    report, text = go()
    assert text == expected
    assert report.segments_resumed > 0 or name in (".job.", ".source.source.", ".000003.part0.", ".000003.part1.")


def test_the_traceback_of_a_bug_in_a_stage_is_kept_and_named(go, job):
    with pytest.raises(StageError, match=r"ValueError: poisoned frame \(traceback in .*error.txt\)$"):
        go({"blend": {"fail_at": 32}})
    assert 'raise ValueError("poisoned frame")' in (job / "error.txt").read_text()


@pytest.mark.parametrize("leftover", [["lock"], ["lock", ".job.123.tmp.json"], []])
def test_a_folder_of_a_run_killed_before_it_knew_its_job_is_taken_over(go, tmp_path, job, leftover):
    job.mkdir()
    for name in leftover:
        (job / name).write_text("")
    assert go()[0].frames == 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "out.toy", "source.toy"]


def test_a_run_killed_between_the_rename_and_the_end_is_finished_by_the_same_command(go, monkeypatch, tmp_path, job):
    with monkeypatch.context() as crash:
        crash.setattr(Job, "remove", lambda self: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            go()
    written = (tmp_path / "out.toy").stat()
    assert job.exists()
    report, _ = go()
    assert (report.frames, report.segments_resumed, report.frames_per_s) == (60, 6, 0.0)
    assert (tmp_path / "out.toy").stat().st_ino == written.st_ino and not job.exists()
    with pytest.raises(InputError, match="exists; --overwrite replaces it"):
        go()


def test_a_run_killed_while_it_removed_its_folder_is_in_nobodys_way(go, monkeypatch, tmp_path, job):
    unlink = Path.unlink

    def killed(path, **given):
        if path.name == "journal.jsonl":
            raise SystemExit
        unlink(path, **given)

    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", killed)
        with pytest.raises(SystemExit):
            go()
    assert sorted(p.name for p in job.iterdir()) == ["journal.jsonl", "lock"]
    assert go()[0].frames == 60 and not job.exists()


def test_a_temporary_output_of_a_run_killed_while_joining_is_removed(go, monkeypatch, tmp_path):
    def killed(self, video, segments, output, notes, copied=()):
        output.write_text("half")
        os.link(output, tmp_path / "left")
        names.append(output)
        raise ValueError("crash")

    names = []
    with monkeypatch.context() as crash:
        crash.setattr(toy.Encode, "join", killed)
        with pytest.raises(ValueError, match="crash"):
            go()
    (tmp_path / "left").rename(names[0])
    go()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "out.toy", "source.toy"]


def test_an_output_that_appears_meanwhile_is_not_replaced(go, monkeypatch, tmp_path):
    join = toy.Encode.join

    def slow(self, video, segments, output, notes, copied=()):
        (tmp_path / "out.toy").write_text("mine")
        return join(self, video, segments, output, notes, copied)

    monkeypatch.setattr(toy.Encode, "join", slow)
    with pytest.raises(VidswapError, match="out.toy has appeared meanwhile; move it"):
        go()
    assert (tmp_path / "out.toy").read_text() == "mine"


def test_a_bad_segment_does_not_count_as_done(go, monkeypatch):
    finish = toy.Encode.finish

    def short(self):
        facts = finish(self)
        path = Path(self.file.name)
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
        return facts

    monkeypatch.setattr(toy.Encode, "finish", short)
    with pytest.raises(StageError, match=r"stage encode, segment 0: 000000.txt does not hold 10 frames"):
        go()


def test_a_job_folder_on_another_file_system(go, tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    folder = memory / f"vidswap-test-{os.getpid()}"
    try:
        report, text = go(job=folder)
        assert text == go(output="b.toy")[1] and report.job == str(folder)
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)


def test_strict_keeps_the_work_that_is_done(tmp_path, go):
    (tmp_path / "clip.toy").write_text("60 blind")
    with pytest.raises(InputError, match="no face to change"):
        go(strict=True)
    assert go()[0].segments_resumed == 6


def test_warnings_come_again_on_resume(go, monkeypatch):
    monkeypatch.setattr("vidswap.runtime.sources.SMALL_FACE_PIXELS", 1000)
    with pytest.raises(StageError):
        go({"blend": {"fail_at": 46}})
    monkeypatch.undo()
    with pytest.raises(StageError):
        go({"blend": {"fail_at": 46}})
    with pytest.raises(InputError, match="only 100 pixels high"):
        go({"blend": {"fail_at": 46}}, strict=True)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_joining_leaves_no_output_and_a_job_that_goes_on(go, monkeypatch, tmp_path, job, how):
    join = toy.Encode.join

    def signalled(self, video, segments, output, notes, copied=()):
        told = join(self, video, segments, output, notes, copied)
        os.kill(os.getpid(), getattr(signal, how))
        return told

    with monkeypatch.context() as during:
        during.setattr(toy.Encode, "join", signalled)
        with pytest.raises(Interrupted, match="the same command goes on from"):
            go()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "out.toy.vidswap", "source.toy"]
    assert go()[0].segments_resumed == 6


def test_a_signal_that_a_library_swallowed_still_stops_the_run(go, monkeypatch):
    plain = toy.Blend.__call__

    def swallowing(self, batch):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, batch)

    monkeypatch.setattr(toy.Blend, "__call__", swallowing)
    with pytest.raises(Interrupted):
        go()


def test_more_signals_do_not_disturb_the_clean_up_until_the_fourth():
    cleaned = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as state:
            os.kill(os.getpid(), signal.SIGHUP)
            state.check()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def pool(tmp_path):
    pools = []

    def make(workers, **blend):
        toy_video = tmp_path / "clip.toy"
        toy_video.write_text("20")
        pipeline = Pipeline.from_mapping(toy_pipeline(blend=blend))
        order = WorkOrder(
            pipeline.specification.model_dump(mode="json"),
            toy.ToyVideo(toy_video, 20),
            (toy_segment(0, 0, 10), toy_segment(1, 10, 20)),
            tmp_path,
        )
        pools.append(ProcessPool(order, workers))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def toy_segment(*where):
    from vidswap.graph import Segment

    return Segment(*where)


def _result(pool):
    while True:
        for task, reply in pool.replies():
            if isinstance(reply, (Done, WorkerDied)):
                return task, reply


def test_a_worker_that_died_while_idle_costs_no_task(pool):
    workers = pool(1)
    workers.submit(PartTask(0, 0))
    assert isinstance(_result(workers)[1], Done)
    workers._processes[0].popen.kill()
    workers._processes[0].popen.wait()
    workers.submit(PartTask(0, 1))
    assert isinstance(_result(workers)[1], Done)


def test_a_worker_killed_before_it_is_up_is_reported_as_lost(pool):
    workers = pool(2)
    workers.submit(PartTask(0, 0))
    workers._processes[0].popen.kill()
    task, reply = _result(workers)
    assert task == PartTask(0, 0) and isinstance(reply, WorkerDied) and "SIGKILL" in reply.how
    assert workers._workers == 1, "memory may have been short: one process fewer"


def test_a_worker_that_hangs_for_ever_is_replaced_and_at_last_named(go, job):
    with pytest.raises(StageError, match=r"segment 1: the worker made no progress for 1 s .*, 3 times; its output"):
        go({"blend": {"hang_at": 16}}, workers=1, stall_timeout_s=1)
    assert (job / "000000.txt").exists(), "what was done before stays done"


def test_silence_is_judged_from_a_tasks_last_sign_of_life(go):
    """Twenty frames take longer than the limit altogether, each few frames do not."""
    report, _ = go({"blend": {"pause_s": 0.05}}, workers=1, stall_timeout_s=1.5, segment_frames=30)
    assert report.frames == 60


def test_memory_that_runs_out_is_said_so(go, monkeypatch):
    def greedy(self, batch):
        raise MemoryError

    monkeypatch.setattr(toy.Blend, "__call__", greedy)
    with pytest.raises(StageError, match="out of memory; give fewer --workers"):
        go()


def test_the_report_tells_peak_memory(go):
    assert go()[0].peak_memory_mb["worker"] == 0
    found = go(output="b.toy", workers=1)[0].peak_memory_mb
    assert 20 < found["worker"] < 500 and found["all"] == pytest.approx(found["driver"] + found["worker"], abs=0.2)


def test_an_interrupt_at_any_moment_of_a_real_start_ends_it_quickly(tmp_path, go):
    """Ctrl-C, and a second one at once, from the first import to the first segment: no process is left behind."""
    command = [sys.executable, "-c", DRIVER.format(tests=str(Path(__file__).parents[1]), here=str(tmp_path))]
    for wait_s in (0.2, 0.5, 0.8):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait_s)
        driver.send_signal(signal.SIGINT)
        time.sleep(0.01)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(10) != 0
    assert not (tmp_path / "out.toy").exists()
    assert go(fresh=True)[0].frames == 60


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from toy import toy_pipeline
from vidswap.graph import Pipeline
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings
here = Path({here!r})
run(Pipeline.from_mapping(toy_pipeline(blend=dict(hang_at=16))), here / "clip.toy", here / "out.toy",
    dict(source=here / "source.toy"), RunSettings(workers=2, segment_frames=10))
"""
