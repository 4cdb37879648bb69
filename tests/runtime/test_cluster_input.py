"""What is wrong with a cluster, or with what is asked of it, is one clear line before any work."""

import os
import socket
import sys

import pytest
from toy import toy_pipeline
from toy_net import net_pipeline

from vidswap.graph import InputError, Pipeline
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings


@pytest.fixture
def go(tmp_path):
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "source.toy").write_text("1")

    def start(**given):
        pipeline = Pipeline.from_mapping(toy_pipeline())
        settings = RunSettings(**{"executor": "ray", **given})
        sources = {"source": tmp_path / "source.toy"}
        return run(pipeline, tmp_path / "clip.toy", tmp_path / "out.toy", sources, settings)

    return start


def test_without_ray_the_extra_is_named(go, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"not installed: pip install 'vidswap\[ray\]'"):
        go()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.toy", "source.toy"]


def test_a_profile_may_give_the_executor_as_a_mapping():
    settings = RunSettings(executor={"kind": "ray", "address": "10.0.0.1:6379", "worker_cpus": 2})
    assert (settings.executor, settings.ray_address, settings.ray_worker_cpus) == ("ray", "10.0.0.1:6379", 2)
    with pytest.raises(ValueError, match="ray_adress"):
        RunSettings(executor={"kind": "ray", "adress": "auto"})


ray = pytest.importorskip("ray")


def test_a_cluster_that_cannot_be_reached(go, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=rf"no Ray cluster at {address}: connection refused"):
        go(ray_address=address)
    assert not (tmp_path / "out.toy.vidswap").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [("ray://head:10001", "not through Ray Client"), ("head", "neither auto nor HOST:PORT")],
)
def test_addresses_that_are_none(go, address, told):
    with pytest.raises(InputError, match=told):
        go(ray_address=address)


@pytest.fixture
def three_nodes(monkeypatch):
    """What Ray would tell of a cluster of three: (CPUs, bytes) of each."""
    pytest.importorskip("ray")
    told = [
        {"Resources": {"CPU": cpus, "memory": memory}, "Alive": True}
        for cpus, memory in ((8.0, 2**30), (2.0, 2**34), (0.0, 2**34))
    ]
    monkeypatch.setattr("ray.nodes", lambda: [*told, {"Resources": {"CPU": 64.0}, "Alive": False}])


def test_more_than_the_cluster_has_is_refused_with_what_it_has(three_nodes):
    from vidswap.runtime import cluster_checks as checks
    from vidswap.runtime.cluster_owners import shares

    assert checks.check_resources(RunSettings()) == []
    (warning,) = checks.check_resources(RunSettings(workers=50))
    told = "50 workers are asked for; the cluster has 3 nodes with 8, 2, 0 CPUs and 0 GPUs in all, where 10"
    assert told in warning
    with pytest.raises(InputError, match="a worker of 9 CPUs fits on no node: the cluster has 3 nodes with 8, 2, 0 CP"):
        checks.check_resources(RunSettings(ray_worker_cpus=9))
    with pytest.raises(InputError, match="device 'cuda' was asked for, but the cluster has 3 nodes"):
        shares(Pipeline.from_mapping(net_pipeline()), RunSettings(device="cuda"), checks.gpus(), checks.held())


def test_no_node_gets_more_workers_than_its_memory_holds(three_nodes):
    from vidswap.runtime import cluster_checks as checks

    asked = ((1, 0), (1, 2**28), (2, 2**29), (1, 2**32))
    assert [checks.places(cpus, memory) for cpus, memory in asked] == [10, 6, 3, 2]
    assert checks.worker_memory(700.0, 1920, 1080) == 700 << 20
    assert checks.worker_memory(None, 1280, 720) == (600 << 20) + 92_160_000
    assert checks.worker_memory(None, 100_000, 100_000) == 2**34, "one must fit somewhere"
    with pytest.raises(InputError, match="20000 MiB fits on no node: the largest has 16384 MiB for workers"):
        checks.check_resources(RunSettings(ray_worker_memory_mb=20_000))


@pytest.fixture
def listens():
    """The address of somebody who listens, and is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_ray_of_another_version_is_one_line(listens, go, monkeypatch):
    told = "Version mismatch: The cluster was started with:\n    Ray: 9.9.9\n    Python: 3.10.1"
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(RuntimeError(told)))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(InputError, match=r"^cannot use the Ray cluster at .*: Version mismatch: .* Ray: 9.9.9 Python"):
        go(ray_address=listens)


def test_a_cluster_that_wants_another_token_says_so_in_one_line(listens, go, monkeypatch, capfd):
    def refused(**_):
        os.write(2, b"gcs_client.cc:210: RPC error: InvalidAuthToken: Authentication token is missing or incorrect\n")
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(InputError, match=r"^cannot use the Ray cluster at .*: it asks for a token; set RAY_AUTH_MODE"):
        go(ray_address=listens)
    assert capfd.readouterr().err == ""


def test_whatever_ray_raises_as_it_starts_is_one_line(go, monkeypatch):
    class Late(Exception):
        pass

    def late(**_):
        raise Late("The current node timed out during startup.\nMore of that.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(
        InputError, match=r"^cannot use Ray on this machine: The current node timed out during startup."
    ):
        go()


def test_what_is_started_here_obeys_nobody_else(monkeypatch):
    from vidswap.runtime.cluster import lock

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        del os.environ[name]
    lock()
    assert os.environ["RAY_AUTH_MODE"] == "token" and len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    lock()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_gpus_are_shared_out_among_the_stages_that_are_served():
    from vidswap.runtime.cluster_owners import Share, shares

    pipeline = net_pipeline()
    pipeline["stages"].insert(-2, {"use": "toy_net:Net", "name": "second"})
    two = Pipeline.from_mapping(pipeline)

    def of(gpus, **given):
        return shares(two, RunSettings(**given), gpus, "what it has")

    assert of(4) == {"net": Share(4, 0.5), "second": Share(4, 0.5)}
    assert of(4, owners=2) == {"net": Share(2, 0.5), "second": Share(2, 0.5)}
    assert of(0) == of(4, owners=0) == of(4, device="cpu") == {}
    assert of(0, owners=3) == {"net": Share(3, 0.0), "second": Share(3, 0.0)}
    with pytest.raises(
        InputError, match=r"9 x \(net 0.5, second 0.5\) GPUs are asked for, but the cluster has what it"
    ):
        of(4, owners=9)
