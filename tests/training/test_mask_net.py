"""StyleMask's networks learn on a tiny generator; what comes out is weights like any others."""

import pytest
import torch
from torch import nn

from vidswap import weights
from vidswap.graph import InputError
from vidswap.inversion.losses import LossNetworks
from vidswap.nets import stylemask
from vidswap.nets.layers import seeded
from vidswap.training.exporting import export
from vidswap.training.loop import Plan, Run
from vidswap.training.mask_net import MaskNetTask, Options
from vidswap.training.supervision import ModelSupervisor, Structure, colours, shape_model, structure


def task(generator, supervisor=None, networks=None, *, cycle=True, layers=4):
    masks = seeded(lambda: stylemask.MaskNetworks(stylemask.Config.of(generator.config, layers=layers)), 0)
    return MaskNetTask(
        generator,
        masks,
        supervisor or Structure(),
        networks or LossNetworks(),
        Options(cycle=cycle),
        batch_size=4,
        seed=0,
    )


def losses_of(made):
    return next(iter(made.turns(0, made.batch(0)))).losses()


def test_the_loss_falls_and_the_masks_load_like_any_weights(generator, tmp_path):
    made = task(generator)
    run = Run(made, Plan(steps=60, batch=4, lr=0.02, log_every=10), tmp_path / "run", settings={"what": "mask-net"})
    outcome = run.train()
    assert outcome.last["total"] < 0.97 * outcome.first["total"]
    target = tmp_path / "masks.safetensors"
    export(run.exported(), target, licence="mine")
    read = weights.load(target)
    assert read.parts[""].network == "stylemask"
    again = stylemask.MaskNetworks(stylemask.config_of(read.part("")))
    again.load_state_dict(read.part(""))
    difference = torch.randn(2, again.config.width, generator=torch.Generator().manual_seed(1))
    zero = torch.zeros_like(difference)
    with torch.no_grad():
        assert torch.equal(again(difference, zero), made.players["masks"](difference, zero))


def test_structure_does_not_see_exposure_and_colours_do_not_see_place():
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    for ours, theirs in zip(structure(picture), structure(picture * 0.5 + 0.2), strict=True):
        assert float((ours - theirs).abs().mean()) < 0.15 * float(ours.abs().mean())
    assert torch.allclose(colours(picture), colours(picture.flip(3)), atol=1e-5)


class Blobs:
    """A shape model of a kind: the person is a mean colour, the motion where it is bright."""

    def coefficients(self, images):
        small = nn.functional.adaptive_avg_pool2d(images, 8)
        return images.mean((2, 3)), small.mean(1).flatten(1)

    def geometry(self, person, motion):
        points = torch.cat([motion, motion.flip(1), person], 1)
        vertices = torch.stack([points, points.cumsum(1), points.square()], 2)
        return vertices, vertices[:, :68, :2]


def test_a_shape_model_gives_the_papers_terms_and_identity_counts_tenfold(generator):
    arcface = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 112 * 112, 8)), 0)
    losses = losses_of(task(generator, ModelSupervisor(Blobs()), LossNetworks(arcface=arcface)))
    assert set(losses) == {"shape", "eyes", "mouth", "identity", "total"}
    expected = losses["shape"] + losses["eyes"] + losses["mouth"] + 10 * losses["identity"]
    assert torch.allclose(losses["total"], expected)


def test_the_cycle_adds_a_second_picture(generator):
    twice, once = (losses_of(task(generator, cycle=cycle))["structure"].item() for cycle in (True, False))
    assert twice > 1.3 * once


def test_what_cannot_be_had_or_does_not_fit_is_told(generator):
    with pytest.raises(InputError, match="write package.module:callable"):
        shape_model("no.such.module:thing")
    masks = stylemask.MaskNetworks(stylemask.Config((17,)))
    with pytest.raises(InputError, match="do not fit this generator"):
        MaskNetTask(generator, masks, Structure(), LossNetworks(), Options(), batch_size=1, seed=0)
