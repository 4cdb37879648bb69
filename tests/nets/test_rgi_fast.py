"""The fast masked generator gives what one pass per region gives: any masks, any K, absent regions, any batch."""

import dataclasses

import numpy as np
import pytest
import torch
from golden_nets import filled, largest_gap, manifest_of, tensors_of
from torch.utils.flop_counter import FlopCounterMode

from vidswap.graph.errors import InputError
from vidswap.nets import rgi, rgi_borders, rgi_fast, rgi_keys, stylegan2
from vidswap.nets.layers import seeded
from vidswap.nets.rgi_fast import FastRegionSynthesis, Masks
from vidswap.nets.stylegan2_fast import relative_rms

REGIONS = 5


def config_of(rows, channels=(16, 16, 12, 12, 8)):
    return rgi.Config(stylegan2.Config(channels, w_dim=32, z_dim=32, mapping_layers=2), rows=rows, regions=REGIONS)


def net_of(rows=7, **more):
    net = seeded(lambda: rgi.RegionSynthesis(config_of(rows, **more)), rows)
    for layer in net.config.layers:
        if layer.kind != "rgb":
            net.get_parameter(f"{layer.name}.noise_strength").fill_(0.3)
    return net


def codes_of(count, rows=10, seed=0):
    return torch.randn(count, REGIONS, rows, 32, generator=torch.Generator().manual_seed(seed))


def blocky(seed, side, block, regions):
    """A random label map of square blocks that uses `regions` alone."""
    drawn = np.random.default_rng(seed).choice(regions, (side // block, side // block))
    return torch.from_numpy(drawn.repeat(block, 0).repeat(block, 1))


def maps(seed):
    """Four label maps: noise, blocks, one with absent regions, a single region."""
    everything = list(range(REGIONS))
    parts = [(1, everything), (8, everything), (4, [1, 3]), (64, [seed % REGIONS])]
    return torch.stack([blocky(seed + i, 64, block, regions) for i, (block, regions) in enumerate(parts)])


def relative(ours, theirs):
    return largest_gap(ours, theirs) / float(theirs.abs().max())


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def net():
    return net_of()


@pytest.fixture(scope="module")
def fast(net):
    return FastRegionSynthesis(net)


@pytest.mark.parametrize("rows", [1, 3, 5, 7, 9, 10])
@pytest.mark.parametrize("together", [False, True])
def test_it_gives_what_one_pass_per_region_gives(rows, together):
    net = net_of(rows)
    codes, labels = codes_of(4, seed=rows), maps(rows)
    assert relative(FastRegionSynthesis(net, together=together)(codes, labels), net(codes, labels)) < 1e-5


@pytest.mark.parametrize("seed", range(8))
def test_random_masks_of_any_grain_and_size_do(net, fast, seed):
    random = np.random.default_rng(seed)
    side, block = int(random.choice([16, 32, 128])), int(random.choice([1, 2, 4, 16]))
    regions = random.choice(REGIONS, random.integers(1, REGIONS + 1), replace=False)
    labels = blocky(seed, side, block, regions)[None].to(torch.uint8)
    codes = codes_of(1, seed=seed)
    assert relative(fast(codes, labels), net(codes, labels)) < 1e-5


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("together", "pairs"), [(False, False), (False, True), (True, False)])
def test_every_layer_may_be_gathered_whole_or_put_right_by_spots_or_pairs(net, dense, together, pairs):
    codes, labels = codes_of(4), maps(3)
    if together:
        parts = (rgi_borders.borders_of(labels, net.regional, dense=dense),)
    else:
        parts = tuple(rgi_borders.borders_of(each[None], net.regional, dense=dense, pairs=pairs) for each in labels)
    for name, layer in ((name, layer) for part in parts for name, layer in part.layers.items()):
        if not name.endswith("torgb"):
            assert layer.is_dense == dense and bool(layer.pairs) == (pairs and not dense)
    made = FastRegionSynthesis(net, together=together)(codes, Masks(labels, parts))
    assert relative(made, net(codes, labels)) < 1e-5


def test_what_costs_least_is_chosen_layer_by_layer(net):
    for pairs in (False, True):
        drawn = blocky(1, 64, 1, range(REGIONS)), blocky(1, 64, 16, range(REGIONS)), blocky(1, 64, 64, [2])
        noise, blocks, single = (rgi_borders.borders_of(each[None], net.regional, pairs=pairs) for each in drawn)
        assert noise.layers["b32.conv1"].is_dense and noise.layers["b32.conv0"].is_dense
        assert all(layer.count == 0 and not layer.is_dense for layer in single.layers.values())
        assert blocks.layers["b4.conv1"].is_dense and not blocks.layers["b32.conv1"].is_dense
        assert {name for name in blocks.layers if name.endswith("torgb")} == {"b4.torgb", "b8.torgb", "b16.torgb"}
        assert bool(blocks.layers["b32.conv0"].pairs) == pairs


def test_pairs_are_taps_that_read_another_region(net):
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[0, :, 16:] = 2
    (pairs,) = rgi_borders.borders_of(labels, net.regional, pairs=True).layers["b32.conv1"].pairs
    # Across the border three taps of two pixels in every row, but the corners' two.
    assert len(pairs) == 2 * (3 * 32 - 2) == pairs.ends[-1]
    counts = [end - begin for begin, end in zip((0, *pairs.ends), pairs.ends, strict=False)]
    assert counts == [31, 0, 31, 32, 0, 32, 31, 0, 31]
    assert set((pairs.centres - pairs.inputs).abs().tolist()) == {1, 31, 33}
    assert sorted(set(pairs.kinds.tolist())) == [0 * REGIONS + 2, 2 * REGIONS + 0]


def test_spots_are_the_pixels_that_read_another_region(net):
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[0, :, 16:] = 2
    borders = rgi_borders.borders_of(labels, net.regional, dense=False)
    (spots,) = borders.layers["b32.conv1"].spots
    assert sorted(set((spots.centres % 32).tolist())) == [15, 16] and len(spots) == 64
    phases = borders.layers["b32.conv0"].spots
    columns = [sorted(set((each.centres % 32).tolist())) for each in phases]
    assert columns == [[14, 16], [15, 17], [14, 16], [15, 17]]
    assert [len(each) for each in phases] == [32] * 4


def test_the_number_of_regions_costs_nothing_and_masks_less_than_one_pass_each():
    labels = blocky(1, 64, 16, range(REGIONS))[None]

    def operations(run):
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops()

    def of_styles(regions):  # styles and demodulation alone are worked out for each region
        masked = [layer for layer in few.config.layers if few.regional.is_masked(layer)]
        outputs = [0 if layer.kind == "rgb" else layer.out_channels for layer in masked]
        return sum(2 * regions * each.in_channels * (32 + out) for each, out in zip(masked, outputs, strict=True))

    few = net_of(9)
    many = seeded(lambda: rgi.RegionSynthesis(dataclasses.replace(config_of(9), regions=40)), 1)
    codes = torch.randn(1, 40, 10, 32)
    cost = operations(lambda: FastRegionSynthesis(few)(codes[:, :REGIONS], labels)) - of_styles(REGIONS)
    assert operations(lambda: FastRegionSynthesis(many)(codes, labels)) - of_styles(40) == cost
    assert 2 * cost < operations(lambda: few(codes[:, :REGIONS], labels))


@pytest.mark.parametrize("level", [0, 2, 9])
def test_room_for_spots_is_filled_without_a_trace(net, level):
    """What CUDA graphs need: equal shapes for unequal masks."""
    together = FastRegionSynthesis(net, together=True)
    codes, labels = codes_of(2), torch.stack([blocky(i, 64, 32, [0, 1, 2]) for i in (3, 4)])
    borders = rgi_borders.borders_of(labels, net.regional, level=level)
    assert borders.level >= level
    made = together(codes, Masks(labels, (borders,)))
    assert relative(made, net(codes, labels)) < 1e-5
    other = rgi_borders.borders_of(labels.transpose(1, 2), net.regional, level=borders.level)
    assert other.level == borders.level
    assert [each.shape for each in other.tensors()] == [each.shape for each in borders.tensors()]
    static = borders.copied()
    for given, each in zip(static.tensors(), other.tensors(), strict=True):
        given.copy_(each)
    again = together(codes, Masks(labels.transpose(1, 2), (static,)))
    assert relative(again, net(codes, labels.transpose(1, 2))) < 1e-5


@pytest.mark.parametrize("strip_bytes", [1, 3000])
def test_cuts_into_strips_and_pieces_do_not_show(net, fast, strip_bytes, monkeypatch):
    codes, labels = codes_of(2), maps(2)[:2]
    whole = fast(codes, labels)
    monkeypatch.setattr(rgi_fast, "_STRIP_BYTES", strip_bytes)
    monkeypatch.setattr(rgi_fast, "_GATHERED_BYTES", 20000)
    assert relative(fast(codes, labels), whole) < 1e-6


def test_a_frame_does_not_depend_on_its_batch(fast):
    codes, labels = codes_of(4), maps(4)
    batch = fast(codes, labels)
    for i in range(4):
        assert torch.equal(fast(codes[i : i + 1], labels[i : i + 1]), batch[i : i + 1])
    assert torch.equal(fast(codes.flip(0), labels.flip(0)), batch.flip(0))


def test_equal_label_maps_share_their_borders(fast):
    labels = maps(5)
    masks = fast.masks(labels[[0, 1, 0]])
    assert masks.parts[0] is masks.parts[2] is not masks.parts[1]
    later = fast.masks(labels[[1, 2]], known=masks)
    assert later.parts[0] is masks.parts[1] and len(later) == 2
    codes = codes_of(2)
    assert torch.equal(fast(codes, later), fast(codes, labels[[1, 2]]))
    together = FastRegionSynthesis(net_of(), together=True)
    masks = together.masks(labels)
    assert together.masks(labels.to(torch.uint8), known=masks) is masks
    assert together.masks(labels.flip(0), known=masks) is not masks


def test_codes_and_masks_are_left_as_they_were(fast):
    codes, labels = codes_of(2), maps(6)[:2]
    before = codes.clone(), labels.clone()
    masks = fast.masks(labels)
    first = fast(codes, masks)
    assert torch.equal(first, fast(codes, masks))
    assert torch.equal(codes, before[0]) and torch.equal(labels, before[1])


def test_blocks_in_strips_follow_masked_ones():
    net = net_of(5, channels=(16, 16, 16, 12, 8, 8))  # 128 px: the last block goes in strips
    codes, labels = codes_of(2, 12), maps(7)[:2]
    assert relative(FastRegionSynthesis(net)(codes, labels), net(codes, labels)) < 1e-5


def test_noise_can_be_left_out(net):
    codes, labels = codes_of(2), maps(8)[:2]
    assert relative(FastRegionSynthesis(net, noise="none")(codes, labels), net(codes, labels, noise="none")) < 1e-5


@pytest.mark.parametrize(("precision", "bound"), [("float16", 3e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("together", [False, True])
def test_half_precision_stays_near_float32(net, precision, bound, together):
    codes, labels = codes_of(4), maps(9)
    made = FastRegionSynthesis(net, precision=precision, together=together)(codes, labels)
    assert 0 < relative_rms(made, net(codes, labels)) < bound


def test_the_self_check_chooses_what_agrees(net):
    codes, labels = codes_of(1), maps(9)[:1]
    fast, error = rgi_fast.fastest_exact_enough(net, codes, labels)
    assert (fast.precision, fast.half_from) == ("float16", 8) and 0 < error <= 3e-3
    fast, error = rgi_fast.fastest_exact_enough(net, codes, labels, bound=1e-9)
    assert fast.precision == "float32" and error == 0


def test_what_does_not_fit_is_told_in_one_line(fast):
    codes, labels = codes_of(2), maps(1)[:2]
    for given, masks, said in (
        (codes[:, :4], labels, r"codes are \(N, 5, 10, 32\), not \(2, 4, 10, 32\)"),
        (codes, labels[:1], "1 label maps for 2 images"),
        (codes[:1], fast.masks(labels), "2 label maps for 1 images"),
        (codes, labels + 3, r"has the value 7; regions are 0\.\.4"),
        (codes, labels.float(), "label maps are integers"),
    ):
        with pytest.raises(InputError, match=said):
            fast(given, masks)


# Published values at full size.


def test_the_full_network_gives_the_published_values(shared):
    def kept(name):
        return stylegan2.filter_taps() * 4

    folder = shared / "fixtures/e4s"
    golden = tensors_of(folder / "golden_full_net_filled.safetensors")
    manifest = manifest_of(folder / "manifest_e4s_net_1024.json")
    mean = filled({"latent_avg": manifest.pop("latent_avg")}, kept)["latent_avg"]
    net = rgi_keys.network_of(filled(manifest, kept), mean)
    image = golden["in.image_u8_512"].repeat_interleave(2, 2).repeat_interleave(2, 3) / 255 * 2 - 1
    labels = golden["in.label_u8_512"][:, 0]
    vectors = net.vectors(image, labels)
    assert relative(vectors, golden["out.style_vectors"]) <= 1e-4
    codes = net.codes(vectors)
    assert relative(codes, golden["out.style_codes"]) <= 1e-4
    results = {}
    made = FastRegionSynthesis(net.G.synthesis)(codes, labels, kept=results)
    for theirs, ours in {
        "conv1": "b4.conv1", "convs.1": "b8.conv1", "convs.3": "b16.conv1", "to_rgb1": "b4.torgb",
        "to_rgbs.1": "b16.torgb", "to_rgbs.3": "b64.torgb", "to_rgbs.4": "b128.torgb",
        "to_rgbs.5_stride2": "b256.torgb",
    }.items():  # fmt: skip
        value = results[ours][:, :, ::2, ::2] if theirs.endswith("stride2") else results[ours]
        assert relative(value, golden[f"out.G.{theirs}"]) <= 1e-4
    assert relative(made[:, :, ::8, ::8], golden["out.image_stride8"]) <= 1e-4
    assert relative(made[:, :, 384:640, 384:640], golden["out.image_crop_384_640"]) <= 1e-4
