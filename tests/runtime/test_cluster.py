"""The Ray executor on several nodes: the frames are those of the local one, whatever dies meanwhile."""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from toy import toy_pipeline
from toy_net import net_pipeline

from vidswap.graph import InputError, Pipeline, StageError
from vidswap.runtime.executors import Needs, executor_of
from vidswap.runtime.local import run
from vidswap.runtime.order import Done, PartTask
from vidswap.runtime.report import Lost
from vidswap.runtime.settings import RunSettings

ray_nodes = pytest.importorskip("ray_nodes")
ray = pytest.importorskip("ray")

FRAMES, SEGMENT = 130, 5
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
    run(Pipeline.from_mapping(toy_pipeline(blend={blend!r})), here / "clip.toy", here / "out.toy",
        dict(source=here / "source.toy"),
        RunSettings(executor="ray", ray_address={address!r}, segment_frames={segment}, workers=2, drain_s=10))
except VidswapError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def nodes():
    made = ray_nodes.Nodes(2)
    made.connect()
    yield made
    ray.shutdown()
    made.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The text of an undisturbed local run."""
    return _local_text(toy_pipeline(), tmp_path_factory.mktemp("whole"))


def _local_text(made, here):
    _inputs(here)
    settings = RunSettings(workers=0, segment_frames=SEGMENT)
    run(Pipeline.from_mapping(made), here / "clip.toy", here / "out.toy", _sources(here), settings)
    return (here / "out.toy").read_text()


def _inputs(here):
    (here / "clip.toy").write_text(str(FRAMES))
    (here / "source.toy").write_text("1")


def _sources(here):
    return {"source": here / "source.toy"}


@pytest.fixture
def go(nodes, tmp_path):
    """Run on the cluster, with a worker on each node; returns the report and what was written."""
    _inputs(tmp_path)
    nodes.keep(2)

    def start(listener=None, options=None, made=None, **given):
        pipeline = Pipeline.from_mapping(made or toy_pipeline(**(options or {})))
        settings = RunSettings(**{"executor": "ray", "segment_frames": SEGMENT, "tries": 10, "workers": 2, **given})
        report = run(
            *(pipeline, tmp_path / "clip.toy", tmp_path / "out.toy", _sources(tmp_path), settings), listener=listener
        )
        return report, (tmp_path / "out.toy").read_text()

    return start


@pytest.fixture
def held(tmp_path):
    """A file: runs whose blend is `held_by` it do not end before it is removed."""
    path = tmp_path / "held"
    path.touch()
    return path


@contextlib.contextmanager
def _meanwhile(work, held):
    """Call `work` again and again, in a thread of its own, until it says that it is done: then the run may end.

    Gives a list that is empty unless that was so within minutes.
    """
    over, done = threading.Event(), []

    def loop():
        until = time.monotonic() + 300
        while not over.wait(0.1) and not done and time.monotonic() < until:
            if work():
                done.append(True)
        held.unlink()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def test_frames_are_those_of_the_local_executor_and_all_nodes_work(go, whole):
    """As many workers as there is room for. They finish segments as a wave: analysis is only so far ahead."""
    done = []
    report, text = go(lambda event: done.append(event) if isinstance(event, Done) else None, workers=None)
    assert text == whole
    assert report.frames == FRAMES and not report.retries
    assert len({event.process for event in done}) > 2, "two workers fit on one node"
    order = [event.task for event in done if isinstance(event.task, PartTask)]
    assert order.index(PartTask(2, 0)) < order.index(PartTask(0, FRAMES // SEGMENT - 1))


@pytest.fixture
def check(nodes, tmp_path):
    """Have the cluster looked at before a run, with what is needed changed; returns warnings."""
    _inputs(tmp_path)
    nodes.keep(2)
    needs = Needs(tmp_path / "clip.toy", _sources(tmp_path), {})

    def look(changed=None, **settings):
        executor = executor_of(RunSettings(executor="ray", ray_address=nodes.address, **settings))
        return executor.check(Pipeline.from_mapping(toy_pipeline()), dataclasses.replace(needs, **(changed or {})))

    return look


def test_a_good_cluster_passes_and_missing_workers_are_a_warning(check):
    assert check() == []
    (warning,) = check(workers=50)
    assert "50 workers are asked for; the cluster has 3 nodes with 2, 2, 0 CPUs and 0 GPUs in all, where 4" in warning
    with pytest.raises(InputError, match="a worker of 3 CPUs fits on no node: the cluster has 3 nodes with 2, 2, 0 CP"):
        check(ray_worker_cpus=3)


def test_a_path_that_a_node_does_not_see_is_named(check, tmp_path):
    with pytest.raises(InputError, match=r"node \S+ \(.*\): source source is not there: .*elsewhere.toy; put it where"):
        check({"sources": {"source": tmp_path / "elsewhere.toy"}})
    with pytest.raises(InputError, match=r"stage generate: net.pt is not there"):
        check({"files": {"generate": (tmp_path / "net.pt",)}})


def test_other_versions_on_a_node_are_named(check, monkeypatch):
    monkeypatch.setattr("vidswap.runtime.cluster_checks.versions", lambda: {"vidswap": "0.0.1"})
    with pytest.raises(InputError, match=r"node .* has vidswap \S+, the driver 0.0.1: they must agree"):
        check()


def test_other_processors_are_a_warning(check, monkeypatch):
    monkeypatch.setattr("vidswap.runtime.cluster_checks.processor", lambda: "abacus")
    (warning,) = check()
    assert "has another kind of processor (" in warning and "than the driver (abacus)" in warning


def test_the_job_folder_must_be_seen_by_all_nodes(nodes, tmp_path):
    from vidswap.runtime.cluster_checks import check_folder

    with pytest.raises(InputError, match=r"the job folder .* is not there; put it where all nodes see it, with --job"):
        check_folder(tmp_path / "job")


def test_workers_killed_at_random_moments_cost_nothing_but_time(go, nodes, whole, held):
    chance, killed, done, lost = random.Random(1), [], [], []

    def kill():
        there = nodes.actors("ClusterWorker")
        if done and there:
            killed.append(chance.choice(there))
            ray_nodes.kill(killed[-1])
            time.sleep(chance.uniform(0.3, 0.8))
        return len(killed) == 3

    def listen(event):
        if isinstance(event, (Done, Lost)):
            (done if isinstance(event, Done) else lost).append(event)

    with _meanwhile(kill, held):
        report, text = go(listen, {"blend": {"pause_s": 0.05, "held_by": str(held)}})
    assert text == whole and report.frames == FRAMES
    assert len(killed) == 3 and len(lost) == len(report.retries) > 0
    assert all("was lost (" in event.reason for event in lost)


def test_a_node_that_is_lost_costs_its_unfinished_segments_and_one_that_joins_is_used(go, nodes, whole, held):
    done, there = [], list(nodes.working)

    def listen(event):
        if isinstance(event, Done):
            done.append(event.task)
            if len(done) == 9:
                nodes.remove(nodes.working[0])
                nodes.keep(2)

    def joined():
        return nodes.working[-1] not in there and nodes.actors("ClusterWorker", nodes.working[-1])

    # One worker more than the other node holds: the run waits until the new one has it.
    with _meanwhile(joined, held) as came:
        _, text = go(listen, {"blend": {"pause_s": 0.05, "held_by": str(held)}}, workers=3)
    assert text == whole
    assert len(done) == len(set(done)), "what was done stays done"
    assert came, "workers have come up on the node that joined"


def test_segments_that_fail_every_time_may_be_left_as_they_were(go, whole, tmp_path):
    """One whose stage raises, one whose worker crashes, and one whose worker hangs; each is named with its reason."""
    bad = {"hang_at": 11, "fail_at": 32, "crash_at": 62}
    report, text = go(options={"blend": bad}, tries=2, on_error="skip-copy", stall_timeout_s=4)
    expected = whole.splitlines()
    for first in (10, 30, 60):
        expected[first : first + 5] = [f"{i} {i * 10} {float(i)!r}" for i in range(first, first + 5)]
    assert text.splitlines() == expected
    hung, failed, crashed = sorted(report.skipped, key=lambda skipped: skipped["segment"])
    assert (failed["segment"], failed["start"], failed["stop"]) == (6, 30, 35)
    assert "stage blend, segment 6, frame 32: ValueError: poisoned frame (traceback" in failed["reason"]
    assert crashed["segment"] == 12 and "was lost (" in crashed["reason"]
    assert hung["segment"] == 2 and "made no progress for 4 s" in hung["reason"]
    assert {"2/2", "2/6", "2/12"} <= {retry["task"] for retry in report.retries}
    assert any("segment 6, frames 30 to 34, is left as it was" in warning for warning in report.warnings)
    job = tmp_path / "out.toy.vidswap"
    assert 'raise ValueError("poisoned frame")' in (job / "error-6.txt").read_text(), "what went wrong can be looked at"


def test_what_takes_far_longer_than_usual_is_done_by_another_worker(go, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("vidswap.runtime.cluster_pool.STRAGGLES_S", 2.0)
    report, text = go(options={"blend": {"hang_once": str(tmp_path / "hung")}})
    assert text == whole and (tmp_path / "hung").exists()
    assert report.frames == FRAMES and not report.retries


@pytest.fixture
def driver(nodes, held, tmp_path):
    _inputs(tmp_path)
    nodes.keep(2)
    tests, blend = str(Path(__file__).parents[1]), {"pause_s": 0.02, "held_by": str(held)}
    code = DRIVER.format(tests=tests, here=str(tmp_path), segment=SEGMENT, address=nodes.address, blend=blend)
    started = []

    def go():
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        started.append(process)
        return process

    yield go
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def _wait_for_segments(folder, count):
    for _ in range(2400):
        if len(list(folder.glob("0*.txt"))) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{count} segments have not been finished")


def test_a_run_whose_driver_ends_goes_on(driver, go, whole, held, tmp_path):
    """The first driver is killed, the second told to end; the third finishes what they began."""
    folder = tmp_path / "out.toy.vidswap"
    for number, least in ((signal.SIGKILL, 5), (signal.SIGTERM, 10)):
        process = driver()
        _wait_for_segments(folder, least)
        os.kill(process.pid, number)
        said = process.communicate(timeout=120)[0].decode()
        assert process.returncode in (-signal.SIGKILL, 130), said
    assert process.returncode == 130 and "the same command goes on" in said
    assert not list(folder.glob(".*.tmp*"))
    held.unlink()
    report, text = go(options={"blend": {"pause_s": 0.02, "held_by": str(held)}})
    assert text == whole
    assert report.segments_resumed >= 10


@pytest.fixture(scope="module")
def whole_of_net(tmp_path_factory):
    return _local_text(net_pipeline(), tmp_path_factory.mktemp("net"))


def test_models_are_owned_by_actors_and_asked_again_when_those_die(go, nodes, whole_of_net, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    killed = []

    def listen(event):
        if isinstance(event, Done) and len(killed) < 2 and (there := nodes.actors("ClusterOwner")):
            killed.append(there[0])
            ray_nodes.kill(there[0])

    report, text = go(listen, made=net_pipeline(notes=str(notes), pause_s=0.05), owners=2)
    assert text == whole_of_net
    assert len(killed) == 2 and not report.retries, "the workers held their frames, and asked others"
    assert report.owners_lost and all(
        told.startswith("an owner of the model of stage net ") for told in report.owners_lost
    )
    assert len(list(notes.iterdir())) <= 2 + len(killed)
    assert report.stage_s["net"] > 0


def test_an_error_of_a_stage_whose_model_is_owned_names_segment_and_frame(go, tmp_path):
    with pytest.raises(StageError, match=r"stage net, segment 6, frame 32: ValueError: the network .* \(traceback"):
        go(made=net_pipeline(fail_at=32), owners=1, workers=1, tries=2)
    assert "raise ValueError(" in (tmp_path / "out.toy.vidswap" / "error.txt").read_text()
