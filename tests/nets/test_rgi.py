"""E4S: regions, vectors, codes, masked layers, names, and the published values."""

import json

import numpy as np
import pytest
import torch
from golden_nets import keys_and_shapes, largest_gap, manifest_of, metadata_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import ir_se50, rgi, rgi_encoder, rgi_keys, stylegan2
from vidswap.nets.layers import assembled, seeded

TINY = rgi.Config(
    stylegan2.Config((8, 8, 8, 8, 8), w_dim=16, z_dim=16, mapping_layers=2), rows=5, regions=4,
    encoder_widths=(8, 16, 16, 16, 16),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def net():
    return seeded(lambda: rgi.RGI(TINY), 3)


def labels_of(count, side, regions=4, seed=0):
    return torch.randint(0, regions, (count, side, side), generator=torch.Generator().manual_seed(seed))


def test_labels_are_taken_at_the_first_pixel_as_torch_does():
    labels = labels_of(2, 48, 12)
    for size in (4, 16, 48, 96):
        theirs = torch.nn.functional.interpolate(labels[:, None].float(), size=(size, size), mode="nearest")
        assert torch.equal(rgi_encoder.nearest_labels(labels, size).float(), theirs[:, 0])


def test_means_over_regions_are_means_and_absent_regions_exactly_zero():
    maps, labels = torch.randn(2, 5, 16, 16), labels_of(2, 64)
    labels[0][labels[0] == 2] = 1
    means = rgi_encoder.region_means(maps, labels, 4)
    small = labels[:, ::4, ::4]
    for n, region in np.ndindex(2, 4):
        here = maps[n][:, small[n] == region]
        wanted = here.mean(dim=1) if here.numel() else torch.zeros(5)
        assert largest_gap(means[n, region], wanted) < 1e-6
    assert not means[0, 2].any()


def test_a_region_lost_at_a_coarse_scale_keeps_its_finer_parts(net):
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 1, 1] = 3  # seen at 64 px, between the samples of 32 and 16 px
    vectors = net.vectors(torch.randn(1, 3, 64, 64), labels)
    assert vectors.shape == (1, 4, 48)
    assert vectors[0, 3, :16].any() and not vectors[0, 3, 16:].any() and not vectors[0, 1].any()


def test_codes_end_in_the_mean_code_and_zero_vectors_have_codes(net):
    net = seeded(lambda: rgi.RGI(TINY), 3)
    net.latent_avg.normal_(generator=torch.Generator().manual_seed(1))
    codes = net.codes(torch.zeros(2, 4, 48))
    assert codes.shape == (2, 4, 10, 16)
    assert torch.equal(codes[:, :, 5:], net.latent_avg[5:].expand(2, 4, -1, -1))
    bias = net.MLPs[2].mlp[2].bias.reshape(5, 16)
    assert largest_gap(codes[1, 2, :5], net.latent_avg[:5] + bias) < 1e-6


def test_where_all_regions_have_one_code_it_is_stylegan2(net):
    wplus = torch.randn(2, 1, 10, 16)
    plain = seeded(lambda: stylegan2.Synthesis(TINY.generator), 1)
    plain.load_state_dict(net.G.synthesis.state_dict())
    image = net(wplus.expand(-1, 4, -1, -1), labels_of(2, 32))
    assert largest_gap(image, plain(wplus[:, 0])) < 1e-5


@pytest.mark.parametrize(
    ("rows", "convs", "colours"),
    [(11, 128, 64), (13, 256, 128), (15, 512, 256), (18, 1024, 1024)],  # the last is the paper's K = 17
)
def test_k_decides_which_layers_are_masked(rows, convs, colours):
    config = rgi.Config(rows=rows)
    masked = [layer for layer in config.generator.layers if config.is_masked(layer)]
    assert sum(layer.kind != "rgb" for layer in masked) == config.masked_convs == min(rows, 17)
    assert max(layer.resolution for layer in masked if layer.kind != "rgb") == convs
    assert max(layer.resolution for layer in masked if layer.kind == "rgb") == colours


def test_bad_rows_labels_and_keys_are_told_in_one_line(net):
    for rows in (4, -1, 21):
        with pytest.raises(InputError, match=f"E4S with {rows} rows: an odd number below 18"):
            rgi.Config(rows=rows)
    codes = torch.randn(2, 4, 10, 16)
    for labels, said in (
        (labels_of(2, 32).float(), "label maps are integers"),
        (labels_of(2, 32)[:, None], r"not torch.int64 of shape \(2, 1, 32, 32\)"),
        (labels_of(3, 32), "3 label maps for 2 images"),
        (labels_of(2, 32) + 2, r"has the value 5; regions are 0\.\.3"),
        (labels_of(2, 32) - 1, r"has the value -1; regions are 0\.\.3"),
    ):
        with pytest.raises(InputError, match=said):
            net(codes, labels)
    state = net.state_dict()
    assert rgi.config_of(state) == TINY
    del state["encoder.body.7.res_layer.1.weight"]
    with pytest.raises(InputError, match=r"encoder\.body\.7\.res_layer\.1\.weight is missing"):
        rgi.config_of(state)


def test_published_names_go_there_and_back(net):
    state = net.state_dict()
    theirs, mean = rgi_keys.into_published(state)
    assert "G.convs.1.conv.modulation.weight" in theirs and mean.shape == (10, 16)
    back = rgi_keys.from_published(theirs, mean)
    assert {name: t.shape for name, t in back.items()} == {name: t.shape for name, t in state.items()}
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items() if name != "G.mapping.w_avg")
    with pytest.raises(InputError, match="latent_avg is missing beside the weights"):
        rgi_keys.from_published(theirs, None)
    with pytest.raises(InputError, match=r"D\.x is no tensor of E4S"):
        rgi_keys.from_published({"D.x": mean}, mean)
    with pytest.raises(InputError, match="latent_avg is missing"):
        rgi_keys.into_published({})


# Published values.


def close(ours, theirs):
    assert largest_gap(ours, theirs) <= 1e-4 * float(theirs.abs().max())


def kept(name):
    return stylegan2.filter_taps() * 4  # the one kind of tensors that is not random


def of_bytes(images):
    return (images / 255 - 0.5) / 0.5


@pytest.mark.parametrize("tag", ["same", "up", "same_global", "up_global"])
def test_a_masked_layer_gives_the_published_values(shared, tag):
    golden = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors")
    weights = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors", f"{tag}.weights.")
    is_up = tag.startswith("up")
    size = 64 if is_up else 32
    state = {
        "weight": weights["conv.weight"][0],
        "bias": weights["activate.bias"],
        "affine.weight": weights["conv.modulation.weight"],
        "affine.bias": weights["conv.modulation.bias"],
        "noise_strength": weights["noise.weight"].reshape(()),
        "noise_const": golden[f"in.noise{size}"][0, 0],
        "resample_filter": weights["conv.blur.kernel"] / 4 if is_up else stylegan2.filter_taps(),
    }
    layer = stylegan2.Layer(tag, "up" if is_up else "conv", size, 20, 12, 0, 0, 0)
    part = assembled(lambda: stylegan2.SynthesisLayer(layer, 24, None), state)
    styles = part.affine(golden["in.style"])
    styles = styles[:, :1] if tag.endswith("global") else styles
    close(part.finished(rgi.convolved(part, golden["in.x"], styles, golden["in.label_u8"][:, 0]), "const", None),
          golden[f"{tag}.out"])  # fmt: skip


@pytest.mark.parametrize("tag", ["torgb", "torgb_first"])
def test_masked_colours_are_the_published_ones(shared, tag):
    golden = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors")
    weights = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors", f"{tag}.weights.")
    state = {
        "torgb.weight": weights["conv.weight"][0],
        "torgb.bias": weights["bias"].reshape(-1),
        "torgb.affine.weight": weights["conv.modulation.weight"],
        "torgb.affine.bias": weights["conv.modulation.bias"],
        "resample_filter": stylegan2.filter_taps(),
    }
    block = assembled(
        lambda: stylegan2.Block((stylegan2.Layer("b32.torgb", "rgb", 32, 20, 3, 0, 0, None),), 24, None), state
    )
    styles = block.torgb.affine(golden["in.style"])
    colours = block.torgb.finished(rgi.convolved(block.torgb, golden["in.x"], styles, golden["in.label_u8"][:, 0]))
    close(block.skipped(golden["in.skip16"] if tag == "torgb" else None, colours), golden[f"{tag}.out"])


@pytest.mark.parametrize(
    ("tag", "shape"), [("unit_proj", (16, 32, 2)), ("unit_pool", (32, 32, 2)), ("unit_id", (32, 32, 1))]
)
def test_units_of_the_encoder_give_the_published_values(shared, tag, shape):
    golden = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors", f"{tag}.")
    state = {name.removeprefix("weights."): value for name, value in golden.items() if name.startswith("weights.")}
    unit = assembled(lambda: ir_se50.Unit(*shape, norm=torch.nn.InstanceNorm2d), state)
    close(unit(golden["in"]), golden["out"])


def test_region_mlps_and_means_give_the_published_values(shared):
    golden = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors")
    weights = tensors_of(shared / "fixtures/e4s/golden_blocks.safetensors", "mlp.weights.")
    mlp = assembled(lambda: rgi_encoder.RegionMLP(40, 24, 13), weights)
    close(mlp(golden["mlp.in"]), golden["mlp.out"])
    means = rgi_encoder.region_means(golden["pool.in_feat"], golden["in.label_u8"][:, 0], 12)
    close(means, golden["pool.out"])
    assert torch.equal(means == 0, golden["pool.out"] == 0)


def test_the_whole_network_at_reduced_width_gives_the_published_values(shared):
    path = shared / "fixtures/e4s/golden_tiny_net.safetensors"
    golden, told = tensors_of(path), json.loads(metadata_of(path)["config"])
    state = {name: value.float() for name, value in tensors_of(path, "weights.").items()}
    net = rgi_keys.network_of(state, golden["latent_avg"].float())
    config = net.config
    assert (config.rows, config.regions, config.generator.resolution) == (told["K"], 12, told["out_size"])
    assert config.encoder_widths == (told["encoder_stem"], *told["encoder_depths"])
    images, labels = of_bytes(golden["in.image_u8"]), golden["in.label_u8"][:, 0]

    small = torch.nn.functional.interpolate(images, size=(256, 256), mode="bilinear", align_corners=False)
    for ours, name in zip(net.encoder.maps(small), ("s1", "s2", "s3"), strict=True):
        theirs = golden[f"out.feat_{name}"]
        close(ours[: len(theirs)], theirs)
    vectors = net.vectors(images, labels)
    close(vectors, golden["out.style_vectors"])
    absent = [[10], [3, 9, 11]]
    for n in range(2):
        assert (vectors[n] == 0).all(dim=1).nonzero()[:, 0].tolist() == absent[n]
    codes = net.codes(vectors)
    close(codes, golden["out.style_codes"])
    assert torch.equal(net.encode(images, labels), codes)
    results = {}
    close(net.G.synthesis(codes, labels, kept=results), golden["out.image"])
    for theirs, ours in {
        "conv1": "b4.conv1", "convs.0": "b8.conv0", "convs.3": "b16.conv1", "convs.6": "b64.conv0",
        "convs.8": "b128.conv0", "to_rgb1": "b4.torgb", "to_rgbs.0": "b8.torgb", "to_rgbs.2": "b32.torgb",
        "to_rgbs.3": "b64.torgb", "to_rgbs.4": "b128.torgb",
    }.items():  # fmt: skip
        wanted = golden[f"out.G.{theirs}"]
        close(results[ours][: len(wanted)], wanted)
    close(net(codes[:1], labels[1:]), golden["out.image_codes0_label1"])


def test_the_keys_at_full_size_are_the_published_ones(shared):
    theirs = shapes_of(manifest_of(shared / "fixtures/e4s/manifest_e4s_net_1024.json"))
    mean = theirs.pop("latent_avg")
    config = rgi.config_of(rgi_keys.from_published(theirs, mean))
    assert config == rgi.Config()
    with torch.device("meta"):
        ours, own_mean = rgi_keys.into_published(rgi.RGI(config).state_dict())
    assert keys_and_shapes(ours) == keys_and_shapes(theirs) and own_mean.shape == mean.shape


def test_an_up_layer_at_full_width_gives_the_published_values(shared):
    golden = tensors_of(shared / "fixtures/e4s/golden_fullwidth_up_block.safetensors")
    weights = {name.removeprefix("weights."): value.float() for name, value in golden.items()}
    state = {
        "weight": weights["conv.weight"][0],
        "bias": weights["activate.bias"],
        "affine.weight": weights["conv.modulation.weight"],
        "affine.bias": weights["conv.modulation.bias"],
        "noise_strength": weights["noise.weight"].reshape(()),
        "noise_const": weights["in.noise"][0, 0],
        "resample_filter": weights["conv.blur.kernel"] / 4,
    }
    layer = stylegan2.Layer("b32.conv0", "up", 32, 512, 512, 0, 0, 0)
    part = assembled(lambda: stylegan2.SynthesisLayer(layer, 512, None), state)
    styles, labels = part.affine(weights["in.style"]), golden["in.label_u8"][:, 0]
    close(part.finished(rgi.convolved(part, weights["in.x"], styles, labels), "const", None), golden["out"])
