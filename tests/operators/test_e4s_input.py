"""Weights and options of E4S's stages that do not fit are told in one line before any work."""

import pytest
import torch
from pydantic import ValidationError
from tiny_e4s import GENERATOR, tiny_net, write_tiny
from vidswap.operators.e4s import BlendE4S, GenerateE4S, InvertE4S
from vidswap.operators.map_e4s import MapE4S, MapE4SShape

from vidswap.graph.errors import InputError
from vidswap.latents import region_networks
from vidswap.nets import stylegan2


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt"))


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "store"))


def test_missing_weights_are_one_line_with_the_remedy():
    with pytest.raises(InputError, match="vidswap weights add e4s"):
        InvertE4S(InvertE4S.Options()).ready("cpu", {})


def test_networks_that_do_not_fit_each_other_are_one_line(weights, tmp_path):
    sizes = {}
    InvertE4S(InvertE4S.Options(weights=weights)).ready("cpu", sizes)
    assert sizes["vectors"] == (12, 48)
    GenerateE4S(GenerateE4S.Options(weights=weights)).ready("cpu", dict(sizes))
    with pytest.raises(InputError, match="give both stages the same weights"):
        GenerateE4S(GenerateE4S.Options(weights="random:64")).ready("cpu", dict(sizes))


def test_checkpoints_of_another_resolution_or_k_do_not_go_together(weights, tmp_path):
    sizes = {}
    InvertE4S(InvertE4S.Options(weights=weights)).ready("cpu", sizes)
    large = stylegan2.Config((*GENERATOR.channels, 8), w_dim=16, z_dim=16, mapping_layers=2)
    others = write_tiny(tmp_path / "k.pt", rows=5), write_tiny(tmp_path / "large.pt", generator=large)
    for other, told in zip(others, ("64 px with K = 5, .* 64 px and K = 7", "128 px with K = 7"), strict=True):
        with pytest.raises(InputError, match=told):
            GenerateE4S(GenerateE4S.Options(weights=str(other))).ready("cpu", dict(sizes))


@pytest.mark.parametrize("rows", [5, 9])
def test_other_numbers_of_masked_layers_are_read_from_the_file(tmp_path, rows):
    path = write_tiny(tmp_path / "other.pt", rows=rows)
    assert region_networks.load_networks(str(path)).config.rows == rows


def test_an_even_number_of_masked_layers_is_one_line(tmp_path):
    net = tiny_net()
    state, mean = net.state_dict(), net.latent_avg
    from vidswap.nets import rgi_keys

    published, _ = rgi_keys.into_published(state)
    for name in [n for n in published if n.startswith("MLPs") and ".mlp.2." in n]:
        published[name] = published[name][: 6 * GENERATOR.w_dim]
    torch.save({"state_dict": published, "latent_avg": mean}, tmp_path / "even.pt")
    with pytest.raises(InputError, match="6 rows"):
        region_networks.load_networks(str(tmp_path / "even.pt"))


def test_unknown_sizes_of_random_weights_are_one_line():
    with pytest.raises(InputError, match="random:100"):
        region_networks.load_networks("random:100")


@pytest.mark.parametrize(
    ("operator", "options", "told"),
    [
        (InvertE4S, {"precision": "fp16"}, "leave the precision out"),
        (MapE4S, {"regions": "chin"}, "'all' or some of brows"),
        (MapE4SShape, {"rule": "mine"}, "rule"),
        (MapE4S, {"strength_texture": 2}, "less than or equal to 1"),
        (BlendE4S, {"cover": "chin"}, "cover is auto, picture, video, changed or regions, not 'chin'"),
        (BlendE4S, {"mode": "none"}, "mode"),
    ],
)
def test_wrong_options_say_what_there_is(operator, options, told):
    with pytest.raises(ValidationError, match=told):
        operator.Options(**options)
