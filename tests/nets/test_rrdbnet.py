"""RRDBNet: the published names, ESRGAN's equations written out, and what is refused."""

import pytest
import torch
from golden_nets import keys_and_shapes, largest_gap, manifest_of, shapes_of
from torch.nn import functional as F

from vidswap.graph.errors import InputError
from vidswap.nets import rrdbnet
from vidswap.nets.layers import seeded

TINY = rrdbnet.Config(6, 2, 4)


@pytest.fixture(scope="module")
def net():
    return seeded(lambda: rrdbnet.RRDBNet(TINY), 1)


def test_the_keys_at_full_size_are_the_published_ones(shared):
    theirs = shapes_of(manifest_of(shared / "fixtures/e4s/manifest_realesrnet_x4.json"))
    config = rrdbnet.config_of(theirs)
    assert config == rrdbnet.Config(32, 23, 32)
    with torch.device("meta"):
        ours = rrdbnet.RRDBNet(config)
    assert keys_and_shapes(ours.state_dict()) == keys_and_shapes(theirs)


def test_it_is_the_network_of_the_paper(net):
    state = net.state_dict()

    def conv(name, x):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    def dense(name, x):
        one = leaky(conv(f"{name}.conv1", x))
        two = leaky(conv(f"{name}.conv2", torch.cat((x, one), 1)))
        three = leaky(conv(f"{name}.conv3", torch.cat((x, one, two), 1)))
        four = leaky(conv(f"{name}.conv4", torch.cat((x, one, two, three), 1)))
        return 0.2 * conv(f"{name}.conv5", torch.cat((x, one, two, three, four), 1)) + x

    image = torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    first = x = conv("conv_first", image)
    for block in range(TINY.blocks):
        inner = x
        for part in (1, 2, 3):
            inner = dense(f"body.{block}.rdb{part}", inner)
        x = 0.2 * inner + x
    x = conv("conv_body", x) + first
    for name in ("conv_up1", "conv_up2"):
        x = leaky(conv(name, x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    expected = conv("conv_last", leaky(conv("conv_hr", x)))
    assert expected.shape == (2, 3, 36, 48)
    assert largest_gap(net(image), expected) < 1e-6


def test_the_shape_is_found_from_the_keys_and_what_is_none_is_refused(net):
    state = net.state_dict()
    assert rrdbnet.config_of(state) == TINY
    with pytest.raises(InputError, match="four times"):
        rrdbnet.config_of({**state, "conv_first.weight": torch.zeros(6, 12, 3, 3)})
    del state["conv_up2.weight"]
    with pytest.raises(InputError, match="conv_up2"):
        rrdbnet.config_of(state)
