"""Wrappers, averaged and raw tables, numbers that are none, and the two layouts of StyleGAN2."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from weights_files import TINY, filled, network_pickle, tiny_nvlabs, tiny_rosinality

from vidswap.graph import InputError
from vidswap.weights import in_layout, open_checkpoint
from vidswap.weights.recognition import network_named


@pytest.fixture
def save(tmp_path):
    def write(value, name="w.pt"):
        torch.save(value, tmp_path / name)
        return tmp_path / name

    return write


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_rosinality_checkpoints_are_read_with_their_mean(save):
    state, mean = tiny_rosinality(), torch.randn(8)
    made = open_checkpoint(
        save({"g_ema": state, "g": tiny_rosinality(1), "d": {"x": torch.ones(1)}, "latent_avg": mean})
    )
    assert same(made.tensors, state) and torch.equal(made.latent_avg, mean)
    assert made.wrapper == "g_ema" and made.parts[""].config == TINY
    assert made.title == "StyleGAN2 generator, 16 px, rosinality layout"


def test_averaged_and_raw_weights_are_told_apart(save):
    averaged, raw = tiny_rosinality(0), tiny_rosinality(1)
    path = save({"g": raw, "g_ema": averaged})
    for is_ema, state in ((None, averaged), (True, averaged), (False, raw)):
        assert same(open_checkpoint(path, is_ema=is_ema).tensors, state)
    # E4S and its like: what the authors use is not the average.
    path = save({"state_dict_ema": averaged, "state_dict": raw})
    for is_ema, state in ((None, raw), (True, averaged), (False, raw)):
        assert same(open_checkpoint(path, is_ema=is_ema).tensors, state)
    with pytest.raises(InputError, match=r"no averaged \(EMA\) table|averaged"):
        open_checkpoint(save({"g": raw}), is_ema=True)


def test_bare_tables_and_prefixes_of_several_gpus_are_read(save):
    state = tiny_rosinality()
    assert same(open_checkpoint(save(state)).tensors, state)
    several = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    assert same(open_checkpoint(save(several)).tensors, state)


def encoder_checkpoint(rows=8):
    encoder = filled(network_named("gradual-encoder").shapes({"rows": rows, "inputs": 3}))
    table = {f"encoder.{k}": v for k, v in encoder.items()} | {f"decoder.{k}": v for k, v in tiny_rosinality().items()}
    return table, torch.randn(rows, 8)


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory):
    """pSp's form at the least size that its trunk has; read by several tests."""
    table, mean = encoder_checkpoint(rows=1)
    path = tmp_path_factory.mktemp("weights") / "e4e.pt"
    torch.save({"state_dict": table, "latent_avg": mean, "opts": {"output_size": 16}}, path)
    return SimpleNamespace(path=path, table=table, mean=mean)


def test_encoders_come_with_their_generator(encoder_file):
    made = open_checkpoint(encoder_file.path)
    assert {p: part.network for p, part in made.parts.items()} == {"encoder": "gradual-encoder", "decoder": "stylegan2"}
    assert same(made.tensors, encoder_file.table) and torch.equal(made.latent_avg, encoder_file.mean)
    assert made.options == {"output_size": 16}
    assert same(made.part("decoder"), tiny_rosinality())
    with pytest.raises(InputError, match="no part 'mapper'; it has encoder, decoder"):
        made.part("mapper")


def test_a_generator_inside_changes_its_layout_and_the_mean_of_all_rows_stays(encoder_file):
    made = in_layout(open_checkpoint(encoder_file.path), "nvlabs")
    assert made.parts["decoder"].layout == "nvlabs" and made.parts["encoder"].layout is None
    assert torch.equal(made.latent_avg, encoder_file.mean)
    assert torch.equal(made.part("decoder")["mapping.w_avg"], encoder_file.mean[0])
    assert same(made.part("encoder"), open_checkpoint(encoder_file.path).part("encoder"))


def test_layouts_turn_into_each_other_without_loss(save):
    state, mean = tiny_rosinality(), torch.randn(8)
    made = open_checkpoint(save({"g_ema": state, "latent_avg": mean}))
    there = in_layout(made, "nvlabs")
    assert {n: tuple(t.shape) for n, t in there.tensors.items()} == there.parts[""].known.shapes(TINY)
    assert there.latent_avg is None and torch.equal(there.tensors["mapping.w_avg"], mean)
    back = in_layout(there, "rosinality")
    assert same(back.tensors, state) and torch.equal(back.latent_avg, mean)
    assert in_layout(made, "rosinality").tensors == made.tensors


def test_the_layouts_match_the_key_map_of_the_fixtures(shared, save):
    keymap = json.loads((shared / "fixtures/stylegan/keymap_nvlabs_to_rosinality_sg2.json").read_text())
    config = {
        **TINY, "resolution": 1024, "channels": [2] * 9, "z_dim": 4, "w_dim": 4, "mapping_layers": 8,
    }  # fmt: skip
    state = filled(network_named("stylegan2", "nvlabs").shapes(config))
    made = open_checkpoint(save({"G_ema": state}))
    there = in_layout(made, "rosinality")
    for ours, told in keymap.items():
        theirs = told["rosinality"]
        tensor = there.latent_avg if theirs == "latent_avg" else there.tensors[theirs]
        assert torch.equal(tensor.flatten(), state[ours].flatten()), ours
    assert len(there.tensors) == 171 and len(state) == 182


def test_only_stylegan2_has_two_layouts(save):
    made = open_checkpoint(save(filled(network_named("lpips-linear").shapes({"trunk": "alex"}))))
    with pytest.raises(InputError, match="comes in one layout"):
        in_layout(made, "nvlabs")


def test_weights_that_are_no_numbers_are_refused_by_name(save, tmp_path):
    for value in (float("nan"), float("inf"), float("-inf")):
        state = tiny_rosinality()
        state["convs.2.conv.weight"][0, 0, 0, 1, 1] = value
        with pytest.raises(InputError, match=r"convs\.2\.conv\.weight holds values that are no numbers"):
            open_checkpoint(save({"g_ema": state}))
    with pytest.raises(InputError, match="latent_avg holds values"):
        open_checkpoint(save({"g_ema": tiny_rosinality(), "latent_avg": torch.full((8,), float("nan"))}))
    complicated = {**tiny_rosinality(), "input.input": torch.zeros(1, 8, 4, 4, dtype=torch.complex64)}
    save_file(complicated, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"input\.input holds complex numbers"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_a_file_whose_tensors_repeat_its_bytes_many_times_is_refused(save):
    shapes = network_named("stylemask").shapes({"widths": [64] * 60})
    weight, bias = torch.ones(64, 64), torch.ones(64)
    path = save({"mask_net": {name: weight if len(shape) == 2 else bias for name, shape in shapes.items()}})
    with pytest.raises(InputError, match="many times what the file has"):
        open_checkpoint(path)


def test_a_file_of_something_else_is_told_with_its_path(save):
    path = save({"state_dict": {"a": torch.ones(1)}})
    with pytest.raises(InputError, match=f"{path}: no network that is known"):
        open_checkpoint(path)
    with pytest.raises(InputError, match="holds no tensors"):
        open_checkpoint(save({"epoch": 3}))
    with pytest.raises(InputError, match="holds no table"):
        open_checkpoint(save([torch.ones(1)]))


def test_network_pickles_are_recognised_with_their_arguments(tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(network_pickle(tiny_nvlabs(), {"img_resolution": 16}))
    made = open_checkpoint(path)
    assert same(made.tensors, tiny_nvlabs())
    assert (made.format, made.wrapper, made.options) == ("network pickle", "G_ema", {"img_resolution": 16})
