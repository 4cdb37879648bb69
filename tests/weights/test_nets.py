"""What the store says is whole, the networks take: tables of shapes and networks agree, and goldens go all the way."""

import pytest
import torch
from safetensors.torch import load_file
from weights_files import filled

from vidswap.nets import bisenet, encoders, ir_se50, lpips, stylegan2, stylegan3
from vidswap.nets.layers import assembled
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
