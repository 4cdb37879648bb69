"""Damage in the middle of a video, through the real command: told with its time, refused with --strict, told again."""

from __future__ import annotations

import json
import shutil

import av
import pytest


@pytest.fixture
def through(tmp_path):
    """A pipeline that decodes and encodes, with its fixed arguments."""
    pipeline = tmp_path / "through.yaml"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    return ["run", pipeline, "--segment-frames", 5, "-j", 0, "--no-smart-copy"]


def spoil(path, frame):
    """Flip bits in the packet that is shown as `frame`; returns its time in seconds."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        packet = sorted(packets, key=lambda p: p.pts)[frame]
        place, size, seconds = packet.pos, packet.size, float(packet.pts * packet.time_base)
    data = bytearray(path.read_bytes())
    for at in range(place + 12, place + size, 5):
        data[at] ^= 0x5A
    path.write_bytes(data)
    return seconds


@pytest.fixture
def damaged(clip, tmp_path):
    """The clip with one spoiled packet in its middle, and the warning's beginning."""
    path = tmp_path / "damaged.mp4"
    shutil.copy(clip, path)
    return path, f"damaged.mp4 is damaged at {spoil(path, 13):.3f} s (frame 13)"


def errors(err):
    return [line for line in err.splitlines() if line.startswith("error: ")]


def test_strict_refuses_in_one_line_with_the_time_and_writes_nothing(vidswap, damaged, grace, tmp_path, through):
    path, says = damaged
    before = sorted(tmp_path.iterdir())
    code, out, err = vidswap("swap", "-s", grace, "-j", 0, "-t", path, "-o", tmp_path / "out.mp4", "--strict", "-q")
    assert (code, out, len(errors(err))) == (2, "", 1), err
    assert says in errors(err)[0] and "(an error because of --strict)" in errors(err)[0]
    assert sorted(tmp_path.iterdir()) == before
    # What was finished before the damage was met is kept, the output is not begun.
    for workers in (0, 2):
        given = ("-t", path, "-o", tmp_path / f"{workers}.mp4", "--strict", "--json", "-j", workers)
        code, out, err = vidswap(*through, *given)
        assert (code, json.loads(out)["exit_code"], len(errors(err))) == (2, 2, 1), err
        assert says in json.loads(out)["error"]
    kept = sorted(p.name for p in set(tmp_path.iterdir()) - set(before))
    assert kept == ["0.mp4.vidswap", "2.mp4.vidswap"]


def test_warnings_of_what_was_done_before_come_again(vidswap, damaged, tmp_path, through, monkeypatch):
    path, says = damaged
    arguments = [*through, "-t", path, "-o", tmp_path / "out.mp4"]
    from vidswap.operators.encode import EncodePyAV

    def broken(self, *given):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(EncodePyAV, "join", broken)
        code, _, err = vidswap(*arguments)
        assert code == 1, err
    for command in ([*arguments], ["resume", tmp_path / "out.mp4.vidswap"]):
        kept = shutil.copytree(tmp_path / "out.mp4.vidswap", tmp_path / "kept", dirs_exist_ok=True)
        code, out, err = vidswap(*command, "--json")
        assert code == 0, err
        report = json.loads(out)
        assert report["segments_resumed"] == report["segments"]
        assert [w for w in report["warnings"] if w.startswith(says)], report["warnings"]
        (tmp_path / "out.mp4").unlink()
        shutil.copytree(kept, tmp_path / "out.mp4.vidswap")


def test_a_batch_goes_on_behind_a_video_that_strict_refuses(vidswap, damaged, faceless, tmp_path, through):
    path, says = damaged
    jobs = tmp_path / "jobs.csv"
    jobs.write_text(f"target,output\n{path},one.mkv\n{faceless},two.mkv\n")
    code, out, _ = vidswap("batch", jobs, "--pipeline", through[1], "--strict", "-j", 0, "--json")
    found = json.loads(out)
    assert (code, found["done"], found["failed"]) == (1, 1, 1)
    assert says in found["jobs"][0]["error"] and found["jobs"][1]["state"] == "done"
    assert (tmp_path / "two.mkv").exists() and not (tmp_path / "one.mkv").exists()
