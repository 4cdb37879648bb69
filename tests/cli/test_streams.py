"""Standard output whose reader leaves, is full or closed: no traceback, and the work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from vidswap.cli import main; main()"]


@pytest.fixture
def left():
    """Run the command with a standard output that nobody reads any more: returns exit code and stderr."""

    def run(*arguments, **options):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                [*COMMAND, *map(str, arguments)],
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                **options,
            )
        finally:
            os.close(writer)
        return done.returncode, done.stderr

    return run


@pytest.mark.parametrize("arguments", [["pipelines"], ["pipelines", "--json"], ["--help"], ["operators"]])
def test_a_reader_that_leaves_is_no_failure(left, arguments):
    assert left(*arguments) == (0, "")


def test_a_run_whose_reader_leaves_is_finished(left, faceless, tmp_path):
    pipeline = tmp_path / "through.yaml"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    job = tmp_path / "jobs.yaml"
    job.write_text(f"- {{target: '{faceless}', output: a.mp4}}\n- {{target: '{faceless}', output: b.mp4}}\n")
    for more in ([], ["--json"]):
        code, told = left("batch", job, "--pipeline", pipeline, "-j", 0, "--overwrite", *more)
        assert (code, [line for line in told.splitlines() if not line.startswith("warning")]) == (0, [])
        assert (tmp_path / "a.mp4").exists() and (tmp_path / "b.mp4").exists()


def test_an_error_keeps_its_exit_code_when_the_reader_leaves(left):
    assert left("inspect", "/none.mp4", "--json") == (2, "error: no such file: /none.mp4\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "pipelines"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: standard output cannot be written: No space left on device\n")


def test_closed_streams_are_borne(clip):
    script = f'exec "{sys.executable}" -c "from vidswap.cli import main; main()" inspect "{clip}" >&- 2>&-'
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_names_that_are_no_text_are_shown_with_backslashes(clip, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    odd.symlink_to(clip)
    done = subprocess.run([*COMMAND, "inspect", odd], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"caf\udce9.mp4" in done.stdout
