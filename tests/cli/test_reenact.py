"""Reenactment through the command: the portrait's picture, the driver's times and sound, however it is run."""

import json

import av
import numpy as np
import pytest
from cli_media import decoded, packets


@pytest.fixture(scope="module")
def reenacted(tmp_path_factory, clip, grace):
    from vidswap.cli.app import run_command

    output = tmp_path_factory.mktemp("reenacted") / "out.mkv"
    how = ["--size", "256", "--codec", "ffv1", "--segment-frames", "26", "-j", "0", "-q"]
    assert run_command(["reenact", "-s", str(grace), "-d", str(clip), "-o", str(output), *how]) == 0
    return output


def test_the_picture_is_the_portrait_and_times_and_sound_the_drivers(reenacted, clip):
    (before, times_before), (after, times_after) = decoded(clip, "rgb24"), decoded(reenacted, "rgb24")
    assert len(after) == len(before)
    assert times_after == times_before
    assert max(after[0].shape[:2]) == 256
    assert packets(reenacted, "audio") == packets(clip, "audio")
    # It moves, but not at the picture's corners.
    change = np.abs(after[3].astype(int) - after[12].astype(int)).max(2)
    assert change.max() > 30
    assert change[:4, :4].max() <= 1
    with av.open(str(reenacted)) as container:
        notes = {k.lower(): v for k, v in container.metadata.items()}
    assert "changed by vidswap" in notes["comment"]


@pytest.mark.parametrize("length", ["5", "9"])
def test_segment_length_does_not_change_frames(vidswap, reenacted, clip, grace, tmp_path, length):
    how = ["--size", "256", "--codec", "ffv1", "--segment-frames", length, "-j", "0", "-q"]
    code, _, err = vidswap("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "out.mkv", *how)
    assert code == 0, err
    for one, other in zip(decoded(reenacted)[0], decoded(tmp_path / "out.mkv")[0], strict=True):
        assert np.array_equal(one, other)


def test_how_it_follows_its_driver_is_measured(vidswap, reenacted, clip, grace):
    code, out, err = vidswap("evaluate", grace, clip, reenacted, "--reenacted", "--json")
    assert code == 0, err
    told = json.loads(out)
    value = {name: measure["value"] for name, measure in told["measures"].items()}
    assert told["frames"] == len(decoded(clip)[0]) and value["faces_found_share"] == 1.0
    assert 0 < value["jitter_ratio"] < 3 and value["pose_deviation_deg"] < 3
    assert value["likeness"] is None and "no weights installed" in told["measures"]["likeness"]["reason"]
    assert set(told["checks"]) == {"frame_count", "pts"} and all(check["passes"] for check in told["checks"].values())
    code, out, err = vidswap("evaluate", grace, clip, reenacted, "--reenacted")
    assert code == 0 and "turns" in out and "PSNR" not in out
    code, out, err = vidswap("evaluate", grace, clip, reenacted)
    assert code == 2 and "--reenacted" in err and err.count("\n") == 1 and not out


def test_sound_can_be_left_out(vidswap, clip, grace, tmp_path):
    code, _, err = vidswap(
        *("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "out.mp4"), *("--size", "128", "--no-sound", "-j", "0")
    )
    assert code == 0, err
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_a_driver_without_a_face_is_one_line(vidswap, faceless, grace, tmp_path):
    code, _, err = vidswap("reenact", "-s", grace, "-d", faceless, "-o", tmp_path / "out.mp4", "-j", "0", "-q")
    assert code == 2
    assert "driver" in err and "no face found" in err
    assert not (tmp_path / "out.mp4").exists()
