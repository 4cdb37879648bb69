"""Commands that look: help, inspect, preview, operators, pipelines, doctor."""

import contextlib
import errno
import importlib.metadata
import io
import json
import os
import subprocess
import sys

import cv2
import pytest

from vidswap.cli import doctor
from vidswap.cli.app import run_command
from vidswap.media import ffmpeg_binary, hardware_encoders


@pytest.mark.parametrize(
    "command", ["swap", "run", "inspect", "evaluate", "compare", "preview", "operators", "pipelines", "doctor", "demo"]
)
def test_every_command_explains_itself(vidswap, command):
    code, out, _ = vidswap(command, "--help")
    assert code == 0 and "Usage" in out


def test_help_imports_nothing_heavy():
    code = "import sys; from vidswap.cli.app import run_command; run_command(['--help']); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("'torch'", "'mediapipe'", "'av'", "'cv2'", "'numpy'", "'kornia'", "'pydantic'", "'omegaconf'"):
        assert heavy not in modules


def test_version(vidswap):
    assert vidswap("--version")[1].startswith("vidswap 0.")


def test_inspect_tells_frames_size_and_sound(vidswap, clip):
    code, out, _ = vidswap("inspect", clip, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["frames"] == 26
    assert "aac" in out and "h264" in out
    assert vidswap("inspect", clip)[0] == 0


def test_preview_writes_a_sheet_of_source_target_result_and_mask(vidswap, clip, grace, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, err = vidswap("preview", "-s", grace, "-t", clip, "-o", sheet, "--at", "3,20", "--json")
    assert code == 0, err
    assert json.loads(out)["frames"] == [3, 20]
    image = cv2.imread(str(sheet))
    assert image.shape[0] == 2 * (360 + 24)
    assert image.shape[1] >= 4 * 300
    code, _, err = vidswap("preview", "-s", grace, "-t", clip, "-o", sheet)
    assert code == 2 and "exists; --overwrite" in err
    code, _, err = vidswap("preview", "-s", grace, "-t", clip, "-o", tmp_path / "b.png", "--at", "99")
    assert code == 2 and "the video has frames 0 to 25, not 99" in err


def test_preview_shows_what_every_stage_makes_of_a_face(vidswap, clip, grace, tmp_path):
    sheet = tmp_path / "stages.png"
    code, _, err = vidswap("preview", "-s", grace, "-t", clip, "-o", sheet, "--at", "3,20-21", "--stages", "all", "-q")
    assert code == 0, err
    image = cv2.imread(str(sheet))
    assert image.shape == (3 * (360 + 24), 9 * 360, 3)
    rows = [image[row * 384 + 24 : (row + 1) * 384] for row in range(3)]
    for row in rows:
        target, landmarks, crop, regions, person, mesh, generated, alpha, result = (
            row[:, 360 * i : 360 * (i + 1)].astype(int) for i in range(9)
        )
        # Crop and target are one place, cut by different ways.
        assert abs(crop - target).mean() < 6
        drawn = (abs(landmarks - 0.6 * target) > 30).any(2)
        assert 0.005 < drawn.mean() < 0.1
        face = (alpha > 250).all(2)
        assert 0.05 < face.mean() < 0.6
        assert abs(result - target)[face].mean() > 5 > abs(result - target)[(alpha < 80).all(2)].mean()
        assert abs(generated - result)[face].mean() < abs(generated - target)[face].mean()
        for drawn in (regions, person, mesh):
            assert abs(drawn - target).mean() > 8


def test_preview_shows_the_stages_that_are_named(vidswap, clip, faceless, grace, tmp_path):
    arguments = ["preview", "-s", grace, "-t", clip, "--at", "3", "-q"]
    assert vidswap(*arguments, "-o", tmp_path / "two.png", "--stages", "alpha,landmarks")[0] == 0
    assert cv2.imread(str(tmp_path / "two.png")).shape == (384, 720, 3)
    arguments = ["preview", "-s", grace, "-t", faceless, "--at", "3", "-q", "--stages", "all"]
    assert vidswap(*arguments, "-o", tmp_path / "none.png")[0] == 0
    assert cv2.imread(str(tmp_path / "none.png")).shape == (384, 960, 3)
    code, _, err = vidswap("preview", "-s", grace, "-t", clip, "-o", tmp_path / "c.png", "--stages", "hair")
    assert code == 2 and "write all, or some of target, landmarks, crop" in err
    code, _, err = vidswap("preview", "-s", grace, "-t", clip, "-o", tmp_path / "c.png", "--at", "3-x")
    assert code == 2 and "10,50,90-99" in err


def test_operators_lists_what_is_installed_with_options(vidswap):
    code, out, _ = vidswap("operators", "--json")
    found = {o["name"]: o for o in json.loads(out)["operators"]}
    assert code == 0
    assert not [o for o in found.values() if "error" in o]
    assert found["detect.mediapipe"]["needs"] == ["picture"]
    assert "crf" in found["encode.pyav"]["options"]
    assert vidswap("operators")[0] == 0


def test_pipelines_lists_swap_mesh(vidswap):
    code, out, _ = vidswap("pipelines", "--json")
    assert code == 0
    assert "swap-mesh" in [p["name"] for p in json.loads(out)["pipelines"]]


@pytest.fixture(scope="module")
def checkup():
    """Exit code and facts of one look at this machine, which tries every encoder in hardware."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run_command(["doctor", "--json"])
    return code, json.loads(out.getvalue())


@pytest.fixture
def no_encoders(monkeypatch):
    """Nothing in hardware and no ffmpeg binary."""
    monkeypatch.setattr(hardware_encoders, "in_pyav", list)
    monkeypatch.setattr(ffmpeg_binary, "find_binary", lambda given=None: None)


def test_doctor_finds_this_machine_well(checkup):
    code, facts = checkup
    assert code == 0 and facts["ok"]
    told = {f["what"]: f["state"] for f in facts["findings"]}
    assert "libx264" in told["encoders"]
    assert told["mediapipe"] == "0.10.21"


def test_doctor_prints_remedies_whole(vidswap, no_encoders, monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"something": ("no_such_module", "pip install 'vidswap[something]'")})
    assert "pipinstall'vidswap[something]'" in vidswap("doctor")[1].replace("\n", "").replace(" ", "")


def test_doctor_tells_of_every_extra():
    extras = {*importlib.metadata.metadata("vidswap").get_all("Provides-Extra")} - {"dev"}
    assert {remedy.split("[")[1].split("]")[0] for _, remedy in doctor.EXTRAS.values()} == extras


def test_doctor_tells_encoders_disk_and_memory(checkup):
    _, facts = checkup
    told = {f["what"]: f["state"] for f in facts["findings"]}
    assert "GiB free in" in told["disk space here"] and "GiB" in told["memory"] and "cores" in told["CPU"]
    assert "libx264" in facts["encoders"]["pyav"]
    assert "hardware encoders of PyAV" in told
    for trial in facts["encoders"]["hardware"]:
        assert trial["where"] in ("pyav", "binary")
        assert trial["opens"] == (trial["reason"] == "")
    binary = ffmpeg_binary.find_binary()
    if binary is None:
        assert told["optional: ffmpeg binary"] == "not found"
        return
    assert told["optional: ffmpeg binary"].startswith(binary)
    more = facts["encoders"]["binary"]["more"]
    assert "mpeg4" in more and "libx264" not in more
    assert told["encoders that encode.ffmpeg adds"].startswith(f"{len(more)}, among them")


def test_doctor_says_how_to_get_what_is_optional(vidswap, no_encoders):
    code, out, _ = vidswap("doctor", "--json")
    found = {f["what"]: f for f in json.loads(out)["findings"]}
    assert code == 0
    assert found["optional: ffmpeg binary"]["remedy"].startswith("install ffmpeg")
    assert json.loads(out)["encoders"]["binary"] is None
    for what in ("optional: decord (decode.decord)", "optional: ffmpeg-python (encode.ffmpeg)"):
        assert found[what]["state"] == "installed" or found[what]["remedy"].startswith("pip install 'vidswap[")


def test_a_demo_on_a_full_disk_is_one_line(vidswap, tmp_path, monkeypatch):
    def full(*given, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vidswap.demo.make.make_demo", full)
    code, _, err = vidswap("demo", "-o", tmp_path)
    assert code == 1 and f"the clip cannot be written to {tmp_path}" in err and len(err.splitlines()) == 1, err
