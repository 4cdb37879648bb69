"""`--executor ray` without a cluster: Ray is started for the command, and gives the same pictures."""

import json

import pytest
import yaml
from toy import toy_pipeline

pytest.importorskip("ray")


def test_pictures_are_those_of_the_local_executor_bit_for_bit(vidswap, tmp_path):
    """Of toys, as numbers; tests/cli/test_stores_on_ray.py swaps real faces."""
    for name, text in (("clip.toy", "60"), ("one.toy", "1"), ("toy.yaml", yaml.safe_dump(toy_pipeline()))):
        (tmp_path / name).write_text(text)
    given = ("run", tmp_path / "toy.yaml", "-t", tmp_path / "clip.toy", "-s", tmp_path / "one.toy")
    given += ("--segment-frames", "10", "--json")
    here, there = tmp_path / "here.toy", tmp_path / "there.toy"
    assert vidswap(*given, "-o", here, "--workers", "0")[0] == 0
    code, said, told = vidswap(*given, "-o", there, "--workers", "2", "--executor", "ray")
    assert code == 0, told
    assert json.loads(said)["frames"] == 60, "nothing else is printed"
    assert there.read_text() == here.read_text()


def test_a_cluster_that_is_not_there_is_one_line(vidswap, clip, grace, tmp_path):
    code, _, said = vidswap(
        *("swap", "-s", grace, "-t", clip, "-o", tmp_path / "o.mp4"),
        *("--executor", "ray", "--ray-address", "127.0.0.1:9"),
    )
    assert code == 2
    assert "no Ray cluster at 127.0.0.1:9: connection refused" in " ".join(said.split())
    assert not list(tmp_path.iterdir())
