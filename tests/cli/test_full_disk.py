"""A disk that is really full while a run writes: one line, and with more room the same command goes on."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys

import av
import pytest

COMMAND = [sys.executable, "-m", "vidswap.cli"]


@pytest.fixture
def arguments(clip, tmp_path):
    """A run that decodes and encodes 26 frames without loss, in segments of 5."""
    pipeline = tmp_path / "through.yaml"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    fixed = ["--codec", "ffv1", "--segment-frames", "5", "-j", "0", "--json"]
    return ["run", str(pipeline), "-t", str(clip), *fixed]


@pytest.fixture
def disk(tmp_path):
    """A small file system, and how to give it another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(kilobytes, how="size"):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"{how}={kilobytes}k", "vidswap-test", str(place)],
            capture_output=True,
            check=False,
        ).returncode

    try:
        mounted = sized(64) == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no small file system can be mounted here")
    try:
        yield place, lambda kilobytes: sized(kilobytes, "remount,size")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def pixels(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def test_a_disk_that_fills_up_again_and_again_costs_only_what_was_unfinished(vidswap, arguments, disk, tmp_path):
    place, resize = disk
    assert vidswap(*arguments, "-o", tmp_path / "expected.mkv")[0] == 0
    whole_kb = (tmp_path / "expected.mkv").stat().st_size >> 10
    output, resumed = place / "out.mkv", []
    # Full in the first segment, in later ones, while joining; then there is room.
    for room_kb in (whole_kb // 8, whole_kb // 2, whole_kb * 9 // 8, whole_kb * 3 // 2):
        assert resize(max(room_kb, 64)) == 0
        code, _, err = vidswap(*arguments, "-o", output)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, len(lines)) == (1, 1), err
        assert "no space left on device" in lines[0].lower() and "Traceback" not in err
        assert not output.exists()
        resumed.append(len(list((place / "out.mkv.vidswap").glob("0*.nut"))))
    assert resumed == sorted(resumed) and resumed[0] < 2 and resumed[-1] == 6
    assert resize(4 * whole_kb) == 0
    code, out, err = vidswap(*arguments, "-o", output)
    assert code == 0, err
    assert json.loads(out)["segments_resumed"] >= 4
    assert pixels(output) == pixels(tmp_path / "expected.mkv")
    assert [p.name for p in place.iterdir()] == ["out.mkv"]


def test_a_limit_on_the_size_of_files_is_one_line(arguments, tmp_path):
    output = tmp_path / "out.mkv"

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [*COMMAND, *arguments, "-o", output], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(lines), "Traceback" in done.stderr) == (1, 1, False), done.stderr
    assert "file too large" in lines[0].lower()
    assert not output.exists()
    with contextlib.suppress(FileNotFoundError):
        assert not [p for p in output.with_name("out.mkv.vidswap").iterdir() if p.name.startswith(".")]
    done = subprocess.run([*COMMAND, *arguments, "-o", output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
