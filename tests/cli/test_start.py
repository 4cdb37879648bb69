"""The command says what it can without loading what does the work."""

import contextlib
import subprocess
import sys

import pytest

from vidswap import cli

HEAVY = ("numpy", "torch", "av", "cv2", "ray", "pydantic", "omegaconf", "mediapipe", "numba")


def test_the_commands_are_listed_without_loading_what_does_the_work():
    code = f"import sys, vidswap.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no workers are started early here")
@pytest.mark.parametrize(
    ("arguments", "pipeline"),
    [
        ("swap -s a.jpg -t b.mp4", ["swap-mesh"]),
        ("swap --method e4s -j 2", [None]),
        ("run mine.yaml -t b.mp4", ["mine.yaml"]),
        ("run mine.yaml -t b.mp4 -j 0", []),
        ("swap --workers=0", []),
        ("swap --executor ray", []),
        ("swap --help", []),
        ("inspect b.mp4", []),
    ],
)
def test_a_worker_is_started_early_where_the_command_will_run_one(monkeypatch, arguments, pipeline):
    started = []

    def start(name):
        started.append(name)
        return contextlib.nullcontext()

    monkeypatch.setattr("vidswap.runtime.child.started_early", start)
    with cli._worker_started_early(arguments.split()):
        assert started == pipeline


def test_closed_standard_streams_are_nobody_elses():
    code = (
        "import os; os.close(0); os.close(2)\n"
        "from vidswap.cli import _with_standard_streams\n"
        "_with_standard_streams()\n"
        "with open(os.devnull) as file: print(file.fileno() > 2)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use is not removed there")
def test_a_working_folder_that_was_removed_is_no_bug(tmp_path):
    code = (
        f"import os, sys; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r})\n"
        "from vidswap.cli.app import main; sys.argv = ['vidswap', 'pipelines']; main()"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "swap-mesh" in found
