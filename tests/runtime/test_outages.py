"""A store that fails for a while, or for good, while a run works."""

import itertools

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from toy import toy_pipeline

from vidswap.graph import Pipeline, VidswapError
from vidswap.runtime.lease import Lease
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings
from vidswap.storage import StorageError


@pytest.fixture
def go(memory, tmp_path):
    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "source.toy").write_text("1")

    def start(output=memory / "out.toy", **given):
        settings = RunSettings(workers=0, segment_frames=10, **given)
        sources = {"source": tmp_path / "source.toy"}
        return run(Pipeline.from_mapping(toy_pipeline()), tmp_path / "clip.toy", output, sources, settings)

    return start


@pytest.fixture
def failing(monkeypatch):
    """Makes uploads fail of which `chosen(address, number)` says so; numbers count from 0."""

    def fail(chosen):
        numbers = itertools.count()

        def sometimes(self, file, address, **options):
            if chosen(address, next(numbers)):
                raise ConnectionError("no route")
            return AbstractFileSystem.put_file(self, file, address, **options)

        monkeypatch.setattr(MemoryFileSystem, "put_file", sometimes)
        monkeypatch.setattr("vidswap.storage.remote._WAITS_S", (0.0, 0.0))

    return fail


def test_a_store_that_fails_for_a_moment_is_asked_again(go, failing, memory, tmp_path):
    go(output=tmp_path / "local.toy")
    failing(lambda _, number: number in (3, 6, 7, 11))
    assert go().retries == []
    assert (memory / "out.toy").read_text() == (tmp_path / "local.toy").read_text()
    assert [p.name for p in memory.iterdir()] == ["out.toy"]


def test_a_store_that_fails_for_a_while_costs_a_try_and_no_frames(go, failing, memory, tmp_path):
    go(output=tmp_path / "local.toy")
    left = [True, True, True]
    failing(lambda address, _: address.endswith("000002.part0.npz") and bool(left) and left.pop())
    (retry,) = go().retries
    assert retry["task"] == "0/2" and "the store cannot be reached (no route)" in retry["reason"]
    assert (memory / "out.toy").read_text() == (tmp_path / "local.toy").read_text()


def test_a_store_that_fails_for_good_ends_the_run_which_goes_on_later(go, failing, memory, tmp_path):
    go(output=tmp_path / "local.toy")
    failing(lambda _, number: number >= 8)
    with pytest.raises(StorageError, match=r"cannot be reached \(no route\)"):
        go()
    assert not (memory / "out.toy").exists() and (memory / "out.toy.vidswap" / "job.json").exists()
    failing(lambda *_: False)
    assert go().frames == 60
    assert (memory / "out.toy").read_text() == (tmp_path / "local.toy").read_text()
    assert not (memory / "out.toy.vidswap").exists()


def test_a_run_whose_lease_was_taken_over_notes_nothing_more(go, memory, monkeypatch):
    take = Lease._take

    def taken_over(lease):
        take(lease)
        lease.lost = True

    monkeypatch.setattr(Lease, "_take", taken_over)
    with pytest.raises(VidswapError, match=r"another run has taken over memory://"):
        go()
    assert not (memory / "out.toy").exists()
    assert [name for name in (memory / "out.toy.vidswap").listing() if name.startswith("journal.jsonl.")] == []
