"""Runs on a Ray cluster from elsewhere, on a real head with its Jobs API; and job folders as they stand."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from forked import Template
from toy import toy_pipeline

from vidswap.cli import ray_jobs
from vidswap.cli.jobs import checked_command
from vidswap.graph import InputError, Pipeline, StageError
from vidswap.runtime.cluster import UNASKED
from vidswap.runtime.local import run
from vidswap.runtime.order import Done
from vidswap.runtime.settings import RunSettings
from vidswap.runtime.status import job_status
from vidswap.storage.addresses import place

_COMMAND = """
import os, sys
os.chdir({folder!r})
os.dup2(os.open("told", os.O_WRONLY), 1)
sys.argv = {argv!r}
from vidswap.cli import main
main()
"""
TOY = Path(__file__).parents[1] / "toy.py"
SWAP = ["swap", "-s", "a.jpg", "-t", "b.mp4", "-o", "out.mp4"]


def test_what_is_submitted_is_checked_first_and_runs_on_ray(vidswap):
    assert checked_command(SWAP, "/data") == ([*SWAP, "--executor", "ray"], "/data/out.mp4.vidswap")
    given = [*SWAP, "--executor", "local", "--job", "s3://bucket/job"]
    assert checked_command(given, "/data") == (given, "s3://bucket/job")
    assert checked_command([*SWAP, "--profile", "cluster"], "/data")[0] == [*SWAP, "--profile", "cluster"]
    for command, told in (
        (["inspect", "a.mp4"], "vidswap submit inspect: on a cluster run swap, reenact, run, batch"),
        (["swap", "-s", "a.jpg"], "Missing option"),
        ([*SWAP, "--no-such"], "No such option"),
    ):
        code, _, error = vidswap("submit", *command)
        assert (code, error.count("\n")) == (2, 1) and told in error


def test_a_cluster_that_cannot_be_used_is_told_in_one_line(vidswap, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    refused = f"no Ray dashboard at http://{nobody}: connection refused"
    for address, told in ((nobody, refused), ("ftp://x", "--address")):
        for command in (["submit", "--address", address, *SWAP], ["status", "--address", address]):
            code, _, error = vidswap(*command)
            assert (code, error.count("\n")) == (2, 1) and told in error
    monkeypatch.setitem(sys.modules, "ray.job_submission", None)
    code, _, error = vidswap("cancel", "job", "--address", nobody)
    assert (code, error) == (
        2,
        "error: jobs on a cluster need Ray, which is not installed: pip install 'vidswap[ray]'\n",
    )


@pytest.fixture
def interrupted(tmp_path):
    """The folder of a run of the toy pipeline that failed in its fifth segment."""
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "one.toy").write_text("1")
    pipeline = Pipeline.from_mapping(toy_pipeline(blend={"fail_at": 46}))
    with pytest.raises(StageError):
        sources = {"source": tmp_path / "one.toy"}
        run(pipeline, tmp_path / "clip.toy", tmp_path / "o.toy", sources, RunSettings(workers=0, segment_frames=10))
    return tmp_path / "o.toy.vidswap"


def test_a_job_folder_tells_how_far_its_run_has_come(vidswap, interrupted):
    found = job_status(interrupted)
    assert (found.state, found.segments, found.frames) == ("interrupted", 6, 40)
    assert found.parts == [("analysis", 6), ("compositing", 4)]
    assert "poisoned frame" in found.error
    code, told, _ = vidswap("status", interrupted.with_name("o.toy"))
    assert code == 0
    assert "compositing: 4 of 6 segments" in told and f"vidswap resume {interrupted} goes on" in told
    code, _, error = vidswap("status", interrupted.parent / "other")
    assert code == 2 and "is not a job folder of vidswap" in error


def test_a_job_folder_on_a_store_tells_the_same(tmp_path):
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "one.toy").write_text("1")
    job = place(f"memory://jobs/{tmp_path.name}")
    pipeline, seen = Pipeline.from_mapping(toy_pipeline(blend={"fail_at": 46})), []

    def look(event):
        if isinstance(event, Done) and event.task.key == "2/1":
            seen.append(job_status(job))

    with pytest.raises(StageError):
        settings = RunSettings(workers=0, segment_frames=10, job=job)
        sources = {"source": tmp_path / "one.toy"}
        run(pipeline, tmp_path / "clip.toy", tmp_path / "o.toy", sources, settings, listener=look)
    (during,) = seen
    assert (during.state, during.frames) == ("running", 20) and f"process {os.getpid()} on" in during.holder
    found = job_status(job)
    assert (found.state, found.frames, found.parts[-1]) == ("interrupted", 40, ("compositing", 4))


def test_a_folder_is_running_as_long_as_somebody_holds_its_lock(interrupted):
    import fcntl

    with (interrupted / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = job_status(interrupted)
        assert (found.state, found.holder) == ("running", f"process {os.getpid()} on this machine")
        # Whoever looks on takes no lock.
        with (interrupted / "lock").open("a") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert job_status(interrupted).state == "interrupted"


def test_the_name_of_a_job_is_no_folder(monkeypatch):
    monkeypatch.setattr(ray_jobs, "_check_reachable", lambda address: None)
    with pytest.raises(InputError, match="give that of Ray's dashboard"):
        ray_jobs.Jobs("10.0.0.1:port")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def head():
    """A Ray head with a dashboard; starts processes that have the environment that its clients need."""
    pytest.importorskip("ray.job_submission")
    # The paths of Ray's sockets have a length that they must not pass.
    folder = Path(tempfile.mkdtemp(prefix="vs-ray-", dir="/tmp"))
    port, dashboard, agent = free_ports(3)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    environment |= {f"RAY_{name}": "0" for name in UNASKED}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={folder}", "--num-cpus=2"]
    command += ["--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0", "--no-monitor"]
    command += [f"--dashboard-agent-listen-port={agent}"]
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd="/tmp"
        )
    try:
        until = time.monotonic() + 180
        while time.monotonic() < until and head.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", dashboard), 1).close()
                break
            except OSError:
                time.sleep(0.25)
        else:
            pytest.skip(f"no Ray head here: {(folder / 'head.log').read_text()[-500:]}")
        commands = Template("vidswap.cli.app", "vidswap.runtime.local", "ray.job_submission", environment=environment)
        try:
            yield commands
        finally:
            commands.close()
    finally:
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_run_is_submitted_watched_and_cancelled(head, tmp_path):
    shutil.copy(TOY, tmp_path / "toy.py")
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "one.toy").write_text("1")
    (tmp_path / "here.yaml").write_text("{executor: {kind: ray}, drain_s: 0.5, segment_frames: 10, workers: 1}")
    for name, options in (("good", {}), ("hangs", {"blend": {"hang_at": 46}})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(toy_pipeline(**options)))

    def vidswap(*arguments):
        (tmp_path / "said").write_text("")
        (tmp_path / "told").write_text("")
        code = _COMMAND.format(argv=["vidswap", *map(str, arguments)], folder=str(tmp_path))
        done = head.start(code, tmp_path / "said").wait(300)
        return done, (tmp_path / "told").read_text(), (tmp_path / "said").read_text()

    def arguments(name, output):
        return ["run", f"{name}.yaml", "-t", "clip.toy", "-s", "one.toy", "-o", output, "--profile", "here.yaml"]

    assert vidswap("submit", "--name", "hangs", *arguments("hangs", "hangs.toy"))[0] == 0
    code, told, error = vidswap("submit", "--name", "good", "--follow", *arguments("good", "good.toy"))
    assert code == 0, told + error
    assert "51 of 60 frames" in told
    assert len((tmp_path / "good.toy").read_text().splitlines()) == 60

    journal, until = tmp_path / "hangs.toy.vidswap" / "journal.jsonl", time.monotonic() + 300
    while time.monotonic() < until and not (journal.exists() and '"2/3"' in journal.read_text()):
        time.sleep(0.2)
    code, told, _ = vidswap("status", "hangs")
    assert code == 0 and "hangs: running" in told and "analysis: 6 of 6 segments" in told
    code, told, error = vidswap("cancel", "hangs", "--json")
    assert code == 0, error
    assert json.loads(told)["state"] == "stopped"
    assert not (tmp_path / "hangs.toy").exists() and job_status(journal.parent).state == "interrupted"

    jobs = json.loads(vidswap("status", "--json")[1])["jobs"]
    assert [(job["name"], job["state"]) for job in jobs] == [("hangs", "stopped"), ("good", "succeeded")]
    code, _, error = vidswap("logs", "other")
    assert code == 2 and "no job 'other'" in error and "there are good, hangs" in error
