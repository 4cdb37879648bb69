"""GPEN: the published values at reduced width, the published names, and what is refused."""

import pytest
import torch
from golden_nets import keys_and_shapes, largest_gap, manifest_of, shapes_of, tensors_of

from vidswap.graph.errors import InputError
from vidswap.nets import gpen
from vidswap.nets.layers import assembled, seeded

TINY = gpen.Config((8, 8, 6, 4), style=8, mapping_layers=2)


@pytest.fixture(scope="module")
def net():
    return seeded(lambda: gpen.GPEN(TINY), 1)


def test_the_reduced_network_gives_the_published_picture(shared):
    path = shared / "fixtures/encoders/gpen_small.safetensors"
    state, given = tensors_of(path, "w."), tensors_of(path)
    config = gpen.config_of(state)
    assert (config.resolution, config.style, config.mapping_layers) == (64, 32, 2)
    made = assembled(lambda: gpen.GPEN(config), state)(given["in.x"])
    assert largest_gap(made, given["out.image"]) < 1e-4 * float(given["out.image"].abs().max())


def test_the_keys_at_full_size_are_the_published_ones(shared):
    theirs = shapes_of(manifest_of(shared / "fixtures/encoders/manifest_gpen_512.json"))
    config = gpen.config_of(theirs)
    assert config == gpen.Config()
    with torch.device("meta"):
        ours = gpen.GPEN(config)
    assert keys_and_shapes(ours.state_dict()) == keys_and_shapes(theirs)


def test_the_shape_is_found_from_the_keys_and_what_is_none_is_refused(net):
    state = net.state_dict()
    assert gpen.config_of(state) == TINY
    del state["ecd0.0.0.weight"]
    with pytest.raises(InputError, match="ecd0"):
        gpen.config_of(state)


def test_a_picture_does_not_depend_on_its_company_and_nothing_is_drawn(net):
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = net(images)
    assert made.shape == images.shape
    assert torch.equal(made, net(images))
    assert largest_gap(made[1:2], net(images[1:2])) < 1e-5
    assert largest_gap(made[:1], made[1:2]) > 1e-3
