"""The command on two nodes of a Ray cluster that share nothing but a store."""

import os

import pytest
from stores import LOSSLESS, fetched, frames_of

from vidswap.cli.app import run_command

ray_nodes = pytest.importorskip("ray_nodes")
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def nodes(s3_server, tmp_path_factory):
    """Nodes with a cache of their own, which find the store by their environment."""
    theirs = tmp_path_factory.mktemp("nodes")
    told = {**{n: v for n, v in os.environ.items() if n.startswith("AWS_")}, "VIDSWAP_CACHE": str(theirs)}
    made = ray_nodes.Nodes(2, cpus=1, env_vars=told)
    yield made, theirs
    made.close()


def test_a_swap_on_two_nodes_over_s3_gives_the_frames_of_a_local_one(vidswap, nodes, stored, clip, grace, tmp_path):
    cluster, theirs = nodes
    local = tmp_path / "local.mkv"
    assert run_command(["swap", "-s", str(grace), "-t", str(clip), "-o", str(local), *LOSSLESS, "-j", "0", "-q"]) == 0
    given = ("-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", f"{stored}/out.mkv")
    code, _, err = vidswap(
        "swap", *given, *LOSSLESS, "--job", f"{stored}/job", "--executor", "ray", "--ray-address", cluster.address
    )
    ray.shutdown()
    assert code == 0, err
    assert frames_of(fetched(f"{stored}/out.mkv", tmp_path)) == frames_of(local)
    names = [path.name for path in (stored / "job").iterdir()]
    assert sum(name.endswith(".part0.npz") for name in names) == 5 and "lock" not in names
    assert any((theirs / "fetched").glob("*/clip.mp4"))
