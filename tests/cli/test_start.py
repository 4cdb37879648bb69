"""The command says what it can without loading what does the work."""

import subprocess
import sys

HEAVY = ("numpy", "torch", "av", "cv2", "ray", "pydantic", "omegaconf", "mediapipe", "numba")


def test_the_commands_are_listed_without_loading_what_does_the_work():
    code = f"import sys, vidswap.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
