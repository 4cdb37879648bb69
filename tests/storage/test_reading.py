"""Objects are read by ranges or from the node's cache, and always whole and unchanged."""

import concurrent.futures
import contextlib
import functools
import http.server
import io
import os
import random
import shutil
import threading

import pytest

from vidswap.graph import InputError
from vidswap.storage import StorageError, fetching, local_file, place, readable
from vidswap.storage.ranges import BLOCK_BYTES, Blocks, RangedFile, all_read

SIZE = 3 * BLOCK_BYTES + 1234
CONTENT = random.Random(1).randbytes(SIZE)


@pytest.fixture
def thing(bucket):
    path = bucket / "thing.bin"
    path.write_bytes(CONTENT)
    return path


def ranged(path, blocks=None):
    facts = path.facts()
    return RangedFile(path, facts.size, path.fingerprint(), blocks or Blocks())


def test_ranges_give_what_a_file_gives(thing):
    chance = random.Random(2)
    file, oracle = ranged(thing), io.BytesIO(CONTENT)
    for _ in range(60):
        if chance.random() < 0.5:
            at = chance.randrange(SIZE + 1000)
            assert file.seek(at) == oracle.seek(at) == file.tell()
        count = chance.choice([0, 1, 100, BLOCK_BYTES, 2 * BLOCK_BYTES + 7])
        assert file.read(count) == oracle.read(count)
    assert file.seek(-5, io.SEEK_END) == SIZE - 5 and file.read() == CONTENT[-5:] and file.read(3) == b""
    file.seek(0)
    assert io.BufferedReader(file).read() == CONTENT


def test_only_the_blocks_that_are_wanted_are_read_and_none_twice(thing):
    blocks = Blocks()
    file = ranged(thing, blocks)
    file.seek(2 * BLOCK_BYTES + 10)
    file.read(100)
    assert blocks.read_bytes[file.key] == BLOCK_BYTES and blocks.requests == 1
    again = ranged(thing, blocks)
    again.seek(2 * BLOCK_BYTES)
    again.read(BLOCK_BYTES)
    assert blocks.requests == 1
    again.seek(0)
    assert again.read() == CONTENT
    assert blocks.read_bytes[file.key] == SIZE


def test_reading_on_asks_for_more_each_time(bucket):
    path = bucket / "long.bin"
    path.write_bytes(bytes(40 * BLOCK_BYTES))
    blocks = Blocks()
    file = ranged(path, blocks)
    while file.read(10_000):
        pass
    assert blocks.requests <= 7 and blocks.read_bytes[file.key] == 40 * BLOCK_BYTES


def test_blocks_hold_no_more_than_they_may():
    blocks = Blocks(most_bytes=100)
    for number in range(10):
        blocks.put("a", number, bytes(30))
    assert [n for n in range(10) if blocks.get("a", n) is not None] == [7, 8, 9]


def test_an_object_that_is_replaced_while_it_is_read_is_never_mixed(thing):
    file = ranged(thing)
    assert file.read(10) == CONTENT[:10]
    thing.write_bytes(bytes(SIZE))
    file.seek(BLOCK_BYTES)
    with pytest.raises(StorageError, match="was replaced while it was read"):
        file.read(10)


def test_a_failure_that_a_demuxer_hides_is_told_later(thing, monkeypatch):
    monkeypatch.setattr("vidswap.storage.ranges._WAITS_S", ())
    from vidswap.storage.ranges import BLOCKS

    file = ranged(thing, BLOCKS)
    thing.unlink()
    told = pytest.raises(StorageError, match="was deleted while it was read")
    with told, all_read(), contextlib.suppress(StorageError):
        file.read(10)
    with told, all_read():
        _reads_and_calls_it_damage(file)
    with all_read():
        pass


def _reads_and_calls_it_damage(file):
    with contextlib.suppress(StorageError):
        file.read(10)
    raise ValueError("damaged")


def test_small_objects_are_fetched_and_large_ones_read_by_ranges_until_that_costs_a_copy(bucket, monkeypatch):
    monkeypatch.setattr(fetching, "SMALL_BYTES", 1000)
    small, large = bucket / "small.jpg", bucket / "large.mp4"
    small.write_bytes(b"x" * 1000)
    large.write_bytes(CONTENT)
    assert readable(small).suffix == ".jpg"
    first = readable(large)
    assert isinstance(first, RangedFile)
    assert first.read() == CONTENT
    copy = readable(large)
    assert not isinstance(copy, RangedFile) and copy.read_bytes() == CONTENT


def test_a_copy_is_fetched_once_and_again_when_it_is_damaged(thing, caplog):
    copy = local_file(thing)
    inode = copy.stat().st_ino
    assert copy.read_bytes() == CONTENT and local_file(thing) == copy and copy.stat().st_ino == inode
    copy.write_bytes(CONTENT[:-1])
    assert local_file(thing).read_bytes() == CONTENT and "is damaged; it is fetched again" in caplog.text
    with copy.open("r+b") as file:
        file.write(b"other")
    assert local_file(thing).read_bytes() == CONTENT
    copy.unlink()
    assert local_file(thing).read_bytes() == CONTENT


def test_who_waits_for_a_fetch_is_told_how_far_it_is(thing):
    told = []
    with fetching.telling_of_fetching(lambda *step: told.append(step)):
        local_file(thing)
        local_file(thing)
    assert told[-1] == ("thing.bin", SIZE, SIZE) and all(0 <= have <= SIZE for _, have, _ in told)


def test_an_object_that_is_replaced_is_another_copy(thing):
    assert local_file(thing).read_bytes() == CONTENT
    thing.write_bytes(b"new")
    assert local_file(thing).read_bytes() == b"new"


def test_a_fetch_that_is_cut_off_leaves_nothing(thing, cache, monkeypatch):
    def cut(_, temporary):
        temporary.write_bytes(b"half")
        raise StorageError("gone")

    with monkeypatch.context() as changed, pytest.raises(StorageError):
        changed.setattr(fetching._Entry, "_download", cut)
        local_file(thing)
    assert [p.name for p in (cache / "fetched").iterdir() if not p.name.startswith("lock-")] == []
    assert local_file(thing).read_bytes() == CONTENT


def test_the_copies_not_used_for_longest_go_first(bucket, cache, monkeypatch):
    monkeypatch.setenv("VIDSWAP_CACHE_LIMIT", "2500")
    for name in "abc":
        (bucket / name).write_bytes(name.encode() * 1000)
    a, b = local_file(bucket / "a"), local_file(bucket / "b")
    os.utime(a, ns=(2, a.stat().st_mtime_ns))
    os.utime(b, ns=(1, b.stat().st_mtime_ns))
    c = local_file(bucket / "c")
    assert a.exists() and c.exists() and not b.exists()
    monkeypatch.setenv("VIDSWAP_CACHE_LIMIT", "lots")
    with pytest.raises(InputError, match="VIDSWAP_CACHE_LIMIT='lots' is no size"):
        local_file(bucket / "b")


def test_a_full_disk_is_told(thing, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 0))
    with pytest.raises(StorageError, match=r"is full .* name another folder in VIDSWAP_CACHE"):
        local_file(thing)


def test_several_at_once_fetch_once(thing):
    # Each opens the lock's file anew, so that threads keep each other out as processes do.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(local_file, [thing] * 4))
    assert len({p.stat().st_ino for p in found}) == 1 and found[0].read_bytes() == CONTENT


def test_files_of_a_web_server_are_read_by_ranges_and_never_written(bucket, s3_server, monkeypatch):
    import fsspec

    monkeypatch.setattr(fetching, "SMALL_BYTES", 1000)
    (bucket / "page.bin").write_bytes(CONTENT)
    page = place(f"{s3_server}/{bucket.name}/page.bin")
    with pytest.raises(StorageError, match="access denied"):
        page.is_file()
    fsspec.filesystem("s3").chmod(str(bucket / "page.bin"), "public-read")
    assert page.is_file() and page.stat().st_size == SIZE
    file = readable(page)
    assert isinstance(file, RangedFile) and file.seek(BLOCK_BYTES) and file.read(10) == CONTENT[BLOCK_BYTES:][:10]
    assert local_file(page).read_bytes() == CONTENT


def test_a_web_server_without_ranges_is_fetched_from(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(fetching, "SMALL_BYTES", 1000)
    (tmp_path / "clip.mp4").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        found = readable(place(f"{address}/clip.mp4"))
        assert not isinstance(found, RangedFile) and found.read_bytes() == CONTENT
        assert not place(f"{address}/other.mp4").exists()
        server.shutdown()
