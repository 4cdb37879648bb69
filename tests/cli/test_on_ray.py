"""`--executor ray` without a cluster: Ray is started for the command, and gives the same pictures."""

import json

import numpy as np
import pytest
from cli_media import decoded

pytest.importorskip("ray")


def test_pictures_are_those_of_the_local_executor_bit_for_bit(vidswap, clip, grace, tmp_path):
    swap = ("swap", "-s", grace, "-t", clip, "--codec", "ffv1", "--segment-frames", "9", "--json")
    here, there = tmp_path / "here.mkv", tmp_path / "there.mkv"
    assert vidswap(*swap, "-o", here, "--workers", "0")[0] == 0
    code, said, _ = vidswap(*swap, "-o", there, "--workers", "2", "--executor", "ray")
    assert code == 0
    assert json.loads(said)["frames"] == 26, "nothing else is printed"
    (pictures, times), (expected, expected_times) = decoded(there), decoded(here)
    assert times == expected_times
    assert all(np.array_equal(p, e) for p, e in zip(pictures, expected, strict=True))


def test_a_cluster_that_is_not_there_is_one_line(vidswap, clip, grace, tmp_path):
    code, _, said = vidswap(
        *("swap", "-s", grace, "-t", clip, "-o", tmp_path / "o.mp4"),
        *("--executor", "ray", "--ray-address", "127.0.0.1:9"),
    )
    assert code == 2
    assert "no Ray cluster at 127.0.0.1:9: connection refused" in " ".join(said.split())
    assert not list(tmp_path.iterdir())
