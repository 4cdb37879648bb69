"""StyleGAN3: the closed-form plan, filters and the published values."""

import dataclasses
import json

import pytest
import torch
from golden_nets import keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.latents import spaces
from vidswap.nets import stylegan3
from vidswap.nets.layers import assembled, seeded


def tiny(kernel, radial):
    return stylegan3.Config(16, (8,) * 15, kernel, radial, z_dim=12, w_dim=12)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("variant", "parameters"), [("T", 22_313_167), ("R", 15_093_151)])
def test_a_full_size_generator_has_the_published_number_of_parameters(variant, parameters):
    config = stylegan3.Config.of_size(1024, variant)
    with torch.device("meta"):
        net = stylegan3.Generator(config)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert config.num_ws == 16
    assert stylegan3.config_of(net.state_dict()) == config


@pytest.mark.parametrize(("kernel", "radial"), [(3, False), (1, True)])
def test_an_image_does_not_depend_on_its_batch(kernel, radial):
    net = seeded(lambda: stylegan3.Generator(tiny(kernel, radial)), 1)
    wplus = torch.randn(3, 16, 12)
    images = net.synthesis(wplus)
    assert images.shape == (3, 3, 16, 16)
    assert largest_gap(images, torch.cat([net.synthesis(row[None]) for row in wplus])) < 1e-5


def test_gradients_reach_the_codes():
    net = seeded(lambda: stylegan3.Generator(tiny(1, True)), 1)
    with torch.enable_grad():
        wplus = torch.randn(1, 16, 12, requires_grad=True)
        net.synthesis(wplus).square().mean().backward()
    assert torch.isfinite(wplus.grad).all() and wplus.grad.abs().sum() > 0


def test_filters_pass_a_constant_and_stop_the_highest_frequency():
    taps = stylegan3.low_pass(12, 2.0, 12.0, 32, radial=False)
    assert float(taps.sum()) == pytest.approx(1, abs=1e-6)
    assert abs(float((taps * torch.tensor([1.0, -1.0] * 6)).sum())) < 0.02
    disc = stylegan3.low_pass(12, 2.0, 12.0, 32, radial=True)
    assert largest_gap(disc, disc.T) < 1e-7 and largest_gap(disc, disc.flip(0)) < 1e-7
    assert stylegan3.low_pass(1, 2.0, 12.0, 32, radial=True) is None


def test_what_is_no_generator_is_refused_by_name():
    state = seeded(lambda: stylegan3.Generator(tiny(3, False)), 1).state_dict()
    assert stylegan3.config_of(state) == tiny(3, False)
    with pytest.raises(InputError, match="layers are missing"):
        stylegan3.config_of({})
    with pytest.raises(InputError, match=r"mapping\.fc0\.weight is missing"):
        stylegan3.config_of({k: v for k, v in state.items() if k != "mapping.fc0.weight"})
    with pytest.raises(InputError, match="T or R"):
        stylegan3.Config.of_size(64, "Q")
    with pytest.raises(InputError, match="power of two"):
        stylegan3.Config.of_size(100)
    with pytest.raises(InputError, match="15 widths"):
        stylegan3.Config(64, (8,) * 16)


# Published values.


@pytest.fixture(scope="module")
def ops(shared):
    return tensors_of(shared / "fixtures/stylegan/ops.safetensors")


def close(ours, theirs):
    assert largest_gap(ours, theirs) <= 5e-6 * max(1.0, float(theirs.abs().max()))


def test_filters_are_the_published_ones(ops):
    for key, options in {
        "kaiser_12_c2_w12_fs32": (12, 2.0, 12.0, 32),
        "kaiser_12_c3.175_w9.65_fs32": (12, 3.175, 9.65, 32),
        "kaiser_24_c3.175_w9.65_fs64": (24, 3.175, 9.65, 64),
        "radial_12_c3.175_w9.65_fs32": (12, 3.175, 9.65, 32),
    }.items():
        made = stylegan3.low_pass(*options, radial="radial" in key)
        assert largest_gap(made, ops[f"sg3_filter_{key}"]) < 1e-6, key


FILTERED = {
    "t": ("kaiser_12_c2_w12_fs32", "kaiser_12_c3.175_w9.65_fs32", 2, (9, 8), 256),
    "t_clamp": ("kaiser_12_c2_w12_fs32", "kaiser_12_c3.175_w9.65_fs32", 2, (9, 8), 0.4),
    "r": ("kaiser_12_c2_w12_fs32", "radial_12_c3.175_w9.65_fs32", 2, (11, 10), 256),
    "up4": ("kaiser_24_c3.175_w9.65_fs64", "kaiser_12_c3.175_w9.65_fs32", 4, (-6, -9), 256),
}


@pytest.mark.parametrize("case", FILTERED)
def test_the_filtered_activation_is_the_published_one(ops, case):
    up_filter, down_filter, up, padding, clamp = FILTERED[case]
    golden = {key: ops[f"filtered_lrelu_{case}.{key}"] for key in "xby"}
    made = stylegan3.filtered_leaky(
        golden["x"] + golden["b"][:, None, None],
        ops[f"sg3_filter_{up_filter}"],
        ops[f"sg3_filter_{down_filter}"],
        up=up,
        down=2,
        padding=padding,
        clamp=clamp,
    )
    close(made, golden["y"])


def test_colours_are_only_clamped(ops):
    x = ops["filtered_lrelu_torgb.x"] + ops["filtered_lrelu_torgb.b"][:, None, None]
    made = stylegan3.filtered_leaky(x, None, None, up=1, down=1, padding=(0, 0), gain=1.0, slope=1.0, clamp=256)
    close(made, ops["filtered_lrelu_torgb.y"])


@pytest.mark.parametrize(("case", "gain"), [("sg3_modconv_3", 0.7), ("sg3_modconv_1", 1.3)])
def test_convolutions_with_an_input_gain_are_the_published_ones(ops, case, gain):
    weight = ops[f"{case}.w"]
    layer = dataclasses.replace(stylegan3.Config.of_size(64).layers[0], in_channels=5, out_channels=6)
    layer = dataclasses.replace(layer, kernel=weight.shape[2])
    part = stylegan3.SynthesisLayer(layer, 4, 256.0)
    part.weight.copy_(weight)
    part.magnitude_ema.fill_(gain**-2)
    close(part.convolved(ops[f"{case}.x"], ops[f"{case}.s"]), ops[f"{case}.y"])


@pytest.mark.parametrize("case", ["sg3_fourier_input", "sg3_fourier_input_transform"])
def test_the_fourier_input_is_the_published_one(ops, case):
    state = {name.partition(".state.")[2]: value for name, value in ops.items() if ".state." in name}
    state["transform"] = ops[f"{case}.transform"] if case.endswith("transform") else torch.eye(3)
    net = assembled(lambda: stylegan3.FourierInput(6, 8, 12, 16, 2), state)
    close(net(net.affine(ops[f"{case}.w"])), ops[f"{case}.y"])


def small(shared, variant):
    path = shared / f"fixtures/stylegan/nvlabs_sg3{variant}_64.safetensors"
    state = tensors_of(path, "G_ema.")
    return assembled(lambda: stylegan3.Generator(stylegan3.config_of(state)), state), tensors_of(path)


@pytest.mark.parametrize("variant", ["t", "r"])
def test_the_small_generators_give_the_published_images(shared, variant):
    net, golden = small(shared, variant)
    wplus = spaces.broadcast(net, spaces.to_w(net, golden["in.z"]))
    mean = spaces.mean_latent(net)
    assert largest_gap(wplus, golden["out.w"]) <= 2e-5
    assert largest_gap(spaces.truncated(wplus, mean, 0.7), golden["out.w_trunc0.7"]) <= 2e-5
    assert largest_gap(spaces.truncated(wplus, mean, 0.5, cutoff=4), golden["out.w_trunc0.5_cutoff4"]) <= 2e-5
    styles = net.synthesis.styles(wplus)
    for name, style in styles.items():
        assert largest_gap(style, golden[f"out.S.{name}"]) <= 2e-5
    x = net.synthesis.input(styles["input"])
    assert largest_gap(x[:1, :8], golden["out.act.input"]) <= 2e-5
    for layer in net.config.layers:
        x = net.synthesis.get_submodule(layer.name)(x, styles[layer.name])
        assert largest_gap(x[:1, :8], golden[f"out.act.{layer.name}"]) <= 2e-5
    assert largest_gap(x * 0.25, golden["out.image"]) <= 2e-5
    assert largest_gap(net.synthesis(golden["in.wplus"]), golden["out.image_wplus"]) <= 2e-5
    clamped = dataclasses.replace(net.config, clamp=0.5)
    clamped = assembled(lambda: stylegan3.Generator(clamped), net.state_dict())
    assert largest_gap(clamped.synthesis(wplus), golden["out.image_clamp0.5"]) <= 2e-5
    net.synthesis.input.transform.copy_(golden["in.transform"])
    assert largest_gap(net.synthesis(wplus), golden["out.image_transform"]) <= 2e-5


@pytest.mark.parametrize("variant", ["t", "r"])
def test_full_size_plans_and_keys_are_the_published_ones(shared, variant):
    path = shared / f"fixtures/stylegan/manifest_nvlabs_sg3{variant}_1024.json"
    shapes = shapes_of(manifest_of(path))
    config = stylegan3.config_of(shapes)
    assert config == stylegan3.Config.of_size(1024, variant.upper())
    with torch.device("meta"):
        net = stylegan3.Generator(config)
    assert keys_and_shapes(net.state_dict()) == keys_and_shapes(shapes)
    for ours, theirs in zip(config.layers, json.loads(path.read_text())["layers"], strict=True):
        assert ours.name == theirs["name"]
        assert (ours.up, ours.down, ours.up_taps, ours.down_taps) == tuple(
            theirs[key] for key in ("up_factor", "down_factor", "up_taps", "down_taps")
        )
        assert ours.padding * 2 == tuple(theirs["padding"])
        assert (ours.in_size, ours.out_size) == (theirs["in_size"][0], theirs["out_size"][0])
        assert ours.out_half_width == pytest.approx(theirs["out_half_width"])
        assert (ours.radial, ours.temporary_rate) == (theirs["down_radial"], theirs["tmp_sampling_rate"])
