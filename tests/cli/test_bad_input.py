"""Bad input: one clear line, exit code 2, nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def refused(vidswap, tmp_path, monkeypatch):
    """Run in an empty folder; expect exit code 2, one line that contains `says`, and no new file."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments, says):
        before = sorted(tmp_path.rglob("*"))
        code, _, err = vidswap(*arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, len(lines)) == (2, 1), err
        assert says in lines[0]
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before

    return check


@pytest.fixture
def swap(refused, grace, clip, tmp_path):
    def go(*more, says, source=grace, target=clip, output=tmp_path / "out.mp4"):
        refused("swap", "-s", source, "-t", target, "-o", output, "-j", "0", *more, says=says)

    return go


def test_no_such_file(swap, tmp_path):
    swap(target=tmp_path / "none.mp4", says="none.mp4")
    swap(source=tmp_path / "none.jpg", says="source: no such file")


def test_a_name_that_no_file_can_have(swap, tmp_path):
    swap(source=tmp_path / f"{'a' * 300}.jpg", says="file name too long")
    swap(output=tmp_path / f"{'a' * 300}.mp4", says="file name too long")


def test_not_a_video(swap, tmp_path, grace):
    (tmp_path / "text.mp4").write_text("this is no video at all\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    swap(target=tmp_path / "text.mp4", says="text.mp4")
    swap(target=tmp_path / "empty.mp4", says="empty.mp4")
    swap(target=tmp_path, says=str(tmp_path))
    swap(source=tmp_path / "text.mp4", says="text.mp4")


def test_a_source_without_a_face(swap, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((300, 300, 3), 120, np.uint8))
    swap(source=tmp_path / "wall.png", says="wall.png: no face found in it; give a portrait where")


def test_a_source_with_several_faces_names_the_option(swap, tmp_path, astronaut, grace_hopper):
    height = min(len(astronaut), len(grace_hopper))
    two = np.hstack([astronaut[:height], grace_hopper[:height]])
    cv2.imwrite(str(tmp_path / "two.png"), two[..., ::-1])
    swap(source=tmp_path / "two.png", says="2 faces found")
    swap(
        "--source-face",
        "5",
        source=tmp_path / "two.png",
        says="--source-face '5' is none of largest, left, right, 0..1",
    )


def test_output_exists(swap, tmp_path):
    (tmp_path / "out.mp4").write_text("mine")
    swap(says="out.mp4 exists; --overwrite replaces it")
    assert (tmp_path / "out.mp4").read_text() == "mine"


def test_output_is_the_target(swap, clip):
    swap("--overwrite", output=clip, says="is the target itself")


def test_output_is_the_source(swap, grace, clip):
    swap("--overwrite", source=clip, output=clip, target=grace, says="is the source itself")


def test_a_folder_of_results_does_not_replace_the_source_or_a_face_to_look_for(swap, grace, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    portrait = shutil.copy(grace, folder / "00000001.jpg")
    says = "00000001.jpg is one of the pictures in"
    swap("--overwrite", source=portrait, output=folder / "%08d.png", says=says)
    swap("--overwrite", "--face-like", portrait, output=folder / "%08d.png", says=says)


def test_a_sheet_does_not_replace_the_source(refused, grace, clip, tmp_path):
    portrait = shutil.copy(grace, tmp_path / "portrait.png")
    refused("preview", "-s", portrait, "-t", clip, "-o", portrait, "--overwrite", says="is the source itself")


def test_source_and_target_are_the_wrong_way_round(swap, grace, clip):
    swap(source=clip, target=grace, says="is one picture, the source clip.mp4 a video of 26 frames")


def test_output_folder_missing_or_a_folder(swap, tmp_path):
    swap(output=tmp_path / "none" / "out.mp4", says="does not exist; make it first")
    (tmp_path / "folder.mp4").mkdir()
    swap(output=tmp_path / "folder.mp4", says="is a folder")


def test_output_folder_not_writable(swap, tmp_path, monkeypatch):
    # Root may write anywhere: what the system says is replaced, and a place where not even root may write is tried.
    swap(output=Path("/proc/out.mp4"), says="/proc")
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    swap(says=f"the output folder {tmp_path} is not writable")


def test_a_source_that_may_not_be_read(swap, grace, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    # What the system does where others than root may not read.
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.R_OK)
    monkeypatch.setattr("vidswap.api.file_digest", refused)
    swap(says=f"source: {grace} cannot be read: permission denied")


def test_output_of_no_known_container(swap, tmp_path):
    swap(output=tmp_path / "out.xyz", says="out.xyz")
    swap(output=tmp_path / "%05d.mp4", says="pictures are written as")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--crf", "99"], "crf"),
        (["--crf", "60"], "crf: that of libx264 ends at 51, got 60"),
        (["--codec", "ffv1", "--crf", "20"], "ffv1 has no crf"),
        (["--codec", "ffv1", "--preset", "fast"], "ffv1 has no preset"),
        (["--ray-address", "auto"], "--ray-address is for --executor ray"),
        (["--crf", "-1"], "crf"),
        (["--codec", "libx265x"], "libx265"),
        (["--preset", "fastish"], "fastish"),
        (["--segment-frames", "4"], "error: --segment-frames: "),
        (["--workers", "-3"], "error: --workers: "),
        (["--executor", "slurm"], "error: --executor: "),
        (["--device", "gpu"], "--device: 'gpu' is no device; write auto, cpu, cuda"),
        (["--strength", "1.5"], "strength"),
        (["--regions", "elbow"], "elbow"),
        (["--blend", "glue"], "mode"),
        (["--face", "prettiest"], "prettiest"),
        (["--profile", "laptap"], "unknown profile 'laptap'; did you mean 'laptop'?"),
        (["--pipeline", "swap-mush"], "unknown pipeline 'swap-mush'; did you mean 'swap-mesh'?"),
        (["blend.moed=feather"], "unknown key 'moed'; did you mean 'mode'?"),
        (["blnd.mode=feather"], "no stage is called 'blnd'; did you mean 'blend'?"),
        (["--disclose", ""], "text"),
    ],
)
def test_options_out_of_range(swap, arguments, says):
    swap(*arguments, says=says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["swop"], "No such command 'swop'. Did you mean 'swap'? See vidswap --help."),
        (["swap", "--sauce", "x"], "No such option: --sauce"),
        (["swap", "--overwrit", "x"], "--overwrite"),
        (["weights", "pul"], "See vidswap weights --help."),
        (["swap", "-s", "x.jpg"], "Missing option"),
        (["preview", "-s", "a", "-t", "b", "-o", "sheet.jpg"], "give -o sheet.png"),
        (["inspect", "none.mp4"], "none.mp4"),
        (["evaluate", "none.jpg", "a.mp4", "b.mp4"], "no such file"),
        (["run", "none.yaml", "-t", "a", "-o", "b"], "no such pipeline file: none.yaml"),
    ],
)
def test_wrong_usage(refused, arguments, says):
    refused(*arguments, says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nstages: [", "is not YAML"),
        ("name: x\nstages: {a: 1}", "stages"),
        ("name: x\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav, optoins: {}}", "did you mean 'options'?"),
        ("name: x\nstages:\n- {use: decode.pyav, after: [encode]}\n- {use: encode.pyav}", "in a cycle"),
        ("name: x\nstages:\n- {use: decode.pyav}\n- {use: align.ffhq}\n- {use: encode.pyav}", "works on faces"),
        ("name: x\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav, options: {crf: best}}", "crf"),
    ],
)
def test_wrong_yaml(refused, clip, tmp_path, text, says):
    (tmp_path / "p.yaml").write_text(text)
    refused("run", "p.yaml", "-t", clip, "-o", "out.mp4", says=says)


def test_an_interrupt_while_python_imports_is_one_line():
    code = "import os; from vidswap.cli import main; os.write(1, b'up'); main()"
    command = [sys.executable, "-c", code, "operators"]
    for wait_s in (0.0, 0.0, 0.1, 0.25):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout.read(2) == "up"
            time.sleep(wait_s)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        if said.endswith('File "<string>", line 1, in <module>\nKeyboardInterrupt\n'):
            continue  # a machine so busy that the command had not begun
        assert (process.returncode, said) in ((130, "error: interrupted\n"), (0, "")), said
