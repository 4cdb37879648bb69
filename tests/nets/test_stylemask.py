"""Mask networks: what they control, how they mix, and the published values."""

import pytest
import torch
from golden_nets import filled, keys_and_shapes, largest_gap, manifest_of, metadata_of, shapes_of, tensors_of
from hypothesis import given
from hypothesis import strategies as st

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2, stylemask
from vidswap.nets.layers import assembled, seeded
from vidswap.weights.recognition import network_named


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_the_released_networks_control_the_first_twelve_convolutions_at_1024():
    config = stylemask.Config.of(stylegan2.Config.of_size(1024))
    assert config == stylemask.Config() and config.width == 5632 and len(config.widths) == stylemask.CONTROLLED
    assert stylemask.Config.of(stylegan2.Config.of_size(1024), single=True).widths == (5632,)
    small = stylegan2.Config((8, 8, 4))
    assert stylemask.Config.of(small, layers=3).widths == (8, 8, 8)
    with pytest.raises(InputError, match="16 px has 5 convolutions, not 6"):
        stylemask.Config.of(small, layers=6)


def test_the_shape_is_found_from_the_keys_and_gaps_are_told():
    state = stylemask.MaskNetworks(stylemask.Config((8, 8, 4))).state_dict()
    assert stylemask.config_of(state) == stylemask.Config((8, 8, 4))
    assert keys_and_shapes(state) == network_named("stylemask").shapes({"widths": [8, 8, 4]})
    with pytest.raises(InputError, match="there are none"):
        stylemask.config_of({})
    with pytest.raises(InputError, match=r"there are \[0, 2\]"):
        stylemask.config_of({name: value for name, value in state.items() if "network_01" not in name})


@given(value=st.floats(0, 1), seed=st.integers(0, 99))
def test_what_lies_beyond_the_mask_is_the_sources_and_one_means_the_driver(value, seed):
    random = torch.Generator().manual_seed(seed)
    source, driver = torch.randn(1, 9, generator=random), torch.randn(4, 6, generator=random)
    made = stylemask.mixed(torch.full((4, 6), value), source, driver)
    assert torch.equal(made[:, 6:], source[:, 6:].expand(4, -1))
    assert largest_gap(made[:, :6], source[:, :6].lerp(driver, value)) < 1e-5


def test_a_face_driven_by_itself_stays_itself_and_untrained_masks_are_near_one_half():
    net = seeded(lambda: stylemask.MaskNetworks(stylemask.Config((64, 32))), 3)
    codes = torch.randn(2, 120)
    mask = net(codes, codes)
    assert (mask - 0.5).abs().max() < 0.1
    assert largest_gap(stylemask.mixed(mask, codes, codes), codes) < 1e-6


def test_each_network_sees_its_own_layer_alone():
    net = seeded(lambda: stylemask.MaskNetworks(stylemask.Config((8, 4))), 3)
    source, driver = torch.randn(2, 12), torch.randn(2, 12)
    other = driver.clone()
    other[:, 8:] += 1
    assert torch.equal(net(source, driver)[:, :8], net(source, other)[:, :8])
    assert not torch.equal(net(source, driver)[:, 8:], net(source, other)[:, 8:])


# Published values.


def test_full_size_keys_are_the_published_ones(shared):
    theirs = shapes_of(manifest_of(shared / "fixtures/stylemask/manifest_mask_net_1024.json"))
    config = stylemask.config_of(theirs)
    assert config == stylemask.Config()
    with torch.device("meta"):
        net = stylemask.MaskNetworks(config)
    assert keys_and_shapes(net.state_dict()) == keys_and_shapes(theirs)
    assert sum(p.numel() for p in net.parameters()) == 5_516_288


def test_full_size_masks_and_mixes_are_the_published_ones(shared):
    folder = shared / "fixtures/stylemask"
    golden = tensors_of(folder / "mask_net_1024_filled.safetensors")
    state = filled(manifest_of(folder / "manifest_mask_net_1024.json"), None)
    net = assembled(lambda: stylemask.MaskNetworks(stylemask.Config()), state)
    mask = net(golden["in.S_source"], golden["in.S_target"])
    assert largest_gap(mask, golden["out.mask"]) <= 1e-5
    assert (
        largest_gap(stylemask.mixed(mask, golden["in.S_source"], golden["in.S_target"]), golden["out.S_mixed"]) <= 1e-5
    )


def test_masks_of_the_small_generator_are_the_published_ones_the_second_hop_included(shared):
    path = shared / "fixtures/stylemask/stylemask_64.safetensors"
    golden, told = tensors_of(path), metadata_of(path)
    state = tensors_of(path, "mask_net.")
    config = stylemask.config_of(state)
    assert len(config.widths) == int(told["num_layers_control"])
    net = assembled(lambda: stylemask.MaskNetworks(config), state)
    for run in ("z_trunc0.7", "wplus_trunc0.7", "wplus_trunc1"):
        source, driver = golden[f"{run}.S_source"], golden[f"{run}.S_target"]
        mask = net(source, driver)
        assert largest_gap(mask, golden[f"{run}.mask"]) <= 1e-5
        assert largest_gap(stylemask.mixed(mask, source, driver), golden[f"{run}.S_mixed"]) <= 1e-5
