"""Commands that look: help, inspect, preview, operators, pipelines, doctor."""

import json
import subprocess
import sys

import cv2
import pytest


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


def test_doctor_finds_this_machine_well(vidswap):
    code, out, _ = vidswap("doctor", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["ok"]
    told = {f["what"]: f["state"] for f in facts["findings"]}
    assert "libx264" in told["encoders"]
    assert told["mediapipe"] == "0.10.21"


def test_doctor_prints_remedies_whole(vidswap):
    assert "vidswap[" in vidswap("doctor")[1].replace("\n", "").replace(" ", "")
