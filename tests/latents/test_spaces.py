"""Ways between Z, W, W+ and S."""

import dataclasses

import pytest
import torch
from golden_nets import largest_gap, tensors_of

from vidswap.graph.errors import InputError
from vidswap.latents import spaces
from vidswap.nets import stylegan2, stylegan2_keys, stylegan3, stylegan3_fast
from vidswap.nets.layers import assembled, seeded
from vidswap.nets.stylegan2_fast import FastSynthesis

CONFIG = stylegan2.Config((12, 10, 8, 6), z_dim=16, w_dim=16, mapping_layers=2)


@pytest.fixture(scope="module")
def net():
    return seeded(lambda: stylegan2.Generator(CONFIG), 5)


def test_a_seed_always_gives_the_same_code():
    codes = spaces.seeded_z([3, 4, 3], 512)
    assert codes.shape == (3, 512) and codes.dtype == torch.float32
    assert torch.equal(codes[0], codes[2]) and not torch.equal(codes[0], codes[1])
    assert codes[0, 0] == pytest.approx(1.7886285)  # RandomState(3).randn's first


def test_truncation_moves_towards_the_mean_and_only_the_rows_before_the_cutoff():
    w, mean = torch.randn(2, 8, 16), torch.randn(16)
    assert torch.equal(spaces.truncated(w, mean, 1), w)
    assert largest_gap(spaces.truncated(w, mean, 0), mean.expand(2, 8, 16)) == 0
    half = spaces.truncated(w, mean, 0.5, cutoff=3)
    assert largest_gap(half[:, :3], (w[:, :3] + mean) / 2) < 1e-6
    assert torch.equal(half[:, 3:], w[:, 3:])
    assert largest_gap(spaces.truncated(w[:, 0], mean, 0.5, cutoff=3), (w[:, 0] + mean) / 2) < 1e-6


def test_the_mean_is_the_checkpoints_or_measured_from_a_seed(net):
    assert not net.mapping.w_avg.any()
    measured = spaces.mean_latent(net, samples=1500, seed=4)
    assert torch.equal(measured, spaces.measured_mean(net, samples=1500, seed=4))
    assert not torch.equal(measured, spaces.measured_mean(net, samples=1500, seed=5))
    other = seeded(lambda: stylegan2.Generator(CONFIG), 5)
    other.mapping.w_avg.fill_(2)
    assert torch.equal(spaces.mean_latent(other), other.mapping.w_avg)


def test_rows_are_mixed_by_layer_and_inputs_stay():
    first, second = torch.zeros(2, 8, 4), torch.ones(1, 8, 4)
    made = spaces.mixed(first, second, slice(4, None))
    assert made[:, :4].sum() == 0 and (made[:, 4:] == 1).all() and first.sum() == 0
    assert spaces.mixed(first, second, [0, 7])[:, :, 0].sum(dim=0).tolist() == [2, 0, 0, 0, 0, 0, 0, 2]


def test_every_row_of_zplus_is_mapped_by_itself(net):
    zplus = torch.randn(2, 8, 16)
    assert largest_gap(spaces.zplus_to_wplus(net, zplus)[:, 3], spaces.to_w(net, zplus[:, 3])) < 1e-6
    with pytest.raises(InputError, match="codes of 5 rows do not fit a generator of 8"):
        spaces.zplus_to_wplus(net, zplus[:, :5])


@pytest.mark.parametrize("colours", [True, False])
def test_styles_are_joined_and_split_by_name(net, colours):
    space = spaces.StyleSpace.of(CONFIG, colours=colours)
    styles = net.synthesis.styles(torch.randn(2, 8, 16))
    joined = space.joined(styles)
    assert joined.shape == (2, space.width)
    for name, style in space.split(joined).items():
        assert torch.equal(style, styles[name])
    with pytest.raises(InputError, match=r"no style for layer b4\.conv1"):
        space.joined({})
    with pytest.raises(InputError, match="do not fit"):
        space.split(joined[:, 1:])


def test_full_size_style_spaces_have_the_published_widths():
    config = stylegan2.Config.of_size(1024)
    assert spaces.StyleSpace.of(config).width == 9088
    assert spaces.StyleSpace.of(config, colours=False).widths == (512,) * 10 + (256, 256, 128, 128, 64, 64, 32)


@pytest.mark.parametrize("variant", ["T", "R"])
def test_styles_of_a_stylegan3_are_joined_and_split_and_painted(variant):
    config = dataclasses.replace(stylegan3.Config.of_size(16, variant, z_dim=8, w_dim=8), channels=(4,) * 15)
    net = seeded(lambda: stylegan3.Generator(config), 1)
    wplus = spaces.broadcast(net, spaces.to_w(net, spaces.seeded_z([1, 2], 8)))
    space = spaces.StyleSpace.of(config)
    joined = space.joined(net.synthesis.styles(wplus))
    assert joined.shape == (2, 4 + 15 * 4)
    assert torch.equal(net.synthesis.from_styles(space.split(joined)), net.synthesis(wplus))
    assert spaces.StyleSpace.of(config, colours=False).names[-1].startswith("L13")
    fast = stylegan3_fast.FastSynthesis(net.synthesis)
    assert largest_gap(fast.from_styles(space.split(joined)), net.synthesis(wplus)) < 5e-5


def test_an_image_from_s_is_the_image_from_wplus(net):
    wplus = spaces.broadcast(net, spaces.to_w(net, spaces.seeded_z([1, 2], 16)))
    space = spaces.StyleSpace.of(CONFIG)
    styles = space.split(space.joined(net.synthesis.styles(wplus)))
    assert torch.equal(net.synthesis.from_styles(styles), net.synthesis(wplus))
    assert largest_gap(FastSynthesis(net.synthesis).from_styles(styles), net.synthesis(wplus)) < 5e-5


def test_images_become_bytes_as_the_official_tools_make_them():
    image = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).reshape(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert spaces.to_uint8(image)[0, 0, :, 1].tolist() == [0, 0, 128, 255, 255, 255]


def test_truncation_and_mixing_are_the_published_ones(shared):
    folder = shared / "fixtures/stylegan"
    golden = tensors_of(folder / "nvlabs_sg2_64.safetensors")
    state = tensors_of(folder / "nvlabs_sg2_64.safetensors", "G_ema.")
    net = assembled(lambda: stylegan2.Generator(stylegan2.config_of(state)), state)
    wplus = spaces.broadcast(net, spaces.to_w(net, golden["in.z"]))
    mean = spaces.mean_latent(net)
    assert largest_gap(wplus, golden["out.w"]) <= 2e-5
    assert largest_gap(spaces.truncated(wplus, mean, 0.7), golden["out.w_trunc0.7"]) <= 2e-5
    assert largest_gap(spaces.truncated(wplus, mean, 0.5, cutoff=4), golden["out.w_trunc0.5_cutoff4"]) <= 2e-5

    golden = tensors_of(folder / "rosinality_sg2_64.safetensors")
    state = tensors_of(folder / "rosinality_sg2_64.safetensors", "g_ema.")
    state = stylegan2_keys.from_rosinality(state, golden["latent_avg"])
    net = assembled(lambda: stylegan2.Generator(stylegan2.config_of(state)), state)
    wplus = spaces.broadcast(net, spaces.to_w(net, golden["in.z"]))
    less = spaces.truncated(wplus, spaces.mean_latent(net), 0.7)
    assert largest_gap(less, golden["out.latent_trunc0.7"]) <= 2e-5
    assert largest_gap(FastSynthesis(net.synthesis)(less), golden["out.image_trunc0.7"]) <= 1e-4
    mix = spaces.mixed(wplus[:1], wplus[1:2], slice(4, None))
    assert largest_gap(mix, golden["out.latent_mix4"]) <= 2e-5
    assert largest_gap(FastSynthesis(net.synthesis)(mix), golden["out.image_mix4"]) <= 1e-4
