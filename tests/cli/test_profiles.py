"""The run profiles and cluster files that ship: each is one that the software takes."""

import shlex
from pathlib import Path

import pytest
import yaml

from vidswap.cli.jobs import checked_command
from vidswap.cli.profiles import run_settings
from vidswap.graph import InputError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "cluster"


def test_the_profiles_that_ship_are_settings():
    local, options = run_settings("laptop", {})[1], run_settings("laptop", {})[0]
    assert (local["executor"], local["workers"], options) == ("local", None, [])
    gpu = run_settings("gpu-node", {"workers": 3})[1]
    assert (gpu["executor"], gpu["device"], gpu["workers"], gpu["stall_timeout_s"]) == ("local", "cuda", 3, 1200)
    ray = run_settings("cluster", {})[1]
    assert (ray["executor"], ray["ray_address"], ray["tries"], ray["drain_s"]) == ("ray", "auto", 5, 60)
    with pytest.raises(InputError, match="unknown profile 'weights'"):
        run_settings("weights", {})


def test_the_kubernetes_job_runs_a_command_that_there_is():
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, *command = shlex.split(job["spec"]["entrypoint"])
    assert program == "vidswap"
    assert checked_command(command, "/")[1] == "s3://films/film.swapped.mp4.vidswap"
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    images = {
        container["image"]
        for group in (cluster["headGroupSpec"], workers)
        for container in group["template"]["spec"]["containers"]
    }
    assert len(images) == 1 and workers["minReplicas"] == 1
    base = (EXAMPLES / "Dockerfile").read_text().split("FROM rayproject/ray:")[1].split("-")[0]
    assert base == cluster["rayVersion"]


def test_the_cluster_file_is_one_of_rays():
    util = pytest.importorskip("ray.autoscaler._private.util")
    config = yaml.safe_load((EXAMPLES / "ray-cluster.yaml").read_text())
    util.validate_config(util.fillout_defaults(config))
