"""Videos that lie on a store: by ranges or by copy, everything is what it is of the file."""

import dataclasses

import numpy as np
import pytest
from cli_media import packets, write_clip

from vidswap.media import SegmentWriter, WriterOptions, join, probe
from vidswap.media.reader import Reader
from vidswap.storage import StorageError
from vidswap.storage.ranges import BLOCK_BYTES, BLOCKS, RangedFile, all_read


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts"])
def film(request, tmp_path_factory):
    """36 frames of noise, with a tone: some blocks long, so that ranges mean something."""
    chance = np.random.default_rng(1)
    frames = [chance.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(36)]
    return write_clip(tmp_path_factory.mktemp("film") / f"film.{request.param}", frames, tone_s=2.4)


@pytest.fixture(params=["ranges", "copy"])
def stored(request, film, memory, monkeypatch):
    if request.param == "ranges":
        monkeypatch.setenv("VIDSWAP_CACHE_LIMIT", "0")
        monkeypatch.setattr("vidswap.storage.fetching.SMALL_BYTES", 0)
    assert film.stat().st_size > 4 * BLOCK_BYTES
    path = memory / film.name
    path.upload(film)
    return path


def _plain(index):
    facts = {
        f.name: getattr(index, f.name) for f in dataclasses.fields(index) if f.name not in ("path", "content_hash")
    }
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in facts.items()}


def _pixels(index, start, stop):
    with Reader(index) as reader:
        return [(p.pts, p.rgb(p.width, p.height).tobytes()) for p in reader.read(start, stop)]


def test_index_frames_and_other_streams_are_those_of_the_file(film, stored, tmp_path):
    local, remote = probe(film), probe(stored)
    assert _plain(remote) == _plain(local)
    assert remote.content_hash.startswith("object:") and remote.path == stored
    for span in ((25, 36), (5, 12)):
        assert _pixels(remote, *span) == _pixels(local, *span)
    outputs = []
    for index, name in ((local, "local.mkv"), (remote, "remote.mkv")):
        segment = tmp_path / f"{name}.segment.mkv"
        writer = SegmentWriter(segment, index, WriterOptions(codec="libx264", preset="ultrafast"))
        with Reader(index) as reader:
            for picture in reader.read(0, index.frame_count):
                writer.add(picture)
        writer.close()
        outputs.append(tmp_path / name)
        join(index, [segment], outputs[-1])
    assert packets(outputs[0], "audio") == packets(outputs[1], "audio")
    assert packets(outputs[0], "video") == packets(outputs[1], "video")


def test_a_read_that_fails_is_never_taken_for_damage(film, memory, monkeypatch):
    monkeypatch.setenv("VIDSWAP_CACHE_LIMIT", "0")
    monkeypatch.setattr("vidswap.storage.fetching.SMALL_BYTES", 0)
    path = memory / film.name
    path.upload(film)
    index = probe(path)
    expected = _pixels(index, 15, 36)
    monkeypatch.setattr("vidswap.storage.ranges._WAITS_S", ())
    fetch, left = RangedFile._fetch, [3]

    def failing(file, start, stop):
        left[0] -= 1
        if left[0] == 0:
            BLOCKS.failures.append(StorageError("no answer"))
            raise BLOCKS.failures[-1]
        return fetch(file, start, stop)

    BLOCKS._blocks.clear()
    monkeypatch.setattr(RangedFile, "_fetch", failing)
    with pytest.raises(StorageError, match="no answer"), all_read():
        _pixels(index, 15, 36)
    assert left[0] <= 0
    assert _pixels(index, 15, 36) == expected
