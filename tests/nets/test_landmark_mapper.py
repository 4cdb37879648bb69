"""The landmark mapper: its shape, found from its keys, and the published values."""

import numpy as np
import pytest
import torch
from golden_nets import filled, keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import landmark_mapper
from vidswap.nets.layers import assembled, seeded
from vidswap.weights.recognition import network_named

FULL = {"widths": [16, 32, 64, 128, 256, 512, 512, 512], "features": 8192, "hidden": 768, "values": 8192}
SMALL = landmark_mapper.Config((4, 6, 6), 36, 10, 16, 8)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_the_shape_is_found_from_the_keys():
    state = landmark_mapper.LandmarkMapper(SMALL).state_dict()
    assert landmark_mapper.config_of(state, w_dim=8, size=36) == SMALL
    # 36 px leave 9 x 9 features, as 37 do: the smallest is taken.
    assert landmark_mapper.config_of(state, w_dim=8) == SMALL
    with pytest.raises(InputError, match="rows of 12"):
        landmark_mapper.config_of(state, w_dim=12)
    with pytest.raises(InputError, match="takes no pictures of 64 px"):
        landmark_mapper.config_of(state, w_dim=8, size=64)
    with pytest.raises(InputError, match=r"landmark_encoder\.0\.weight is missing"):
        landmark_mapper.config_of({})
    del state["landmark_encoder.landmark_encoder.15.weight"]
    with pytest.raises(InputError, match=r"landmark_encoder\.15\.weight is missing"):
        landmark_mapper.config_of(state, w_dim=8)


def test_pictures_become_rows_of_w_plus():
    net = seeded(lambda: landmark_mapper.LandmarkMapper(SMALL), 1)
    x = torch.rand(3, 3, 36, 36)
    codes = net(x)
    assert codes.shape == (3, 16, 8)
    assert largest_gap(net(x[1:2]), codes[1:2]) < 1e-5


# Published values.


def test_full_size_keys_are_the_published_ones(shared):
    theirs = shapes_of(manifest_of(shared / "fixtures/stylegan/manifest_landmark_mapper.json"))
    assert landmark_mapper.config_of(theirs) == landmark_mapper.Config()
    with torch.device("meta"):
        net = landmark_mapper.LandmarkMapper()
    assert keys_and_shapes(net.state_dict()) == keys_and_shapes(theirs)
    assert keys_and_shapes(net.state_dict()) == network_named("landmark-mapper").shapes(FULL)
    assert sum(p.numel() for p in net.parameters()) == 18_890_624


def test_the_difference_of_codes_is_the_published_one(shared):
    folder = shared / "fixtures/stylegan"
    manifest = manifest_of(folder / "manifest_landmark_mapper.json")
    state = filled(manifest, lambda name: torch.zeros([], dtype=torch.int64))
    net = assembled(landmark_mapper.LandmarkMapper, state)
    source, driver = (
        torch.from_numpy((np.random.RandomState(seed).random_sample((2, 3, 580, 580)) > 0.97).astype(np.float32))
        for seed in (71, 72)
    )
    golden = tensors_of(folder / "landmark_mapper_filled.safetensors")["out.delta"]
    assert largest_gap(net(driver - source).flatten(1), golden) <= 1e-3
