"""Two encoders' H.265 in one track: sets get numbers of their own, pictures follow, and nothing else changes."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.hevc_parameter_sets import (
    PICTURE,
    HevcSets,
    _closed,
    free_place,
    kind_of,
    merged,
    numbered_anew,
    numbers_at,
    packet_anew,
)
from vidswap.media.parameter_sets import Bits, split_start_codes

QUIET = "log-level=none:pools=1:frame-threads=1:keyint=8:open-gop=0:"


def encoded(file: Path | io.BytesIO, name: str = "nut", *, bits: str = "yuv420p", **options: str) -> bytes:
    """Twenty frames; returns the header."""
    noise = np.random.default_rng(5).integers(0, 200, (64, 64, 3), np.uint8)
    with av.open(file if isinstance(file, io.BytesIO) else str(file), "w", format=name) as container:
        parameters = QUIET + ":".join(f"{key}={value}" for key, value in options.items())
        stream = container.add_stream("libx265", rate=25, options={"x265-params": parameters, "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, bits
        for i in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 3 * i, 0), format="rgb24")))
        container.mux(stream.encode(None))
        return bytes(stream.codec_context.extradata)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Another encoder's stream: its file, and its header as an hvcC record."""
    path = tmp_path_factory.mktemp("hevc") / "film.mp4"
    encoded(path, "mp4", bframes="0")
    with av.open(str(path)) as container:
        return path, bytes(container.streams.video[0].codec_context.extradata)


@pytest.mark.parametrize("options", [{}, {"slices": "3", "bframes": "4"}, {"ref": "4", "weightp": "0"}])
def test_a_stream_numbered_anew_shows_the_same_pictures(tmp_path, options):
    own = HevcSets.parse(encoded(tmp_path / "own.nut", **options))
    assert own.numbers() == ({0}, {0}, {0})
    for place in (0, 7, 11):
        anew = numbered_anew(own, place)
        other, picture = numbers_at(place)
        assert anew.numbers() == ({other}, {other}, {picture})
        stream = b"".join(b"\0\0\0\1" + unit for kind in anew.units for unit in kind)
        with av.open(str(tmp_path / "own.nut")) as container:
            shown = [frame.to_ndarray() for frame in container.decode(video=0)]
        with av.open(str(tmp_path / "own.nut")) as container:
            stream += b"".join(packet_anew(bytes(p), place, None) for p in container.demux(video=0) if p.size)
        with av.open(io.BytesIO(stream), format="hevc") as container:
            again = [frame.to_ndarray() for frame in container.decode(video=0)]
        assert len(again) == len(shown) == 20
        assert all(np.array_equal(a, b) for a, b in zip(shown, again, strict=True))


def test_one_header_holds_the_sets_of_both(tmp_path, film):
    _, record = film
    theirs = HevcSets.parse(record)
    place = free_place(theirs.numbers())
    assert place == 0 and theirs.length_bytes == 4
    own = numbered_anew(HevcSets.parse(encoded(tmp_path / "own.nut", bits="yuv420p10le")), place)
    joint = merged(record, own)
    found = HevcSets.parse(joint)
    assert found.all() == theirs.all() | own.all() and found.length_bytes == 4
    # Main 10, and no compatibility with Main any more.
    assert (record[1] & 31, joint[1] & 31) == (1, 2)
    assert record[2] & 0x40 and not joint[2] & 0x40 and joint[2] & 0x20
    with pytest.raises(ValueError, match="bear one number"):
        merged(joint, own)
    assert free_place(found.numbers()) == 1


def test_packets_lose_their_own_sets_and_end_a_sequence_where_others_follow(tmp_path):
    encoded(tmp_path / "own.nut", **{"repeat-headers": "1"})
    with av.open(str(tmp_path / "own.nut")) as container:
        packet = next(bytes(p) for p in container.demux(video=0) if p.size)
    assert any(kind_of(unit) == PICTURE for unit in split_start_codes(packet))
    units = split_start_codes(packet_anew(packet, 3, None, ends=True))
    assert [kind_of(unit) for unit in units][-2:] == [next(kind_of(u) for u in units if kind_of(u) < 32), 36]
    assert not any(32 <= kind_of(unit) <= PICTURE for unit in units)
    lengths = packet_anew(packet, 3, 4, ends=True)
    assert int.from_bytes(lengths[:4], "big") == len(units[0]) and lengths.endswith(b"\0\0\0\2" + units[-1])


def test_what_cannot_be_numbered_is_refused(tmp_path, film):
    _, record = film
    with pytest.raises(ValueError, match="cut off"):
        HevcSets.parse(record[:40])
    with pytest.raises(ValueError, match="neither an hvcC record nor"):
        HevcSets.parse(b"\7" + record[1:])
    sets = HevcSets.parse(encoded(tmp_path / "own.nut"))
    anew = numbered_anew(sets, 0)
    with pytest.raises(ValueError, match="more than one parameter set"):
        numbered_anew(anew, 1)
    twice = HevcSets(None, (sets.units[0] * 2, *sets.units[1:]))
    with pytest.raises(ValueError, match="more than one parameter set"):
        numbered_anew(twice, 1)
    with pytest.raises(ValueError, match="does not refer to the first"):
        packet_anew(b"\0\0\0\1\x26\1\x80\x80", 0, None)
    assert not sets.layered
    second = bytes([sets.units[0][0][0], sets.units[0][0][1] | 8]) + sets.units[0][0][2:]
    assert HevcSets(None, ((second,), (), ())).layered


def test_there_may_be_no_room_for_a_second_encoder():
    everything = set(range(64))
    assert free_place(({0}, {0}, {0})) == 0
    assert free_place(({15}, {14}, {0})) == 2
    assert free_place((set(), set(), everything)) is None
    assert free_place((set(range(16)), set(), {0})) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(2, 9)), max_size=40))
def test_a_payload_holds_no_start_code_and_reads_as_it_was_written(parts):
    payload = _closed(parts)
    assert not any(payload[i : i + 2] == b"\0\0" and payload[i + 2] < 3 for i in range(len(payload) - 2))
    bits = Bits(payload, 0)
    assert [bits.take(width) for _, width in parts] == [number for number, _ in parts]
    assert bits.before_stop() == (0, 0)
