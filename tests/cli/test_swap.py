"""The command on real frames: streams, timestamps, pixels, and the same frames however it is run."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from cli_media import decoded, first_time, packets


@pytest.fixture(scope="module")
def swapped(tmp_path_factory, clip, grace):
    """The clip swapped by the real command in a process of its own, lossless, with two workers."""
    output = tmp_path_factory.mktemp("swapped") / "out.mkv"
    arguments = ["swap", "-s", grace, "-t", clip, "-o", output, "--codec", "ffv1", "--segment-frames", 10, "-j", 2]
    done = subprocess.run(
        [sys.executable, "-m", "vidswap.cli", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output, json.loads(done.stdout.splitlines()[-1])


def test_frames_timestamps_and_sound_come_through(swapped, clip):
    output, report = swapped
    (before, times_before), (after, times_after) = decoded(clip), decoded(output)
    assert len(after) == len(before) == report["frames"] == 26
    assert times_after == times_before
    # Matroska counts in milliseconds.
    assert first_time(output, "audio") == pytest.approx(first_time(clip, "audio"), abs=1e-3)
    assert packets(output, "audio") == packets(clip, "audio")
    assert report["frames_with_faces"] == 26


def test_the_face_changes_and_the_rest_is_bit_equal(swapped, clip):
    before, after = decoded(clip)[0], decoded(swapped[0])[0]
    for one, other in zip(before, after, strict=True):
        luma_one, luma_other = one[:240].astype(int), other[:240].astype(int)
        changed = np.abs(luma_one - luma_other) > 0
        assert 0.02 < changed.mean() < 0.35
        rows, columns = np.nonzero(changed)
        outside = np.ones_like(changed)
        outside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = False
        assert np.array_equal(luma_one[outside], luma_other[outside])
        assert np.abs(luma_one - luma_other)[changed].mean() > 2


@pytest.mark.parametrize("how", [["--segment-frames", "5"], []])
def test_segment_length_does_not_change_frames(vidswap, swapped, clip, grace, tmp_path, how):
    code, _, err = vidswap(
        "swap", "-s", grace, "-t", clip, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "-j", "0", "-q", *how
    )
    assert code == 0, err
    for one, other in zip(decoded(swapped[0])[0], decoded(tmp_path / "out.mkv")[0], strict=True):
        assert np.array_equal(one, other)


def test_the_container_says_that_faces_were_changed(swapped):
    with av.open(str(swapped[0])) as container:
        notes = {k.lower(): v for k, v in container.metadata.items()}
    assert notes["comment"].startswith("Faces in this video were changed by vidswap")
    facts = json.loads(notes["vidswap"])
    assert facts["pipeline"] == "swap-mesh"
    assert facts["options"]["encode"]["codec"] == "ffv1"
    assert facts["sources"]["source"].startswith("sha256:")


def test_disclosure_is_drawn_into_a_corner(vidswap, swapped, clip, grace, tmp_path):
    arguments = ["--disclose", "AI-altered", "--codec", "ffv1", "-j", "0", "-q"]
    code, _, err = vidswap("swap", "-s", grace, "-t", clip, "-o", tmp_path / "out.mkv", *arguments)
    assert code == 0, err
    plain, labelled = decoded(swapped[0], "gray")[0], decoded(tmp_path / "out.mkv", "gray")[0]
    difference = np.abs(plain[5].astype(int) - labelled[5].astype(int)) > 20
    rows = np.nonzero(difference)[0]
    assert difference.sum() > 100
    assert rows.min() > 160 or rows.max() < 80


def test_default_output_is_mp4_that_players_take(vidswap, clip, grace, tmp_path):
    code, out, err = vidswap("swap", "-s", grace, "-t", clip, "-o", tmp_path / "out.mp4", "-j", "0", "--json")
    assert code == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["warnings"] == []
    assert decoded(tmp_path / "out.mp4")[1] == decoded(clip)[1]
    assert first_time(tmp_path / "out.mp4", "audio") == first_time(clip, "audio")
    assert packets(tmp_path / "out.mp4", "audio") == packets(clip, "audio")
    with av.open(str(tmp_path / "out.mp4")) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.width, video.height) == ("h264", 320, 240)
        assert video.codec_context.pix_fmt == "yuv420p"
        assert sound.codec_context.name == "aac"
        assert container.metadata["comment"].startswith("Faces in this video were changed")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4"]


def test_a_target_without_faces_is_a_faithful_copy_with_a_warning(vidswap, faceless, grace, tmp_path):
    code, _, err = vidswap("swap", "-s", grace, "-t", faceless, "-o", tmp_path / "out.mp4", "-j", "0")
    assert code == 0
    assert "warning: " in err and "no face to change was found; the picture is that of the input" in err
    assert all(
        np.array_equal(a, b) for a, b in zip(decoded(faceless)[0], decoded(tmp_path / "out.mp4")[0], strict=True)
    )
    assert packets(tmp_path / "out.mp4", "audio") == packets(faceless, "audio")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert "changed by vidswap" not in str(container.metadata)
    assert vidswap("swap", "-s", grace, "-t", faceless, "-o", tmp_path / "b.mp4", "-j", "0", "--strict")[0] == 2
    assert not (tmp_path / "b.mp4").exists()


def test_interrupt_exits_130_and_the_same_command_goes_on(vidswap, command, clip, grace, tmp_path, swapped):
    given = ["swap", "-s", grace, "-t", clip, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "--segment-frames", 5]
    running = command(*given, "-j", 1)
    journal = tmp_path / "out.mkv.vidswap" / "journal.jsonl"
    until = time.monotonic() + 300
    while time.monotonic() < until and not (journal.exists() and '"3/' in journal.read_text()):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    assert running.wait() == 130
    assert not (tmp_path / "out.mkv").exists()
    code, told, err = vidswap(*given, "-j", 0, "--json")
    assert code == 0, err
    assert json.loads(told.splitlines()[-1])["segments_resumed"] >= 1
    assert all(
        np.array_equal(a, b) for a, b in zip(decoded(swapped[0])[0], decoded(tmp_path / "out.mkv")[0], strict=True)
    )
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]


def test_swap_from_python_without_a_main_guard(clip, grace, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import vidswap\n"
        f"report = vidswap.swap({str(grace)!r}, {str(clip)!r}, 'out.mp4', workers=2, segment_frames=13)\n"
        "open('report.txt', 'w').write(f'{report.frames} {report.segments}')\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)
    assert (tmp_path / "report.txt").read_text() == "26 2"
    assert Path(tmp_path / "out.mp4").exists()


def test_a_checkout_in_the_working_folder_does_not_shadow_the_installed_package(clip, tmp_path):
    (tmp_path / "through.yaml").write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    (tmp_path / "vidswap").mkdir()
    (tmp_path / "vidswap" / "__init__.py").write_text("raise ImportError('the wrong vidswap')")
    script = "import sys; sys.path[:] = [p for p in sys.path if p]; from vidswap.cli import main; main()"
    arguments = ["run", "through.yaml", "-t", clip, "-o", "out.mp4", "-j", 1, "-q"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").exists()
