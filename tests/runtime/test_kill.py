"""Real processes killed at random moments: the run that goes on gives the frames of an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from forked import Template
from toy import toy_pipeline

from vidswap.graph import Pipeline
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings

FRAMES, SEGMENT = 130, 5
KILLS_PER_TRIAL = 9
DRIVER = """
import sys
from pathlib import Path
from toy import toy_pipeline
from vidswap.graph import Pipeline, VidswapError
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings
here = Path({here!r})
try:
    run(Pipeline.from_mapping(toy_pipeline(blend=dict(pause_s=0.004))), here / "clip.toy", here / "out.toy",
        dict(source=here / "source.toy"), RunSettings(workers={workers}, segment_frames={segment}))
except VidswapError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def template():
    made = Template("toy", "vidswap.runtime.local")
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The text of an undisturbed run."""
    here = tmp_path_factory.mktemp("whole")
    _inputs(here)
    pipeline = Pipeline.from_mapping(toy_pipeline())
    settings = RunSettings(workers=0, segment_frames=SEGMENT)
    run(pipeline, here / "clip.toy", here / "out.toy", {"source": here / "source.toy"}, settings)
    return (here / "out.toy").read_text()


def _inputs(here):
    (here / "clip.toy").write_text(str(FRAMES))
    (here / "source.toy").write_text("1")


@pytest.fixture
def start(template, tmp_path, tmp_path_factory):
    """Starts a driver with so many workers."""
    _inputs(tmp_path)
    told = tmp_path_factory.mktemp("told") / "told.txt"

    def go(workers=2):
        return template.start(DRIVER.format(here=str(tmp_path), workers=workers, segment=SEGMENT), told)

    return go


def _finish(process):
    assert process.wait() == 0, process.told.read_text()


def _only_the_output(folder, whole):
    left = {p.name for p in folder.rglob("*")} - {"clip.toy", "out.toy", "source.toy"}
    assert left <= {"out.toy.vidswap", "lock"}, "no more than what lies there at the last moment of the removal"
    assert (folder / "out.toy").read_text() == whole


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_again_and_again_gives_the_same_frames(start, whole, tmp_path, seed):
    chance = random.Random(seed)
    output, journal = tmp_path / "out.toy", tmp_path / "out.toy.vidswap" / "journal.jsonl"
    for kill in range(KILLS_PER_TRIAL):
        # Whoever goes on may have other workers, or none but itself.
        driver = start(workers=(0, 2, 0)[(seed + kill) % 3])
        if kill % 4:
            # Into the work itself; the others hit the index, the making of the job folder and the start of workers.
            known = journal.stat().st_size if journal.exists() else 0
            until = time.monotonic() + 10
            while time.monotonic() < until and driver.poll() is None:
                if journal.exists() and journal.stat().st_size != known:
                    break
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.2))
        else:
            time.sleep(chance.uniform(0, 0.1))
        driver.kill()
        driver.wait()
        assert not output.exists() or output.read_text() == whole
        if output.exists() and not journal.exists():
            break
    else:
        _finish(start())
    _only_the_output(tmp_path, whole)


@pytest.mark.parametrize("seed", range(2))
def test_workers_killed_at_random_moments_are_replaced(start, whole, tmp_path, seed):
    chance = random.Random(seed)
    driver = start()
    killed = 0
    while driver.poll() is None:
        time.sleep(chance.uniform(0.05, 0.4))
        workers = _children(driver.pid)
        if workers and killed < 8:
            killed += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
    # Chance may hit one task three times, which ends a run; it goes on all the same.
    if driver.returncode:
        _finish(start())
    assert killed >= 2
    _only_the_output(tmp_path, whole)


def test_workers_end_with_a_driver_that_was_killed(start, tmp_path):
    driver = start()
    journal = tmp_path / "out.toy.vidswap" / "journal.jsonl"
    while not (journal.exists() and journal.read_text().count("\n") > 4):
        time.sleep(0.01)
    workers = _children(driver.pid)
    driver.kill()
    driver.wait()
    until = time.monotonic() + 60
    while time.monotonic() < until and any(_alive(pid) for pid in workers):
        time.sleep(0.01)
    assert workers and not any(_alive(pid) for pid in workers)


def _children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(p) for p in found.split()]


def _alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
