"""Network pickles: state dicts bit for bit, constructor arguments, and not a byte of their source text executed."""

import json
import pickle

import pytest
import torch
import weights_files
from weights_files import network_pickle, text, tiny_nvlabs

from vidswap.graph import InputError
from vidswap.weights.network_pickles import read_networks
from vidswap.weights.pickle_machine import Refused
from vidswap.weights.reading import read

ARGUMENTS = {"z_dim": 8, "img_resolution": 16, "synthesis_kwargs": {"conv_clamp": 256}}
GOLDENS = ("sg2_tiny_proto3", "sg2_tiny_proto4", "sg3t_tiny_proto4", "sg3r_tiny_proto3")


@pytest.fixture
def written(tmp_path):
    def write(raw):
        (tmp_path / "net.pkl").write_bytes(raw)
        return tmp_path / "net.pkl"

    return write


@pytest.mark.parametrize("golden", GOLDENS)
def test_goldens_are_read_bit_for_bit(golden, shared):
    from safetensors import safe_open

    folder = shared / "fixtures" / "stylegan"
    contents = read(folder / f"nvlabs_{golden}.pkl")
    made = contents.tables[contents.chosen()]()
    with safe_open(folder / f"nvlabs_{golden}_expected.safetensors", "pt") as file:
        names = [name for name in list(file.keys()) if not name.startswith(("in.", "out."))]
        wanted = {name: file.get_tensor(name) for name in names}
        arguments = json.loads(file.metadata()["init_kwargs"])
    assert set(made) == set(wanted)
    assert all(torch.equal(made[name], wanted[name]) for name in wanted)
    assert contents.options == arguments


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_generator_comes_back_bit_for_bit(protocol, written):
    state = tiny_nvlabs()
    contents = read(written(network_pickle(state, ARGUMENTS, protocol)))
    made = contents.tables["G_ema"]()
    assert set(made) == set(state)
    assert all(torch.equal(made[name], state[name]) for name in state)
    assert contents.options == ARGUMENTS and contents.format == "network pickle"


def test_a_pickle_without_g_ema_is_refused(written):
    with pytest.raises(InputError, match="no network G_ema"):
        read(written(network_pickle(tiny_nvlabs(), {}, name="G")))


@pytest.mark.parametrize("way", sorted(weights_files.calls("")))
def test_attacks_in_the_pickle_are_refused(way, written, tmp_path):
    canary = tmp_path / "canary"
    with pytest.raises(InputError):
        read(written(weights_files.calls(f"touch {canary}")[way]))
    assert not canary.exists()


@pytest.mark.parametrize("way", ["global-reduce", "inst", "newobj", "getattr", "stack-global-reduce"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_attacks_in_the_bytes_of_a_storage_are_refused(way, is_stream, written, tmp_path):
    canary = tmp_path / "canary"
    evil = weights_files.calls(f"touch {canary}")[way]
    if is_stream:
        evil = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})) + evil
    blob = b"B" + len(evil).to_bytes(4, "little") + evil
    with pytest.raises(InputError):
        read(written(b"\x80\x03}" + text("G_ema") + b"ctorch.storage\n_load_from_bytes\n" + blob + b"\x85Rs."))
    assert not canary.exists()


def persistent(**changes):
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "Generator", "state": {}, **changes}
    raw = pickle.dumps(meta, 2)[2:-1]
    return b"\x80\x03}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + raw + b"\x85Rs."


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"type": "function"}, "no class"),
        ({"version": 7}, "another version than 6"),
        ({"state": [1]}, "malformed"),
        ({"class_name": 5}, "malformed"),
    ],
)
def test_records_of_another_form_are_refused(changes, match):
    with pytest.raises(Refused, match=match):
        read_networks(memoryview(persistent(**changes)))


@pytest.mark.parametrize(
    "state",
    [{"_parameters": {"w": 3}}, {"_parameters": [1]}, {"_modules": {"m": {"_parameters": {}}}}, {"_buffers": {1: 2}}],
)
def test_modules_that_hold_no_tensors_where_tensors_belong_are_refused(state, written):
    contents = read(written(persistent(state=state)))
    with pytest.raises(Refused):
        contents.tables["G_ema"]()


def test_modules_without_end_are_refused():
    machine = b"\x80\x03}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
    head = b"}(" + text("type") + text("class") + text("version") + b"K\x06" + text("class_name") + text("M")
    raw = machine + head + text("state") + b"}q\x00" + text("_modules") + b"}q\x01su\x85Rq\x02s"
    # The module is put among its own modules.
    raw += b"h\x01" + text("again") + b"h\x02s0."
    networks = read_networks(memoryview(raw))
    from vidswap.weights.network_pickles import tensors_of

    with pytest.raises(Refused, match="without end"):
        tensors_of(networks["G_ema"])


def test_a_pickle_of_tensorflow_days_is_told(written):
    raw = b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b."
    with pytest.raises(InputError, match="TensorFlow days"):
        read(written(raw))


def test_cut_pickles_are_refused_in_one_line(written):
    raw = network_pickle(tiny_nvlabs(), ARGUMENTS)
    for length in range(12, len(raw), max(1, len(raw) // 60)):
        with pytest.raises(InputError) as error:
            read(written(raw[:length]))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="behind its end"):
        read(written(raw + b"x"))
