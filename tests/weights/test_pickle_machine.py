"""The machine builds data and refuses the rest.

Property: for pickles of plain data, machine(dumps(x)) = x. For every way that a pickle has to call something, nothing
is called and one line says what was wanted. No claim of a length makes it take more memory than the stream has bytes.
"""

import os
import pickle
import struct
import tracemalloc

import pytest
import weights_files
from hypothesis import given
from hypothesis import strategies as st

from vidswap.weights.pickle_machine import PickleMachine, Refused
from vidswap.weights.plain_records import KNOWN, plain

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
DATA = st.recursive(
    SCALARS | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
        | st.sets(st.integers(0, 9), max_size=3)
    ),
    max_leaves=12,
)


def read(raw):
    return PickleMachine(memoryview(raw), KNOWN).run()


@given(DATA, st.sampled_from([2, 3, 4]))
def test_plain_data_comes_back_as_it_went_in(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_what_refers_to_itself_is_read():
    row = [1]
    row.append(row)
    made = read(pickle.dumps(row, 4))
    assert made[0] == 1 and made[1] is made


@pytest.mark.parametrize("way", sorted(weights_files.calls("")))
def test_nothing_is_called_in_any_way(way, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(os, "system", said.append)
    canary = tmp_path / "canary"
    raw = weights_files.calls(f"touch {canary}")[way]
    with pytest.raises(Refused) as refusal:
        read(raw)
    assert "\n" not in str(refusal.value)
    assert not said and not canary.exists()


@pytest.mark.parametrize("way", ["global-reduce", "newobj", "getattr", "subprocess"])
def test_the_refusal_names_what_was_wanted(way):
    wanted = {"getattr": "builtins.getattr", "subprocess": "subprocess.Popen"}.get(way, "os.system")
    with pytest.raises(Refused, match=wanted.replace(".", r"\.")):
        read(weights_files.calls("true")[way])


def test_what_a_file_says_cannot_reach_the_terminal():
    evil = weights_files.text("a\nb\x1b[2J" + "c" * 1000) + weights_files.text("d")
    with pytest.raises(Refused) as refusal:
        read(b"\x80\x04" + evil + b"\x93.")
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 300


BOMBS = {
    "long4": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\xff.",
    "negative long4": b"\x80\x02\x8b" + struct.pack("<i", -5) + b"\xff.",
    "long1 of 255": b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
    "binbytes": b"\x80\x03B" + struct.pack("<I", 2**32 - 1) + b"x.",
    "binbytes8": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "binunicode": b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x.",
    "binunicode8": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 + 5) + b"x.",
    "bytearray8": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "memo": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b"0j" + struct.pack("<I", 2**31) + b".",
    "deep keys": b"\x80\x02}N" + b"\x85" * 150_000 + b"Ns.",
    "forking keys": b"\x80\x02}N" + b"2\x86" * 200 + b"Ns.",
    "deep set": b"\x80\x04\x8f(N" + b"\x85" * 150_000 + b"\x90.",
    "integer text": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
    "global without end": b"\x80\x02c" + b"a" * 10_000,
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
def test_bombs_take_no_memory(bomb):
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            read(BOMBS[bomb])
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


LONG_LIST = b"\x80\x02](" + b"K\x01" * 20_000 + b"eq\x00"
COPIES = {
    "sets": LONG_LIST + b"cbuiltins\nset\n\x85q\x010" + b"cbuiltins\nset\nh\x00\x85R" * 20_000 + b".",
    "bytes": b"\x80\x02" + weights_files.text("x" * 100_000) + b"q\x00"
    + b"c_codecs\nencode\nh\x00\x85R" * 20_000 + b".",
    "counters": b"\x80\x02}(" + b"".join(b"M" + struct.pack("<HB", i, 0x4E) for i in range(20_000)) + b"uq\x00"
    + b"ccollections\nCounter\nh\x00\x85R" * 20_000 + b".",
    "states": b"\x80\x02}(" + b"".join(weights_files.text(str(i)) + b"N" for i in range(20_000)) + b"uq\x00"
    + b"cargparse\nNamespace\n)\x81h\x00b" * 20_000 + b".",
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(COPIES))
def test_what_is_remembered_is_not_copied_without_end(what):
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            read(COPIES[what])
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()


def forking(depth):
    """A tuple of which printing, comparing and hashing take 2^depth steps."""
    return b"N" + b"2\x86" * depth


@pytest.mark.parametrize(
    "record",
    [b"c_codecs\nencode\n", b"cnumpy\ndtype\n", b"ccollections\nCounter\n", b"ccollections\nOrderedDict\n",
     b"cbuiltins\nset\n", b"cpathlib\nPosixPath\n", b"cnumpy.core.multiarray\nscalar\n"],
)  # fmt: skip
def test_records_never_print_or_hash_what_they_are_given(record):
    with pytest.raises(Refused):
        read(b"\x80\x02" + record + forking(200) + b"\x85R.")
    if b"Ordered" in record or b"set" in record:
        with pytest.raises(Refused):
            read(b"\x80\x02" + record + b"](" + forking(200) + b"N\x86e\x85R.")


def test_too_many_steps_are_refused(monkeypatch):
    monkeypatch.setattr("vidswap.weights.pickle_machine.OPCODES_AT_MOST", 1000)
    with pytest.raises(Refused, match="1000 steps"):
        read(b"\x80\x02" + b"N0" * 1000 + b"N.")


def test_every_cut_of_a_pickle_is_refused_in_one_line():
    raw = pickle.dumps({"a": [1, 2.5, "x" * 300, b"y" * 300, (1, 2, 3), {4}], "b": 10**20}, 4)
    for length in range(len(raw)):
        with pytest.raises(Refused):
            read(raw[:length])


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw):
    try:
        read(b"\x80\x04" + raw)
    except Refused as refusal:
        assert str(refusal)


@given(st.data())
def test_damaged_pickles_are_read_or_refused(data):
    raw = bytearray(pickle.dumps({"w": [1, 2, {"x": (3, b"abc")}], "o": {1, 2}}, data.draw(st.sampled_from([2, 3, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(2, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(raw))
    except Refused as refusal:
        assert str(refusal)


def test_numpy_scalars_and_arrays_are_plain_numbers():
    import numpy as np

    value = {
        "gain": np.float64(1.5),
        "sizes": np.arange(6).reshape(2, 3),
        "flag": np.bool_(True),
        "f": np.asfortranarray([[1, 2], [3, 4]]),
    }
    for protocol in (2, 3, 4):
        assert plain(read(pickle.dumps(value, protocol))) == {
            "gain": 1.5,
            "sizes": [[0, 1, 2], [3, 4, 5]],
            "flag": True,
            "f": [[1, 2], [3, 4]],
        }


@pytest.mark.parametrize("code", ["O", "O8", "V8", "S4", "M8", "f4,O", "i3", "f64", "f16"])
def test_numpy_types_that_are_no_plain_numbers_are_refused(code):
    raw = b"\x80\x02cnumpy\ndtype\n" + weights_files.text(code) + b"\x85R."
    with pytest.raises(Refused):
        read(raw)


def test_options_nested_without_end_are_refused():
    forking = leaf = {}
    for _ in range(40):
        forking = {"a": forking, "b": forking}
    leaf["self"] = forking
    with pytest.raises(Refused, match="without end"):
        plain(forking)
