"""What a user names: a path, or an address of a store, however it was handed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidswap.storage import RemotePath, is_remote
from vidswap.storage.addresses import place


@pytest.mark.parametrize("given", ["clips/a.mp4", "/tmp/a:b.mp4", "C:/clips/a.mp4", "a", "./s3:/x", "~/a.mp4"])
def test_paths_are_paths(given):
    found = place(given)
    assert found == Path(given) and not is_remote(found)


@pytest.mark.parametrize("given", ["s3://bucket/a.mp4", "gs://b/c/d.mp4", "memory://x/a.mp4", "https://host/a.mp4?v=1"])
def test_addresses_are_places_in_a_store(given):
    found = place(given)
    assert isinstance(found, RemotePath) and str(found) == given and is_remote(found)
    assert place(found) is found


def test_an_address_that_went_through_a_path_is_known_again():
    assert str(place(Path("s3://bucket/clips/a.mp4"))) == "s3://bucket/clips/a.mp4"
    assert place(Path("file:///tmp/a%20b.mp4")) == Path("/tmp/a b.mp4")
    # A folder that has a colon in its name and is no protocol.
    assert place(Path("notes:/a.mp4")) == Path("notes:/a.mp4")


def test_protocols_are_written_small():
    assert str(place("S3://Bucket/A.mp4")) == "s3://Bucket/A.mp4"


@pytest.mark.parametrize("given", ["file:///tmp/a%20b.mp4", "file://localhost/tmp/a%20b.mp4", "FILE:///tmp/a b.mp4"])
def test_file_addresses_are_plain_paths(given):
    assert place(given) == Path("/tmp/a b.mp4") and not is_remote(place(given))
