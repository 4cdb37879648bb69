"""StyleGAN2's discriminator: the released names and shapes, and what it sees."""

import pytest
import torch
from golden_nets import manifest_of, shapes_of

from vidswap.graph import InputError
from vidswap.nets import discriminator
from vidswap.nets.layers import seeded


def test_names_and_shapes_are_the_released_ones(shared):
    keys = shapes_of(manifest_of(shared / "fixtures" / "e4s" / "manifest_e4s_discriminator_1024.json"))
    config = discriminator.config_of(keys)
    assert config.channels == (512, 512, 512, 512, 512, 256, 128, 64, 32)
    with torch.device("meta"):
        net = discriminator.Discriminator(config)
    assert {n: tuple(t.shape) for n, t in net.state_dict().items()} == {n: tuple(t.shape) for n, t in keys.items()}


def test_it_learns_to_tell_bright_from_dark():
    net = seeded(lambda: discriminator.Discriminator(discriminator.Config((8, 8, 8))), 0).requires_grad_(True)
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    random = torch.Generator().manual_seed(0)
    first = last = None
    for _ in range(20):
        real, made = torch.rand(4, 3, 16, 16, generator=random), -torch.rand(4, 3, 16, 16, generator=random)
        loss = discriminator.told_apart(net(real), net(made))
        adam.zero_grad()
        loss.backward()
        adam.step()
        first, last = first if first is not None else loss.item(), loss.item()
    assert last < 0.3 * first
    assert discriminator.judged_real(net(real)) < discriminator.judged_real(net(made))


def test_pictures_of_one_batch_are_seen_together():
    net = seeded(lambda: discriminator.Discriminator(discriminator.Config((8, 8))), 0)
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    equal = net(pictures[:1].expand(2, -1, -1, -1))
    assert torch.allclose(equal[0], equal[1])
    assert not torch.allclose(net(pictures)[:1], equal[:1])
    assert net(pictures[:1]).shape == (1, 1)


def test_other_tensors_are_refused():
    with pytest.raises(InputError, match="not a StyleGAN2 discriminator"):
        discriminator.config_of({"convs.0.0.weight": torch.zeros(1)})
