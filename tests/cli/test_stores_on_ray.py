"""The command on two nodes of a Ray cluster that share nothing but a store."""

import os

import pytest
from stores import FEW, fetched, frames_of

ray_nodes = pytest.importorskip("ray_nodes")
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def nodes(s3_server, tmp_path_factory):
    """Nodes with a cache of their own, which find the store by their environment."""
    theirs = tmp_path_factory.mktemp("nodes")
    told = {**{n: v for n, v in os.environ.items() if n.startswith("AWS_")}, "VIDSWAP_CACHE": str(theirs)}
    made = ray_nodes.Nodes(1, cpus=1, head_cpus=1, env_vars=told)
    yield made, theirs
    made.close()


def test_a_swap_on_two_nodes_over_s3_gives_the_frames_of_a_local_one(vidswap, nodes, stored, expected, tmp_path):
    cluster, theirs = nodes
    given = ("-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", f"{stored}/out.mkv")
    code, _, err = vidswap(
        "swap", *given, *FEW, "--job", f"{stored}/job", "--executor", "ray", "--ray-address", cluster.address
    )
    ray.shutdown()
    assert code == 0, err
    assert frames_of(fetched(f"{stored}/out.mkv", tmp_path)) == expected
    names = [path.name for path in (stored / "job").iterdir()]
    assert sum(name.endswith(".part0.npz") for name in names) == 3 and "lock" not in names
    assert any((theirs / "fetched").glob("*/clip.mp4"))
