"""What the store says is whole, the networks take: tables of shapes and networks agree, and goldens go all the way."""

import pytest
import torch
from safetensors.torch import load_file
from weights_files import filled

from vidswap.nets import (
    bisenet,
    encoders,
    ir_se50,
    landmark_mapper,
    lpips,
    rgi,
    rgi_keys,
    stylegan2,
    stylegan3,
    stylemask,
)
from vidswap.nets.layers import assembled, seeded
from vidswap.weights import load, store
from vidswap.weights.recognition import network_named


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    with torch.no_grad():
        yield


GOLDENS = {
    "sg2_tiny_proto3": (stylegan2, 1e-4),
    "sg2_tiny_proto4": (stylegan2, 1e-4),
    "sg3t_tiny_proto4": (stylegan3, 2e-5),
    "sg3r_tiny_proto3": (stylegan3, 2e-5),
}


@pytest.mark.parametrize("golden", sorted(GOLDENS))
def test_a_network_pickle_goes_through_the_store_to_the_golden_image(golden, shared):
    family, gap = GOLDENS[golden]
    folder = shared / "fixtures" / "stylegan"
    store.add("golden", folder / f"nvlabs_{golden}.pkl")
    state = load("golden").part("")
    net = assembled(lambda: family.Generator(family.config_of(state)), state)
    wanted = load_file(folder / f"nvlabs_{golden}_expected.safetensors")
    w = net.mapping(wanted["in.z"])
    assert (w - wanted["out.w"][:, 0]).abs().max() <= 2e-5
    assert (net.synthesis(wanted["out.w"]) - wanted["out.image"]).abs().max() <= gap


@pytest.mark.parametrize(
    ("network", "config", "make"),
    [
        (
            "gradual-encoder",
            {"rows": 9, "inputs": 3},
            lambda: encoders.GradualStyleEncoder(encoders.Config("pyramid", 9)),
        ),
        ("gradual-encoder", {"rows": 9, "inputs": 3}, lambda: encoders.Encoder4Editing(encoders.Config("pyramid", 9))),
        (
            "backbone-encoder",
            {"rows": 4, "inputs": 6},
            lambda: encoders.BackboneEncoder(encoders.Config("backbone", 4, 6)),
        ),
        (
            "backbone-encoder",
            {"rows": 4, "inputs": 6},
            lambda: encoders.ProgressiveEncoder(encoders.Config("backbone", 4, 6)),
        ),
        ("w-encoder", {"inputs": 3}, lambda: encoders.WEncoder(encoders.Config("w", 1))),
        ("pooled-encoder", {"rows": 2, "inputs": 3}, lambda: encoders.WPlusEncoder(encoders.Config("wplus", 2))),
        ("ir-se50", {}, ir_se50.ArcFace),
        ("bisenet", {"classes": 19}, bisenet.BiSeNet),
        ("stylemask", {"widths": [8, 4]}, lambda: stylemask.MaskNetworks(stylemask.Config((8, 4)))),
        (
            "landmark-mapper",
            {"widths": [4, 6], "features": 384, "hidden": 5, "values": 32},
            lambda: landmark_mapper.LandmarkMapper(landmark_mapper.Config((4, 6), 16, 5, 4, 8)),
        ),
    ],
)
def test_networks_have_the_names_and_shapes_that_files_are_held_against(network, config, make):
    with torch.device("meta"):
        net = make()
    assert {name: tuple(t.shape) for name, t in net.state_dict().items()} == network_named(network).shapes(config)


def test_old_files_without_counters_of_batches_are_taken(tmp_path):
    state = filled(network_named("ir-se50").shapes({}))
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "model_ir_se50.pth", _use_new_zipfile_serialization=False)
    store.add("ir-se50", tmp_path / "model_ir_se50.pth")
    net = assembled(ir_se50.ArcFace, load("ir-se50").part(""))
    assert torch.equal(net.state_dict()["body.7.res_layer.1.weight"], state["body.7.res_layer.1.weight"])


def test_a_trunk_and_linear_layers_make_a_metric(tmp_path):
    trunk = {**filled(network_named("alexnet").shapes({})), "classifier.1.bias": torch.zeros(4096)}
    linear = filled(network_named("lpips-linear").shapes({"trunk": "alex"}))
    for name, table in (("alexnet", trunk), ("lpips-alex", linear)):
        torch.save(table, tmp_path / "w.pth")
        store.add(name, tmp_path / "w.pth")
    state = lpips.from_torchvision(load("alexnet").part(""), load("lpips-alex").part(""), "alex")
    assert lpips.config_of(state) == lpips.Config("alex")


def test_networks_of_reenactment_go_through_the_store(tmp_path):
    masks = filled(network_named("stylemask").shapes({"widths": [8, 4]}))
    torch.save({"step": 7, "mask_net": masks, "num_layers_control": 2}, tmp_path / "mask_network.pt")
    store.add("masks", tmp_path / "mask_network.pt")
    state = load("masks", needs={"": {"network": "stylemask"}}).part("")
    net = assembled(lambda: stylemask.MaskNetworks(stylemask.config_of(state)), state)
    assert torch.equal(net.network_01.masknet[2].bias, masks["network_01.masknet.2.bias"])
    config = {"widths": [4, 6], "features": 384, "hidden": 5, "values": 32}
    torch.save(filled(network_named("landmark-mapper").shapes(config)), tmp_path / "mapper.pth")
    store.add("mapper", tmp_path / "mapper.pth")
    state = load("mapper", needs={"": {"network": "landmark-mapper"}}).part("")
    config = landmark_mapper.config_of(state, w_dim=8)
    assert config == landmark_mapper.Config((4, 6), 16, 5, 4, 8)
    assert assembled(lambda: landmark_mapper.LandmarkMapper(config), state)(torch.rand(2, 3, 16, 16)).shape == (2, 4, 8)


@pytest.mark.parametrize("is_ema", [None, True, False])
def test_a_training_file_of_e4s_goes_through_the_store(tmp_path, is_ema):
    shape = stylegan2.Config((8, 8, 8), w_dim=16, z_dim=16, mapping_layers=2)
    config = rgi.Config(shape, rows=3, regions=4, encoder_widths=(8, 16, 16, 16, 16))
    nets = [seeded(lambda: rgi.RGI(config), seed) for seed in (1, 2)]
    raw, averaged = (rgi_keys.into_published(net.state_dict())[0] for net in nets)
    mean = torch.randn(6, 16)
    table = {
        "state_dict": {f"module.{name}": tensor for name, tensor in raw.items()},
        "state_dict_ema": averaged,
        "latent_avg": mean,
        "D_state_dict": {"module.final.weight": torch.zeros(3)},
        "opts": {"max_steps": 300000},
    }
    torch.save(table, tmp_path / "iteration_300000.pt")
    store.add("own-e4s", tmp_path / "iteration_300000.pt", is_ema=is_ema)
    checkpoint = load("own-e4s", needs={"": {"network": "e4s", "rows": 3}})
    net = rgi_keys.network_of(checkpoint.part(""), checkpoint.latent_avg)
    assert net.config == config and torch.equal(net.latent_avg, mean)
    wanted = nets[1 if is_ema else 0].encoder.body[4].res_layer[1].weight
    assert torch.equal(net.encoder.body[4].res_layer[1].weight, wanted)
