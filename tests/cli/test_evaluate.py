"""`vidswap evaluate` on real frames: a result that changes nothing, a swap, and results that are made worse."""

import contextlib
import json

import cv2
import numpy as np
import pytest
from cli_media import decoded, moving_portrait, write_clip

from vidswap.cli.app import run_command
from vidswap.cli.evaluate import MEASURES
from vidswap.metrics import installed


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory, astronaut):
    """44 frames at 25 per second of a portrait that swings at 2 Hz."""
    frames = []
    for i in range(44):
        shift = np.float32([[1, 0, 4 * np.sin(2 * np.pi * 2 * i / 25)], [0, 1, 0]])
        frames.append(cv2.warpAffine(moving_portrait(astronaut, 0), shift, (320, 240), borderMode=cv2.BORDER_REPLICATE))
    return write_clip(tmp_path_factory.mktemp("evaluate") / "long.mp4", frames, tone_s=0.5)


@pytest.fixture(scope="module")
def swapped(tmp_path_factory, long_clip, grace):
    """The clip with another face, lossless."""
    output = tmp_path_factory.mktemp("evaluate") / "swapped.mkv"
    arguments = ["swap", "-s", grace, "-t", long_clip, "-o", output, "--codec", "ffv1", "-j", "0", "-q"]
    assert run_command([str(a) for a in arguments]) == 0
    return output


@pytest.fixture
def evaluated(vidswap, grace):
    def run(target, result):
        code, out, err = vidswap("evaluate", grace, target, result, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return run


@pytest.fixture(scope="module")
def of_itself(tmp_path_factory, long_clip, grace):
    """What is told of the clip as its own result."""
    told = tmp_path_factory.mktemp("evaluate") / "told.json"
    with told.open("w") as file, contextlib.redirect_stdout(file):
        assert run_command(["evaluate", str(grace), str(long_clip), str(long_clip), "--json"]) == 0
    return json.loads(told.read_text())


def value(facts, name):
    return facts["measures"][name]["value"]


def test_a_result_that_is_the_target_is_perfect_exactly(of_itself):
    facts = of_itself
    for name in ("jitter_ratio", "motion_gain", "flicker_ratio", "warping_ratio", "faces_found_share"):
        assert value(facts, name) == 1.0
    for name in ("lag_frames", "pose_difference_deg", "nme", "seam", "seam_deviation"):
        assert value(facts, name) == 0.0
    assert facts["measures"]["background_psnr_db"]["exact"]
    assert not facts["changed"]
    assert all(check["passes"] for check in facts["checks"].values())


def test_a_swap_is_measured_where_it_changes_the_face(evaluated, long_clip, swapped):
    facts = evaluated(long_clip, swapped)
    assert facts["changed"] and facts["frames"] == 44
    assert len(facts["tracks"]) == 1 and facts["tracks"][0]["changed"]
    assert facts["tracks"][0]["frames"] == 44
    assert facts["measures"]["background_psnr_db"]["exact"]
    assert value(facts, "seam") > 0.5
    assert 0.5 < value(facts, "jitter_ratio") < 2.0
    assert value(facts, "motion_gain") == pytest.approx(1.0, abs=0.15)
    assert abs(value(facts, "lag_frames")) < 1
    assert 0.1 < value(facts, "pose_difference_deg") < 10
    assert facts["more"]["change"] > 3
    assert all(check["passes"] for check in facts["checks"].values())


def test_what_needs_weights_is_null_with_the_reason(of_itself):
    facts = of_itself
    for name in ("likeness", "target_likeness", "tl_id", "tlp"):
        assert value(facts, name) is None
        assert facts["measures"][name]["reason"].startswith("no weights installed")


def test_an_installed_recogniser_is_asked(evaluated, monkeypatch, long_clip, swapped, tmp_path):
    # Its embedding is the colour of the face: enough to tell the portrait's from the target's.
    def recogniser(faces):
        assert faces.shape[1:] == (112, 112, 3)
        return faces.reshape(len(faces), -1, 3).mean(1) - 100.0

    monkeypatch.setattr(
        installed, "find", lambda group: (recogniser if group == installed.RECOGNISERS else None, "colour")
    )
    few, changed = (
        write_clip(tmp_path / f"{path.stem}.mp4", decoded(path, "rgb24")[0][:16]) for path in (long_clip, swapped)
    )
    same, other = evaluated(few, few), evaluated(few, changed)
    assert value(same, "likeness") == value(same, "target_likeness") != 0
    assert value(same, "tl_id") == 1.0
    assert value(other, "likeness") != value(same, "likeness")


def test_a_late_result_is_found_to_lag(evaluated, long_clip, tmp_path):
    frames, _ = decoded(long_clip, "rgb24")
    late = write_clip(tmp_path / "late.mp4", [frames[max(0, i - 2)] for i in range(44)], tone_s=0.5)
    facts = evaluated(long_clip, late)
    assert value(facts, "lag_frames") == pytest.approx(2.0, abs=0.4)
    assert facts["measures"]["lag_frames"]["passes"] is False


def test_a_result_that_trembles_and_flickers_is_found_out(evaluated, long_clip, tmp_path):
    frames, _ = decoded(long_clip, "rgb24")
    worse = []
    for i, frame in enumerate(frames):
        shift = np.float32([[1, 0, 1.5 * (-1) ** i], [0, 1, 0]])
        moved = cv2.warpAffine(frame, shift, (320, 240), borderMode=cv2.BORDER_REPLICATE)
        worse.append(np.clip(moved.astype(int) + 6 * (i % 2), 0, 255).astype(np.uint8))
    facts = evaluated(long_clip, write_clip(tmp_path / "worse.mp4", worse, tone_s=0.5))
    assert value(facts, "jitter_ratio") > 1.5 and value(facts, "flicker_ratio") > 3
    assert facts["measures"]["jitter_ratio"]["passes"] is facts["measures"]["flicker_ratio"]["passes"] is False


def test_missing_frames_and_sound_are_told(evaluated, long_clip, tmp_path):
    frames, _ = decoded(long_clip, "rgb24")
    short = write_clip(tmp_path / "short.mp4", frames[:30])
    facts = evaluated(long_clip, short)
    assert facts["frames"] == 30
    assert facts["checks"]["frame_count"] == {"passes": False, "difference": "44 and 30"}
    assert facts["checks"]["streams"]["difference"] == "audio aac and none"


def test_the_table_says_what_is_to_be_reached(vidswap, grace, long_clip):
    code, out, err = vidswap("evaluate", grace, long_clip, long_clip)
    assert code == 0 and not err
    assert "at most 1.1" in out and "pass" in out and "MISS" not in out
    assert "bit-equal" in out and "no weights installed" in out
    assert len({m.name for m in MEASURES}) == len(MEASURES)


def test_bad_input_is_one_line_and_exit_code_2(vidswap, grace, clip, long_clip, tmp_path):
    small = write_clip(tmp_path / "small.mp4", [np.zeros((120, 160, 3), np.uint8)] * 5)
    (tmp_path / "text.mp4").write_text("no video")
    for arguments, told in (
        ((grace, long_clip, small), "160x120 pixels"),
        ((grace, long_clip, tmp_path / "text.mp4"), "text.mp4"),
        ((grace, tmp_path / "none.mp4", long_clip), "none.mp4"),
        ((tmp_path / "none.jpg", long_clip, long_clip), "none.jpg"),
    ):
        code, out, err = vidswap("evaluate", *arguments)
        assert code == 2 and told in err
        assert err.count("\n") == 1 and not out


def test_a_face_that_is_lost_everywhere_counts(evaluated, long_clip, tmp_path):
    blank = write_clip(tmp_path / "blank.mp4", [np.full((240, 320, 3), 128, np.uint8)] * 44)
    assert value(evaluated(long_clip, blank), "faces_found_share") == 0.0
