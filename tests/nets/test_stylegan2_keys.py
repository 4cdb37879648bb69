"""The two layouts of StyleGAN2 hold the same tensors under different names."""

import json

import pytest
import torch
from golden_nets import keys_and_shapes, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2, stylegan2_keys
from vidswap.nets.layers import seeded

CONFIG = stylegan2.Config((12, 10, 8, 6), z_dim=7, w_dim=7, mapping_layers=3)


def small_state():
    return seeded(lambda: stylegan2.Generator(CONFIG), 3).state_dict()


def test_a_generator_survives_the_way_to_rosinality_and_back():
    state = small_state()
    state["mapping.w_avg"] = torch.randn(7)
    theirs, mean = stylegan2_keys.into_rosinality(state)
    assert theirs["conv1.conv.weight"].shape == (1, 12, 12, 3, 3)
    assert theirs["noises.noise_3"].shape == (1, 1, 16, 16)
    assert theirs["to_rgbs.0.upsample.kernel"].sum() == 4
    back = stylegan2_keys.from_rosinality(theirs, mean)
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(back[name], value), name


def test_names_map_both_ways():
    for name in small_state():
        theirs = stylegan2_keys.to_rosinality(name)
        if theirs is not None:
            assert stylegan2_keys.to_nvlabs(theirs) == name


@pytest.mark.parametrize("name", ["style.0.weight", "convs.1.conv.blur.kernel", "conv2.conv.weight", "g_ema.a"])
def test_what_is_no_tensor_of_the_layout_has_no_name(name):
    assert stylegan2_keys.to_nvlabs(name) is None
    assert stylegan2_keys.to_rosinality(name) is None


def test_unknown_and_missing_tensors_are_named():
    theirs, _ = stylegan2_keys.into_rosinality(small_state())
    with pytest.raises(InputError, match="extra.weight is no tensor of a rosinality"):
        stylegan2_keys.from_rosinality({**theirs, "extra.weight": torch.zeros(1)})
    del theirs["to_rgbs.0.upsample.kernel"]
    with pytest.raises(InputError, match="to_rgbs.0.upsample.kernel"):
        stylegan2_keys.from_rosinality(theirs)
    with pytest.raises(InputError, match="mapping.w_avg is missing"):
        stylegan2_keys.into_rosinality({"synthesis.b4.const": torch.zeros(3, 4, 4)})


def test_the_published_key_map_is_ours(shared):
    published = json.loads((shared / "fixtures/stylegan/keymap_nvlabs_to_rosinality_sg2.json").read_text())
    for ours, told in published.items():
        assert stylegan2_keys.to_rosinality(ours) == told["rosinality"]
        assert stylegan2_keys.to_nvlabs(told["rosinality"]) == ours


def test_a_full_size_rosinality_checkpoint_has_the_keys_of_the_nvlabs_one(shared):
    folder = shared / "fixtures/stylegan"
    theirs = shapes_of(manifest_of(folder / "manifest_rosinality_sg2_1024.json"))
    converted = stylegan2_keys.from_rosinality(theirs, torch.empty(512, device="meta"))
    nvlabs = shapes_of(manifest_of(folder / "manifest_nvlabs_sg2_1024.json"))
    assert keys_and_shapes(converted) == keys_and_shapes(nvlabs)
    back, _ = stylegan2_keys.into_rosinality(nvlabs)
    assert keys_and_shapes(back) == keys_and_shapes(theirs)


def test_a_real_file_survives_both_ways_bit_for_bit(shared):
    path = shared / "fixtures/stylegan/rosinality_sg2_64.safetensors"
    theirs, mean = tensors_of(path, "g_ema."), tensors_of(path)["latent_avg"]
    back, mean_back = stylegan2_keys.into_rosinality(stylegan2_keys.from_rosinality(theirs, mean))
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[name], value) for name, value in theirs.items())
    assert torch.equal(mean_back, mean)
