"""Clips for the tests of the command: a public-domain portrait that moves, with a tone, made with PyAV alone."""

from __future__ import annotations

import numpy as np
import pytest
from cli_media import HEIGHT, WIDTH, moving_portrait, write_clip
from forked import Template
from stores import FEW, frames_of

from vidswap.cli.app import run_command


@pytest.fixture(scope="session")
def clip(tmp_path_factory, astronaut):
    """26 frames of a swinging portrait at uneven times, with sound."""
    frames = [moving_portrait(astronaut, i) for i in range(26)]
    pts = [40 * i + (13 if i % 3 == 1 else 0) for i in range(26)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, pts=pts, tone_s=1.0)


@pytest.fixture(scope="session")
def faceless(tmp_path_factory):
    """12 frames of a moving gradient."""
    ramp = np.linspace(0, 255, WIDTH, dtype=np.uint8)
    frames = [np.repeat(np.roll(ramp, 5 * i)[None, :, None], HEIGHT, 0).repeat(3, 2) for i in range(12)]
    return write_clip(tmp_path_factory.mktemp("clip") / "faceless.mp4", frames, tone_s=0.5)


@pytest.fixture(scope="session")
def grace():
    """Path of the portrait used as source."""
    from vidswap.demo import portrait

    return portrait("grace_hopper")


@pytest.fixture
def vidswap(capfd):
    """Run the command in this process: returns exit code, stdout, stderr."""

    def run(*arguments):
        code = run_command([str(a) for a in arguments])
        told = capfd.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture(scope="module")
def template():
    """What copies are made of that run the command."""
    made = Template("vidswap.cli.app", "vidswap.runtime.local", "vidswap.faces.mediapipe_models")
    yield made
    made.close()


@pytest.fixture
def command(template, tmp_path_factory):
    """Start the command in a process of its own, to be killed; what it says goes into the file `told`.

    `first`: code that it runs before.
    """

    def start(*arguments, first=""):
        argv = ["vidswap", *map(str, arguments)]
        code = f"{first}\nimport sys; sys.argv = {argv!r}; from vidswap.cli import main; main()"
        return template.start(code, tmp_path_factory.mktemp("told") / "told.txt")

    return start


@pytest.fixture
def stored(bucket, clip, grace):
    """A bucket with the portrait and the clip in it."""
    (bucket / "portrait.jpg").upload(grace)
    (bucket / "clip.mp4").upload(clip)
    return bucket


@pytest.fixture(scope="session")
def expected(tmp_path_factory, clip, grace):
    """The frames of a local run with the options FEW, for runs over a store."""
    output = tmp_path_factory.mktemp("local") / "out.mkv"
    assert run_command(["swap", "-s", str(grace), "-t", str(clip), "-o", str(output), *FEW, "-j", "0", "-q"]) == 0
    return frames_of(output)


@pytest.fixture
def one_core(monkeypatch):
    """Runs within this process, one thread each: on shared machines torch's threads wait for one another."""
    monkeypatch.setattr("vidswap.runtime.executors.available_cores", lambda: 1)
    monkeypatch.setattr("vidswap.runtime.in_process.available_cores", lambda: 1)
