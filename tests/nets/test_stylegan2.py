"""StyleGAN2: our one formulation against per-sample weights, and against the published values."""

import dataclasses
import json

import pytest
import torch
from golden_nets import keys_and_shapes, largest_gap, manifest_of, metadata_of, shapes_of, tensors_of
from grouped_stylegan2 import grouped_images

from vidswap.graph.errors import InputError
from vidswap.nets import stylegan2, stylegan2_keys
from vidswap.nets.layers import FullyConnected, assembled, doubled, leaky, seeded, upfirdn

CONFIG = stylegan2.Config((12, 10, 8, 6), z_dim=16, w_dim=16, mapping_layers=2)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def small(config=CONFIG, seed=5):
    net = seeded(lambda: stylegan2.Generator(config), seed)
    for layer in config.layers:
        if layer.kind != "rgb":
            net.get_parameter(f"synthesis.{layer.name}.noise_strength").fill_(0.3)
    return net


def codes(config=CONFIG, count=3, seed=6):
    return torch.randn(count, config.num_ws, config.w_dim, generator=torch.Generator().manual_seed(seed))


def test_the_shared_convolution_gives_what_weights_per_sample_give():
    net, wplus = small(), codes()
    assert largest_gap(net.synthesis(wplus), grouped_images(net.synthesis, wplus)) < 1e-4


def test_an_image_does_not_depend_on_its_batch():
    net, wplus = small(), codes()
    alone = torch.cat([net.synthesis(row[None]) for row in wplus])
    assert largest_gap(net.synthesis(wplus), alone) < 1e-5


def test_gradients_reach_the_codes():
    net = small()
    with torch.enable_grad():
        wplus = codes(count=1).requires_grad_()
        net.synthesis(wplus).square().mean().backward()
    assert torch.isfinite(wplus.grad).all() and wplus.grad.abs().sum() > 0


def test_random_noise_is_seeded_and_constant_noise_is_the_default():
    net, wplus = small(), codes(count=1)
    draws = [net.synthesis(wplus, noise="random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(net.synthesis(wplus), net.synthesis(wplus, noise="const"))
    assert not torch.equal(net.synthesis(wplus), net.synthesis(wplus, noise="none"))


@pytest.mark.parametrize("resolution", [8, 64, 1024])
def test_the_layer_table_is_that_of_the_paper(resolution):
    config = stylegan2.Config.of_size(resolution)
    levels = resolution.bit_length() - 2
    assert config.num_ws == 2 * levels and len(config.layers) == 3 * levels - 1
    assert [layer.s_index for layer in config.layers] == list(range(3 * levels - 1))
    assert config.layers[-1].w_index == config.num_ws - 1
    if resolution == 1024:
        assert sum(layer.in_channels for layer in config.layers) == 9088
        assert sum(layer.in_channels for layer in config.layers if layer.kind != "rgb") == 6048
        assert [x.s_index for x in config.layers if x.conv_index in (1, 2, 15, 16)] == [2, 3, 23, 24]


def test_the_shape_is_found_from_the_keys():
    assert stylegan2.config_of(small().state_dict()) == CONFIG


def test_what_is_no_generator_is_refused_by_name():
    state = small().state_dict()
    with pytest.raises(InputError, match="blocks are missing"):
        stylegan2.config_of({})
    without = {k: v for k, v in state.items() if k != "mapping.fc0.weight"}
    with pytest.raises(InputError, match=r"mapping\.fc0\.weight is missing"):
        stylegan2.config_of(without)
    with pytest.raises(InputError, match="blocks are"):
        stylegan2.config_of({k: v for k, v in state.items() if ".b8." not in k})
    with pytest.raises(InputError, match="classes"):
        stylegan2.config_of({**state, "mapping.embed.weight": torch.zeros(2, 2)})
    with pytest.raises(InputError, match="power of two"):
        stylegan2.Config.of_size(100)


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(0)
    first = small(seed=9).state_dict()
    torch.manual_seed(1)
    second, third = small(seed=9).state_dict(), small(seed=10).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["synthesis.b4.const"], third["synthesis.b4.const"])


def test_the_doubled_image_is_the_filter_of_the_paper():
    image = torch.randn(2, 3, 9, 7)
    expected = upfirdn(image, stylegan2.filter_taps(), up=2, padding=(2, 1, 2, 1), gain=4)
    assert largest_gap(doubled(image, stylegan2.filter_taps()), expected) < 1e-6


# Published values.


@pytest.fixture(scope="module")
def ops(shared):
    return tensors_of(shared / "fixtures/stylegan/ops.safetensors")


def close(ours, ops, case):
    theirs = ops[f"{case}.y"]
    assert largest_gap(ours, theirs) <= 5e-6 * max(1.0, float(theirs.abs().max())), case


def test_filters_are_the_published_ones(ops):
    x = {case: ops[f"upfirdn_{case}.x"] for case in ("up2", "down2", "asym_conv", "asym_corr", "negpad", "separable")}
    taps = stylegan2.filter_taps()
    assert torch.equal(taps, ops["filter_1331_2d"])
    close(upfirdn(x["up2"], taps, up=2, padding=(2, 1, 2, 1), gain=4), ops, "upfirdn_up2")
    close(upfirdn(x["down2"], taps, down=2, padding=(1, 1, 1, 1)), ops, "upfirdn_down2")
    asym = ops["upfirdn_asym_conv.f"]
    close(upfirdn(x["asym_conv"], asym, up=2, padding=(3, 0, 1, 2)), ops, "upfirdn_asym_conv")
    flipped = ops["upfirdn_asym_corr.f"].flip(0, 1)
    close(upfirdn(x["asym_corr"], flipped, up=2, padding=(3, 0, 1, 2)), ops, "upfirdn_asym_corr")
    close(upfirdn(x["negpad"], ops["upfirdn_negpad.f"], padding=(-1, 2, -2, 1)), ops, "upfirdn_negpad")
    separable = upfirdn(x["separable"], ops["upfirdn_separable.f"], up=2, padding=(2, 2, 2, 2), gain=4)
    close(separable, ops, "upfirdn_separable")
    close(doubled(ops["upsample2d.x"], taps), ops, "upsample2d")


def test_activations_and_linear_layers_are_the_published_ones(ops):
    for case, clamp in (("bias_lrelu", None), ("bias_lrelu_clamp", 0.8)):
        close(leaky(ops[f"{case}.x"] + ops[f"{case}.b"][:, None, None], clamp), ops, case)
    linear = (ops["bias_linear_clamp.x"] + ops["bias_linear_clamp.b"][:, None, None]).clamp(-0.8, 0.8)
    close(linear, ops, "bias_linear_clamp")
    for case, lr in (("fc_lrelu_lr0.01", 0.01), ("fc_linear", 1.0)):
        layer = assembled(
            lambda lr=lr: FullyConnected(5, 7, lr=lr, activate=lr != 1.0),
            {"weight": ops[f"{case}.w"], "bias": ops[f"{case}.b"]},
        )
        close(layer(ops[f"{case}.x"]), ops, case)


def test_modulated_convolutions_are_the_published_ones(ops):
    def ours(case, **options):
        return stylegan2.modulated_conv(*(ops[f"sg2_modconv_{case}.{k}"] for k in "xws"), **options)

    close(ours("plain"), ops, "sg2_modconv_plain")
    close(ours("nodemod", demodulate=False), ops, "sg2_modconv_nodemod")
    close(ours("up2", up_taps=stylegan2.filter_taps()), ops, "sg2_modconv_up2")
    close(ours("rgb", demodulate=False), ops, "sg2_modconv_rgb")


@pytest.fixture(scope="module")
def nvlabs_64(shared):
    path = shared / "fixtures/stylegan/nvlabs_sg2_64.safetensors"
    state = tensors_of(path, "G_ema.")
    config = stylegan2.config_of(state)
    told = json.loads(metadata_of(path)["config"])
    assert (config.resolution, config.z_dim, config.mapping_layers) == (told["img_resolution"], told["z_dim"], 8)
    return assembled(lambda: stylegan2.Generator(config), state), tensors_of(path)


@pytest.fixture(scope="module")
def rosinality_64(shared):
    path = shared / "fixtures/stylegan/rosinality_sg2_64.safetensors"
    golden = tensors_of(path)
    state = stylegan2_keys.from_rosinality(tensors_of(path, "g_ema."), golden["latent_avg"])
    return assembled(lambda: stylegan2.Generator(stylegan2.config_of(state)), state), golden


def test_the_small_nvlabs_generator_gives_the_published_images(nvlabs_64):
    net, golden = nvlabs_64
    assert largest_gap(net.mapping(golden["in.z"]), golden["out.w"][:, 0]) <= 2e-5
    for name, style in net.synthesis.styles(golden["out.w"]).items():
        assert largest_gap(style, golden[f"out.S.{name}"]) <= 2e-5
    assert largest_gap(net.synthesis(golden["out.w"]), golden["out.image_const_noise"]) <= 1e-4
    assert largest_gap(net.synthesis(golden["out.w"], noise="none"), golden["out.image_none_noise"]) <= 1e-4
    assert largest_gap(net.synthesis(golden["in.wplus"]), golden["out.image_wplus"]) <= 1e-4


def test_the_clamp_acts_after_the_gain(nvlabs_64):
    net, golden = nvlabs_64
    config = dataclasses.replace(net.config, clamp=1.5)
    clamped = assembled(lambda: stylegan2.Generator(config), net.state_dict())
    image = clamped.synthesis(golden["out.w"])
    assert largest_gap(image, golden["out.image_const_noise_clamp1.5"]) <= 1e-4


def test_the_small_rosinality_generator_gives_the_published_images(rosinality_64):
    net, golden = rosinality_64
    assert largest_gap(net.mapping(golden["in.z"]), golden["out.w"]) <= 2e-5
    for prefix, wplus in (("out.S.", golden["out.latent"]), ("out.S_wplus.", golden["in.wplus"])):
        for name, style in net.synthesis.styles(wplus).items():
            theirs = stylegan2_keys.to_rosinality(f"synthesis.{name}.affine.bias").partition(".conv.modulation")[0]
            assert largest_gap(style, golden[prefix + theirs]) <= 2e-5
    image = net.synthesis(golden["out.latent"])
    assert largest_gap(image, golden["out.image_const_noise"]) <= 1e-4
    assert largest_gap(image, golden["out.image_const_noise_fp64"]) <= 1e-4
    assert largest_gap(net.synthesis(golden["in.wplus"]), golden["out.image_wplus"]) <= 1e-4
    none = net.synthesis(golden["out.latent"], noise="none")
    assert largest_gap(none, golden["out.image_zero_noise"]) <= 1e-4


def test_a_full_size_generator_has_the_published_keys_and_parameters(shared):
    manifest = manifest_of(shared / "fixtures/stylegan/manifest_nvlabs_sg2_1024.json")
    config = stylegan2.config_of(shapes_of(manifest))
    assert config == stylegan2.Config.of_size(1024)
    with torch.device("meta"):
        net = stylegan2.Generator(config)
    assert keys_and_shapes(net.state_dict()) == keys_and_shapes(shapes_of(manifest))
    assert sum(p.numel() for p in net.parameters()) == 30_370_060
