"""Trials of encoders in hardware: what opens, what does not, and what never answers."""

import sys

from vidswap.media import hardware_encoders


def tried(limit_s=30.0, **code):
    commands = {name: [sys.executable, "-c", text] for name, text in code.items()}
    return {t.name: t for t in hardware_encoders._tried("binary", commands, limit_s)}


def test_trials_tell_what_opens_and_why_the_others_do_not():
    words = "[h264_qsv @ 0x1] no device\\n[vf#0:0 @ 0x2] Task finished with error code: -1\\n"
    found = tried(
        h264_nvenc="pass",
        h264_qsv=f"import sys; sys.stderr.write('{words}'); sys.exit(1)",
        av1_amf="raise SystemExit(5)",
    )
    assert found["h264_nvenc"] == hardware_encoders.Trial("h264_nvenc", "binary", True)
    assert (found["h264_qsv"].opens, found["h264_qsv"].reason) == (False, "no device")
    assert found["av1_amf"].reason == "ended with code 5"
    assert found["av1_amf"].family == "amf"


def test_a_driver_that_hangs_is_given_up():
    assert tried(0.5, h264_vaapi="import time; time.sleep(60)")["h264_vaapi"].reason == "does not answer within 0.5 s"


def test_software_encoders_pass_the_trial_of_pyav():
    command = [sys.executable, "-c", hardware_encoders._TRY_IN_PYAV, "libx264"]
    assert hardware_encoders._run(command, 60) == ""


def test_a_program_that_is_not_there_is_told():
    assert "cannot be tried" in hardware_encoders._run(["/nowhere/ffmpeg"], 1)
