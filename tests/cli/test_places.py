"""Where outputs go and inputs come from: other file systems, pipes, devices, names that are none."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from vidswap.cli.app import run_command


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """A pipeline that only decodes and encodes."""
    pipeline = tmp_path_factory.mktemp("pipeline") / "through.yaml"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    return pipeline


@pytest.fixture
def run(vidswap, through, faceless):
    """Run it on the faceless clip; returns exit code and stderr."""

    def go(output, *more, target=faceless):
        code, _, err = vidswap("run", through, "-t", target, "-o", output, "-j", 0, "-q", *more)
        return code, err

    return go


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "has no name; give a file name"),
        ("..", "has no name; give a file name"),
        ("-", "nothing is written to standard output; give a file name"),
        ("/dev/null", "is a pipe or a device; give the name of a file"),
        ("pipe.mp4", "is a pipe or a device; give the name of a file"),
        (f"{'x' * 245}.mp4", "the name of the output is too long: xxxx"),
        ("folder.mp4", "is a folder; give a file name"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_what_is_no_place_for_a_video_is_refused_in_one_line(run, tmp_path, monkeypatch, name, says, more):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.mp4")
    Path("folder.mp4").mkdir()
    code, err = run(name, *more)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert says in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.mp4", "pipe.mp4"]


@pytest.mark.parametrize("command", ["compare", "preview"])
@pytest.mark.parametrize("name", ["", "-", "pipe.png"])
def test_other_commands_refuse_the_same(vidswap, faceless, grace, tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    given = {"compare": [faceless, faceless], "preview": ["-s", grace, "-t", faceless]}[command]
    code, _, err = vidswap(command, *given, "-o", name, "--overwrite")
    assert (code, len(err.splitlines())) == (2, 1), err


def test_a_pipe_is_no_input_and_nobody_waits_for_it(run, vidswap, grace, faceless, tmp_path):
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    code, err = run(tmp_path / "out.mp4", target=pipe)
    assert (code, "is not a regular file; give a video file" in err) == (2, True)
    assert vidswap("inspect", pipe)[0] == 2
    assert vidswap("swap", "-s", pipe, "-t", faceless, "-o", tmp_path / "out.mp4")[0] == 2
    assert vidswap("batch", tmp_path, "-s", grace, "-o", tmp_path / "done")[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["pipe.mp4"]


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory, prefix="vidswap-test-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "frames", "p_%03d.png"])
def test_an_output_on_another_file_system_than_the_job_is_the_same(run, tmp_path, elsewhere, name):
    (tmp_path / "here").mkdir()
    assert run(tmp_path / "here" / name)[0] == 0
    assert run(elsewhere / name, "--job", tmp_path / "job")[0] == 0
    here, there = ({p.relative_to(f): p for p in f.rglob("*")} for f in (tmp_path / "here", elsewhere))
    assert here.keys() == there.keys() and here
    assert all(here[n].read_bytes() == there[n].read_bytes() for n in here if here[n].is_file())
    assert run(tmp_path / "again.mp4", "--job", elsewhere / "job")[0] == 0


def test_a_disk_that_is_full_behind_a_result_is_one_line(faceless, grace, capfd):
    code = run_command(["preview", "-s", str(grace), "-t", str(faceless), "-o", "/proc/sheet.png", "--at", "0"])
    assert (code, capfd.readouterr().err) == (1, "error: no such file or directory: /proc/sheet.png\n")


def test_a_name_that_is_no_utf_8_is_a_name(run, vidswap, grace, faceless, tmp_path):
    output = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    code, _, err = vidswap("swap", "-s", grace, "-t", faceless, "-o", output, "-j", 0, "--report", tmp_path / "r.html")
    assert code == 0 and output.exists(), err
