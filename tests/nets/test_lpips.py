"""LPIPS: a distance, and the published one."""

import json

import pytest
import torch
from golden_nets import filled, largest_gap, manifest_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import lpips
from vidswap.nets.layers import assembled, seeded


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("trunk", ["alex", "vgg", "squeeze"])
def test_equal_images_are_at_no_distance(trunk):
    net = seeded(lambda: lpips.LPIPS(lpips.Config(trunk)), 1)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert net(images, images).tolist() == [0, 0]
    assert lpips.config_of(net.state_dict()) == lpips.Config(trunk)


def test_what_is_no_metric_is_refused_by_name():
    state = seeded(lambda: lpips.LPIPS(lpips.Config("alex")), 1).state_dict()
    with pytest.raises(InputError, match=r"net\.slice1\.0\.weight"):
        lpips.config_of({})
    with pytest.raises(InputError, match="another trunk"):
        lpips.config_of({**state, "net.slice1.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(InputError, match=r"features\.0\.weight is missing"):
        lpips.from_torchvision({}, {}, "alex")


@pytest.mark.parametrize("trunk", ["alex", "vgg", "squeeze"])
def test_distances_are_the_published_ones(shared, trunk):
    folder = shared / "fixtures/encoders"
    golden = tensors_of(folder / "lpips_filled.safetensors")
    path = folder / f"manifest_lpips_{trunk}.json"
    features = filled(manifest_of(path), None)
    linear = tensors_of(folder / "lpips_lin_v0.1.safetensors", f"{trunk}.")
    state = lpips.from_torchvision(features, linear, trunk)
    of_psp = {name.replace("lin", "").replace(".model", ""): value for name, value in linear.items()}
    assert lpips.from_torchvision(features, of_psp, trunk).keys() == state.keys()
    slices = json.loads(path.read_text())["slice_key_map"]
    assert {name for name in state if name.startswith("net.")} == set(slices)
    assert all(state[name] is features[theirs] for name, theirs in slices.items())

    net = assembled(lambda: lpips.LPIPS(lpips.config_of(state)), state)
    for i, found in enumerate(net.features(golden["in.x0"])):
        theirs = golden[f"tap.{trunk}.feat{i}.mean_hw"]
        assert largest_gap(found.mean(dim=(2, 3)), theirs) <= 2e-5 * max(1, float(theirs.abs().max()))
    for i, layer in enumerate(net.layers(golden["in.x0"], golden["in.x1"])):
        assert largest_gap(layer.mean(dim=(1, 2, 3)), golden[f"out.{trunk}.layer{i}"]) <= 2e-6
    assert largest_gap(net(golden["in.x0"], golden["in.x1"]), golden[f"out.{trunk}"]) <= 5e-6
    assert largest_gap(net.spatial(golden["in.x0"], golden["in.x1"]), golden[f"out.{trunk}.spatial"]) <= 2e-5
