"""Every opcode that can call, with every name worth calling, in every place of a file where a pickle may stand.

Nothing is called: a canary that each of them would leave is not there, and what refused is one line.
"""

import builtins
import io
import os
import pickle
import pickletools
import struct
import tarfile
import zipfile

import pytest
import torch
from weights_files import text

from vidswap.graph import InputError
from vidswap.weights import open_checkpoint, reading, store, torch_streams
from vidswap.weights.pickle_machine import PickleMachine, Refused
from vidswap.weights.plain_records import KNOWN

NAMES = (
    *("os system", "posix system", "nt system", "os popen", "os execv", "os.path join", "subprocess Popen"),
    *("subprocess call", "subprocess check_output", "pty spawn", "commands getoutput", "platform popen"),
    *("builtins eval", "builtins exec", "builtins compile", "builtins __import__", "builtins open", "builtins getattr"),
    *("builtins setattr", "builtins breakpoint", "builtins input", "builtins map", "builtins type", "builtins object"),
    *("__builtin__ eval", "__builtin__ apply", "__builtin__ execfile", "builtins globals", "builtins vars"),
    *("importlib import_module", "runpy run_path", "runpy _run_code", "code interact", "timeit timeit", "cProfile run"),
    *("operator attrgetter", "operator methodcaller", "functools partial", "functools reduce", "types FunctionType"),
    *(
        "types CodeType",
        "marshal loads",
        "pickle loads",
        "_pickle loads",
        "shelve open",
        "dill loads",
        "cloudpickle loads",
    ),
    *("numpy load", "numpy.testing._private.utils runstring", "torch load", "torch hub", "torch.jit load"),
    *("torch.serialization load", "torch._utils _import_dotted_name", "torch.utils.cpp_extension load_inline"),
    *("ctypes CDLL", "socket create_connection", "webbrowser open", "shutil rmtree", "pathlib Path.unlink", "sys exit"),
    *("multiprocessing Process", "asyncio run", "logging.config fileConfig", "tempfile mkstemp", "atexit register"),
    *(
        "pip main",
        "setuptools setup",
        "copyreg _reconstructor",
        "copyreg __newobj__",
        "gc get_objects",
        "signal raise_signal",
    ),
    *("torch_utils.persistence persistent_class", "dnnlib.util open_url", "dnnlib.util call_func_by_name"),
)


def with_global(module, name, argument):
    """A global by its name on top of the stack, in the two ways that there are."""
    return {
        "GLOBAL": f"c{module}\n{name}\n".encode(),
        "STACK_GLOBAL": text(module) + text(name) + b"\x93",
        "memoised": text(module) + b"\x940" + text(name) + b"\x940" + b"h\x00h\x01\x93",
    }


def called(found, argument):
    """A global on top of the stack, and each opcode that could call it."""
    return {
        "REDUCE": found + text(argument) + b"\x85R",
        "NEWOBJ": found + text(argument) + b"\x85\x81",
        "NEWOBJ_EX": found + text(argument) + b"\x85}\x92",
        "OBJ": b"(" + found + text(argument) + b"o",
        "BUILD": found + b"}" + text("x") + text(argument) + b"sb",
        "BUILD of two": found + b"N}" + text("x") + text(argument) + b"s\x86b",
        "APPENDS": found + b"(" + text(argument) + b"e",
        "APPEND": found + text(argument) + b"a",
        "SETITEM": found + text("k") + text(argument) + b"s",
        "SETITEMS": found + b"(" + text("k") + text(argument) + b"u",
        "ADDITEMS": found + b"(" + text(argument) + b"\x90",
        "BINPERSID": found + b"Q",
        "as the class of a record": b"ccollections\nOrderedDict\n" + found + b"\x85R",
    }


def forms(module, name, argument):
    for how, found in with_global(module, name, argument).items():
        for opcode, raw in called(found, argument).items():
            yield f"{how} {opcode}", b"\x80\x04" + raw + b"."
    yield "INST", b"\x80\x02(" + text(argument) + f"i{module}\n{name}\n".encode() + b"."


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """A command that leaves a canary, and the doors by which it could be run, watched."""
    seen = []
    for place, name in ((os, "system"), (builtins, "eval"), (builtins, "exec"), (builtins, "__import__")):
        whole = getattr(place, name)
        if name != "__import__":
            monkeypatch.setattr(place, name, lambda *a, n=name, w=whole, **k: (seen.append((n, a)), w(*a, **k))[1])
    canary = tmp_path / "canary"
    yield f"__import__('pathlib').Path({str(canary)!r}).touch()"
    assert not canary.exists()
    assert not [call for call in seen if "canary" in str(call)]


@pytest.mark.parametrize("dotted", NAMES)
def test_no_name_is_called_by_any_opcode(dotted, guarded):
    module, name = dotted.split()
    for form, raw in forms(module, name, guarded):
        with pytest.raises(Refused) as refusal:
            PickleMachine(memoryview(raw), KNOWN).run()
        assert "\n" not in str(refusal.value) and str(refusal.value), form


def test_every_opcode_that_can_call_is_among_those_tried():
    calling = {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "BUILD", "GLOBAL", "STACK_GLOBAL"}
    outside = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
    data = {opcode.name for opcode in pickletools.opcodes} - calling - outside
    # What is left builds plain values, moves the stack and the memo; a new opcode of Python would have to be looked at.
    assert data == {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "NONE", "NEWTRUE", "NEWFALSE", "UNICODE"),
        *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT", "EMPTY_LIST", "APPEND", "APPENDS"),
        *("LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_SET", "ADDITEMS", "FROZENSET", "POP", "DUP", "MARK", "POP_MARK", "GET", "BINGET", "LONG_BINGET"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PROTO", "STOP", "FRAME"),
    }
    tried = {form.split()[-1] for form, _ in forms("os", "system", "x")} | {"GLOBAL", "STACK_GLOBAL"}
    assert calling <= tried | {"BUILD"}


@pytest.mark.parametrize(
    "opcode", [b"P0\n", b"Q", b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"\x97", b"\x98"]
)
def test_what_lies_outside_of_a_pickle_is_not_asked_for(opcode):
    import copyreg

    for code in (1, 256):
        copyreg.add_extension("os", "system", code)
        try:
            with pytest.raises(Refused):
                PickleMachine(memoryview(b"\x80\x04" + text("x") + opcode + text("id") + b"\x85R."), KNOWN).run()
        finally:
            copyreg.remove_extension("os", "system", code)


def containers(folder, raw):
    """The attack in each place of each format where a pickle is read."""
    magic, version, system = (pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    made = {"bare": raw, "stream": magic + version + system + raw + pickle.dumps([], 2)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/version", "3\n")
    made["archive"] = out.getvalue()
    blob = b"B" + struct.pack("<I", len(raw)) + raw
    made["storage"] = b"\x80\x03}" + text("G_ema") + b"ctorch.storage\n_load_from_bytes\n" + blob + b"\x85Rs."
    for name, content in made.items():
        path = folder / f"{name}.pt"
        path.write_bytes(content)
        yield path


@pytest.mark.parametrize("dotted", ["os system", "builtins eval", "builtins exec", "builtins __import__", "torch load"])
def test_no_place_of_a_file_lets_an_attack_through(dotted, guarded, tmp_path):
    module, name = dotted.split()
    for form, raw in forms(module, name, guarded):
        for path in containers(tmp_path, raw):
            with pytest.raises(InputError) as refusal:
                open_checkpoint(path)
            assert "\n" not in str(refusal.value), form


def test_pythons_own_unpickler_would_have_run_them(tmp_path):
    """The attacks are attacks: else the tests above would show nothing."""
    command = f"__import__('pathlib').Path({str(tmp_path / 'canary')!r}).touch()"
    pickle.loads(dict(forms("builtins", "eval", command))["GLOBAL REDUCE"])
    assert (tmp_path / "canary").exists()


def test_oversized_files_are_refused_unread(tmp_path):
    path = tmp_path / "huge.pt"
    with path.open("wb") as file:
        file.truncate(reading.FILE_BYTES_AT_MOST + 1)  # sparse: it takes no room
    with pytest.raises(InputError, match="files of 64 GiB at most"):
        open_checkpoint(path)


def test_archives_with_too_many_entries_and_pickles_with_too_long_texts_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_streams, "ENTRIES_AT_MOST", 3)
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(1), "b": torch.ones(1)}, path)
    with pytest.raises(InputError, match="entries"):
        open_checkpoint(path)
    long = b"X" + struct.pack("<I", (1 << 24) + 1) + b"x" * ((1 << 24) + 1)
    with pytest.raises(Refused, match="a text of"):
        PickleMachine(memoryview(b"\x80\x02" + long + b"."), KNOWN).run()


def test_tape_archives_are_not_unpacked(tmp_path):
    path = tmp_path / "w.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("../../evil")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"bad"))
    with pytest.raises(InputError, match="neither safetensors"):
        open_checkpoint(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.tar"]


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/b", "..", "a\\b", "evil\n", "Evil", "", "a" * 65, "-x", "a..b"]
)
def test_names_cannot_lead_out_of_the_store(name, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="no name for weights"):
        store.add(name, tmp_path / "w.pt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.pt"]


def test_a_card_that_lies_about_its_weights_is_found_out(tmp_path, monkeypatch):
    from weights_files import tiny_rosinality

    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path))
    torch.save({"g_ema": tiny_rosinality()}, tmp_path / "w.pt")
    store.add("mine", tmp_path / "w.pt")
    path = store.path_of("mine")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8))
    assert store.verify("mine") == "changed"
    path.write_bytes(whole + b"more")
    with pytest.raises(InputError, match="not what its card says"):
        store.load("mine")
