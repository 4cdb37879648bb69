"""The fast synthesis of StyleGAN3 gives what the plain one gives: filters, strips, precision, full size."""

import pytest
import torch
from golden_nets import filled, largest_gap, manifest_of, tensors_of

from vidswap.nets import stylegan3
from vidswap.nets.layers import assembled, seeded
from vidswap.nets.stylegan2_fast import relative_rms
from vidswap.nets.stylegan3_fast import FastSynthesis, FilteredLeaky


@pytest.mark.parametrize("up", [2, 4])
@pytest.mark.parametrize("padding", [(9, 8), (-6, -9), (11, 10), (-3, 4), (0, 0)])
@pytest.mark.parametrize("radial", [False, True])
def test_the_polyphase_filters_are_the_plain_ones(up, padding, radial):
    """Filters are asymmetric here, so that a flip would show, and the map is not square."""
    random = torch.Generator().manual_seed(7)
    y = torch.randn(2, 3, 21, 26, generator=random)
    scale, bias = torch.rand(2, 3, 1, 1, generator=random), torch.randn(1, 3, 1, 1, generator=random)
    up_filter = torch.rand(6 * up, generator=random) / (3 * up)
    down_filter = torch.rand(*[12] * (2 if radial else 1), generator=random) / (72 if radial else 6)
    options = {"up": up, "down": 2, "clamp": 0.9}
    expected = stylegan3.filtered_leaky(y * scale + bias, up_filter, down_filter, padding=padding, **options)
    made = FilteredLeaky(
        up_filter, down_filter, channels=3, padding=padding[0], out_size=tuple(expected.shape[2:]), **options
    )
    layout = y.contiguous(memory_format=torch.channels_last)
    for strip_bytes in (None, 1, 1 << 20):
        assert largest_gap(made(layout, scale, bias, strip_bytes), expected) < 2e-6


def test_filters_without_a_polyphase_form_are_refused():
    with pytest.raises(ValueError, match="no polyphase form"):
        FilteredLeaky(torch.ones(5), torch.ones(12), channels=1, up=2, down=2, padding=0, out_size=(4, 4), clamp=None)


@pytest.mark.parametrize(("kernel", "radial"), [(3, False), (1, True)])
def test_the_fast_synthesis_is_the_plain_one(kernel, radial):
    config = stylegan3.Config(32, (8,) * 15, kernel, radial, z_dim=12, w_dim=12)
    net = seeded(lambda: stylegan3.Generator(config), 1)
    for layer in config.layers:
        net.get_buffer(f"synthesis.{layer.name}.magnitude_ema").fill_(0.6)
    wplus = torch.randn(2, 16, 12, generator=torch.Generator().manual_seed(3))
    plain = net.synthesis(wplus)
    fast = FastSynthesis(net.synthesis)
    assert relative_rms(fast(wplus), plain) < 1e-5
    assert relative_rms(fast(wplus)[1:], fast(wplus[1:])) < 1e-5  # styles come from a product over the batch
    assert 0 < relative_rms(FastSynthesis(net.synthesis, precision="float16")(wplus), plain) < 5e-3


# Published values.


@pytest.mark.parametrize("variant", ["t", "r"])
def test_small_generators_give_the_published_images(shared, variant):
    path = shared / f"fixtures/stylegan/nvlabs_sg3{variant}_64.safetensors"
    state, golden = tensors_of(path, "G_ema."), tensors_of(path)
    net = assembled(lambda: stylegan3.Generator(stylegan3.config_of(state)), state)
    assert largest_gap(FastSynthesis(net.synthesis)(golden["out.w"]), golden["out.image"]) <= 2e-5


@pytest.mark.parametrize("variant", ["t", "r"])
def test_full_size_generators_give_the_published_images(shared, variant):
    folder = shared / "fixtures/stylegan"
    golden = tensors_of(folder / f"nvlabs_sg3{variant}_1024_filled.safetensors")
    with torch.device("meta"):
        plan = stylegan3.Config.of_size(1024, variant.upper()).layers
    filters = {f"synthesis.{x.name}": dict(zip(("up_filter", "down_filter"), x.filters(), strict=True)) for x in plan}

    def kept(name):
        layer, _, part = name.rpartition(".")
        return torch.eye(3) if part == "transform" else filters[layer][part]

    state = filled(manifest_of(folder / f"manifest_nvlabs_sg3{variant}_1024.json"), kept)
    net = assembled(lambda: stylegan3.Generator(stylegan3.config_of(state)), state)
    mean = net.mapping.w_avg
    w = mean + 0.7 * (net.mapping(golden["in.z"]) - mean)
    assert largest_gap(w, golden["out.w_trunc0.7"]) <= 2e-5
    fast = FastSynthesis(net.synthesis)
    wplus = w[:, None].expand(-1, 16, -1)
    for name, style in fast.styles(wplus).items():
        assert largest_gap(style, golden[f"out.S.{name}"]) <= 2e-5
    image = fast(wplus)
    pooled = torch.nn.functional.adaptive_avg_pool2d(image, 64)
    assert largest_gap(pooled, golden["out.image_pool64"]) <= 2e-4
    assert largest_gap(image[:, :, 480:544, 480:544], golden["out.image_center64"]) <= 2e-4
    spread = torch.stack((image.mean(), image.std(), image.abs().max()))
    assert largest_gap(spread, golden["out.image_mean_std_absmax"]) <= 1e-3
