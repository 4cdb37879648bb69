"""The fast synthesis gives what the plain one gives: any precision, strips or whole, any batch."""

import dataclasses

import pytest
import torch
from golden_nets import filled, largest_gap, manifest_of, tensors_of

from vidswap.nets import stylegan2, stylegan2_fast, stylegan2_keys
from vidswap.nets.devices import relative_rms
from vidswap.nets.layers import assembled, seeded
from vidswap.nets.stylegan2_fast import FastSynthesis, fastest_exact_enough

CONFIG = stylegan2.Config((16, 16, 12, 12, 8, 8), w_dim=32, z_dim=32, mapping_layers=2)  # 128 px: one block in strips


def net_of(config=CONFIG):
    net = seeded(lambda: stylegan2.Generator(config), 5)
    for layer in config.layers:
        if layer.kind != "rgb":
            net.get_parameter(f"synthesis.{layer.name}.noise_strength").fill_(0.3)
    return net


@pytest.fixture(scope="module")
def net():
    return net_of()


@pytest.fixture(scope="module")
def wplus():
    return torch.randn(3, CONFIG.num_ws, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def plain(net, wplus):
    return net.synthesis(wplus)


def test_the_fast_synthesis_is_the_plain_one(net, wplus, plain):
    fast = FastSynthesis(net.synthesis)
    assert largest_gap(fast(wplus), plain) < 5e-5
    assert largest_gap(fast.from_styles(net.synthesis.styles(wplus)), plain) < 5e-5
    for name, style in net.synthesis.styles(wplus).items():
        assert largest_gap(fast.styles(wplus)[name], style) < 1e-5


@pytest.mark.parametrize("strip_bytes", [1, 9000 * 8, 1 << 30])
@pytest.mark.parametrize("from_size", [8, 64])
def test_the_cut_into_strips_does_not_show(net, wplus, plain, strip_bytes, from_size, monkeypatch):
    monkeypatch.setattr(stylegan2_fast, "_STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(stylegan2_fast, "_STRIPS_FROM", from_size)
    assert largest_gap(FastSynthesis(net.synthesis)(wplus), plain) < 5e-5


def test_an_image_does_not_depend_on_its_batch(net, wplus):
    fast = FastSynthesis(net.synthesis)
    assert largest_gap(fast(wplus), torch.cat([fast(row[None]) for row in wplus])) < 5e-5


def test_what_is_compiled_is_one_graph_and_gives_the_same(monkeypatch):
    """Traced for the compiler, not compiled: a break would cut the kernels of CUDA apart."""
    whole = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **how: whole(f, backend="eager", fullgraph=True, **how))
    config = stylegan2.Config((8, 8, 8), w_dim=16, z_dim=16, mapping_layers=1, clamp=0.9)
    net, wplus = net_of(config), torch.randn(2, config.num_ws, 16, generator=torch.Generator().manual_seed(2))
    assert largest_gap(FastSynthesis(net.synthesis, fuse=True)(wplus), net.synthesis(wplus)) < 5e-5


def test_noise_can_be_left_out(net, wplus):
    quiet = FastSynthesis(net.synthesis, noise="none")(wplus)
    assert largest_gap(quiet, net.synthesis(wplus, noise="none")) < 5e-5


def test_the_clamp_is_kept(wplus):
    net = net_of(dataclasses.replace(CONFIG, clamp=0.9))
    assert largest_gap(FastSynthesis(net.synthesis)(wplus), net.synthesis(wplus)) < 5e-5


@pytest.mark.parametrize(("precision", "bound"), [("float16", 3e-3), ("bfloat16", 2e-2)])
def test_half_precision_stays_near_float32(net, wplus, plain, precision, bound):
    assert 0 < relative_rms(FastSynthesis(net.synthesis, precision=precision)(wplus), plain) < bound


def test_half_precision_survives_weights_of_any_scale(wplus):
    """A convolution's weights and styles may have any common scale: the demodulation cancels it."""
    net = net_of()
    net.synthesis.get_parameter("b16.conv1.weight").mul_(1e4)
    net.synthesis.get_parameter("b32.conv0.affine.weight").mul_(1e3)
    plain = net.synthesis(wplus)
    assert relative_rms(FastSynthesis(net.synthesis, precision="float16")(wplus), plain) < 3e-3


def test_the_self_check_chooses_what_agrees(net, wplus):
    fast, error = fastest_exact_enough(net.synthesis, wplus[:1])
    assert (fast.precision, fast.half_from) == ("float16", 8) and 0 < error <= 3e-3
    fast, error = fastest_exact_enough(net.synthesis, wplus[:1], bound=1e-9)
    assert fast.precision == "float32" and error == 0
    broken = net_of()
    broken.synthesis.get_parameter("b8.conv1.bias").fill_(1e7)  # far beyond the clamp of half precision
    fast, error = fastest_exact_enough(broken.synthesis, wplus[:1])
    assert fast.precision == "float32" and error == 0


# Published values at full size.


@pytest.mark.parametrize("layout", ["nvlabs", "rosinality"])
def test_a_full_size_generator_gives_the_published_images(shared, layout):
    folder = shared / "fixtures/stylegan"
    golden = tensors_of(folder / f"{layout}_sg2_1024_filled.safetensors")
    gain = 4 if layout == "rosinality" else 1
    manifest = manifest_of(folder / f"manifest_{layout}_sg2_1024.json")
    state = filled(manifest, lambda name: stylegan2.filter_taps() * gain)
    if layout == "rosinality":
        state = stylegan2_keys.from_rosinality(state, golden["latent_avg"])
    net = assembled(lambda: stylegan2.Generator(stylegan2.config_of(state)), state)
    mean = net.mapping.w_avg
    w = mean + 0.7 * (net.mapping(golden["in.z"]) - mean)
    assert largest_gap(w, golden["out.w_trunc0.7" if layout == "nvlabs" else "out.latent_trunc0.7"]) <= 2e-5
    wplus = w[:, None].expand(-1, 18, -1)
    for name, style in net.synthesis.styles(wplus).items():
        theirs = name
        if layout == "rosinality":
            full = stylegan2_keys.to_rosinality(f"synthesis.{name}.affine.bias")
            theirs = full.partition(".conv.modulation")[0]
        assert largest_gap(style, golden[f"out.S.{theirs}"]) <= 2e-5
    count = 2 if layout == "nvlabs" else 1  # one is enough to see the layout through
    image = FastSynthesis(net.synthesis)(wplus[:count])
    pooled = torch.nn.functional.adaptive_avg_pool2d(image, 64)
    assert largest_gap(pooled, golden["out.image_pool64"][:count]) <= 2e-4
    assert largest_gap(image[:, :, 480:544, 480:544], golden["out.image_center64"][:count]) <= 2e-4
