"""A real S3 server on the loopback for tests, and buckets of one's own in it."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from vidswap.storage import RemotePath, place

LOSSLESS = ("--codec", "ffv1", "--segment-frames", "6")
FEW = (*LOSSLESS, "--end", "13f")
_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The server's address, with the environment set so that every process of this test finds it."""
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    yield told["AWS_ENDPOINT_URL"]
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    server.stop()


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty node cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VIDSWAP_CACHE", str(folder))
    monkeypatch.delenv("VIDSWAP_CACHE_LIMIT", raising=False)
    return folder


@pytest.fixture
def bucket(s3_server: str, cache: Path) -> RemotePath:
    """An empty bucket."""
    import fsspec

    name = f"bucket-{os.getpid()}-{next(_NUMBERS)}"
    fsspec.filesystem("s3").mkdir(name)
    found = place(f"s3://{name}")
    assert isinstance(found, RemotePath)
    return found


@pytest.fixture
def memory(cache: Path) -> Iterator[RemotePath]:
    """An empty folder of fsspec's memory."""
    found = place(f"memory://tests-{next(_NUMBERS)}")
    assert isinstance(found, RemotePath)
    yield found
    found.remove_tree()


def frames_of(path):
    """pts and MD5 of each frame of a video."""
    with av.open(str(path)) as container:
        return [(f.pts, hashlib.md5(f.to_ndarray().tobytes()).hexdigest()) for f in container.decode(video=0)]


def fetched(address, tmp_path):
    """A copy of an object."""
    file = tmp_path / f"fetched{place(address).suffix}"
    file.write_bytes(place(address).read_bytes())
    return file
