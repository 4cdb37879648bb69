"""The first worker makes the others as copies of itself; a command's first worker begins before the command has read
its options."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
from toy import toy_pipeline

from vidswap.graph import Pipeline, Segment
from vidswap.runtime import child
from vidswap.runtime.child import started_early
from vidswap.runtime.order import Done, PartTask, WorkOrder
from vidswap.runtime.pool import ProcessPool, WorkerDied

linux = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")
COUNT = 6


@pytest.fixture
def make_pool(tmp_path):
    pools = []

    def make(workers, stages=(), **blend):
        clip = tmp_path / "clip.toy"
        clip.write_text(str(10 * COUNT))
        content = toy_pipeline(blend=blend)
        content["stages"][1:1] = stages
        pipeline = Pipeline.from_mapping(content)
        cut = tuple(Segment(n, 10 * n, 10 * n + 10) for n in range(COUNT))
        data = pipeline.specification.model_dump(mode="json")
        pools.append(ProcessPool(WorkOrder(data, toy.ToyVideo(clip, 10 * COUNT), cut, tmp_path), workers))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


def _results(pool, count):
    found = []
    while len(found) < count:
        found += [reply for _, reply in pool.replies() if isinstance(reply, (Done, WorkerDied))]
    return found


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@linux
def test_later_workers_are_copies_and_children_of_the_driver(make_pool):
    pool = make_pool(3)
    for number in range(3):
        pool.submit(PartTask(0, number))
    done = _results(pool, 3)
    pids = {d.process for d in done}
    assert len(pids) == 3 and all(_parent(pid) == os.getpid() for pid in pids)
    assert len({os.getsid(pid) for pid in pids}) == 3, "each in a session of its own, out of reach of Ctrl-C"
    command = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    assert len(command) == 1, "copies have the command line of the first"
    pool.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids), "ended, and waited for"


@linux
def test_a_killed_copy_is_replaced_and_its_task_reported_as_lost(make_pool):
    pool = make_pool(2, pause_s=0.2)
    for number in range(2):
        pool.submit(PartTask(0, number))
    first = _results(pool, 2)
    copy = next(p for p in pool._processes if isinstance(p.popen, child._Orphan))
    assert copy.popen.pid in {d.process for d in first}
    assert pool.idle
    for number in range(2, 4):
        pool.submit(PartTask(0, number))
    copy.popen.kill()
    told = _results(pool, 2)
    lost = [t for t in told if isinstance(t, WorkerDied)]
    assert len(lost) == 1 and "SIGKILL" in lost[0].how


@linux
def test_copies_end_with_their_driver(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
import toy
from vidswap.graph import Pipeline, Segment
from vidswap.runtime.order import Done, PartTask, WorkOrder
from vidswap.runtime.pool import ProcessPool
here = Path({str(tmp_path)!r}); (here / "clip.toy").write_text("20")
data = Pipeline.from_mapping(toy.toy_pipeline()).specification.model_dump(mode="json")
cut = (Segment(0, 0, 10), Segment(1, 10, 20))
pool = ProcessPool(WorkOrder(data, toy.ToyVideo(here / "clip.toy", 20), cut, here), 2)
pool.submit(PartTask(0, 0)); pool.submit(PartTask(0, 1))
found = []
while len(found) < 2:
    found += [r.process for _, r in pool.replies() if isinstance(r, Done)]
print(*found, flush=True)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    pids = ran.stdout.split()
    assert len(pids) == 2, ran.stderr
    limit = time.monotonic() + 60
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < limit, "a worker has outlived its driver"
        time.sleep(0.05)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_with_threads_makes_no_copies_and_the_work_goes_on(make_pool):
    pool = make_pool(3)
    for stage in pool._order.pipeline["stages"]:
        if stage["name"] == "blend":
            stage["use"] = "toy:BlendWithThread"
    for number in range(3):
        pool.submit(PartTask(0, number))
    done = _results(pool, 3)
    assert all(isinstance(d, Done) for d in done)
    assert len({d.process for d in done}) == 3
    assert not any(isinstance(p.popen, child._Orphan) for p in pool._processes)


def test_the_first_pool_takes_the_worker_that_was_started_early(make_pool):
    with started_early(None):
        early = child._early[0]
        pool = make_pool(1)
        pool.submit(PartTask(0, 0))
        (done,) = _results(pool, 1)
        assert done.process == early.popen.pid and not child._early
    assert early.popen.poll() is None, "the pool's now, and ended by it"


def test_an_early_worker_that_nobody_took_is_ended():
    with started_early("no such pipeline"):
        early = child._early[0]
    assert early.popen.poll() is not None


def test_an_early_worker_that_died_is_no_loss(make_pool):
    with started_early(None):
        early = child._early[0]
        early.popen.kill()
        early.popen.wait()
        pool = make_pool(1)
        pool.submit(PartTask(0, 0))
        assert isinstance(_results(pool, 1)[0], Done)
