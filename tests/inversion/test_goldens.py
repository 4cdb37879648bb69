"""Inversion by optimisation: parity with the official projectors and PTI (shared/fixtures/encoders/latent_ops)."""

import numpy as np
import pytest
import torch
from golden_nets import largest_gap, tensors_of

from vidswap.inversion.codes import noise_left
from vidswap.inversion.losses import noise_regularisation
from vidswap.inversion.optimiser import Schedule
from vidswap.latents import spaces


@pytest.fixture(scope="module")
def golden(shared):
    return tensors_of(shared / "fixtures/encoders/latent_ops.safetensors")


def test_the_learning_rate_rises_and_falls_as_the_projectors(golden):
    schedule = Schedule(steps=450, lr=1.0, ramp_up=0.05, ramp_down=0.25)
    ours = np.array([schedule.rate(step) for step in range(450)])
    assert np.abs(ours - golden["projector.lr_ramp.450"].numpy()).max() < 1e-12


def test_the_noise_on_codes_falls_as_the_projectors(golden):
    ours = np.array([noise_left(step, 450) for step in range(450)])
    assert np.abs(ours - golden["projector.noise_factor.450"].numpy()).max() < 1e-12


def test_noise_maps_are_held_white_as_the_projector_does(golden):
    noise = golden["projector.noise"][None, None]
    theirs = golden["projector.noise_reg"]
    assert abs(noise_regularisation([noise]) - theirs) < 1e-6
    both = noise_regularisation([noise, noise.expand(2, -1, -1, -1)[:1]])
    assert torch.allclose(both, 2 * theirs, atol=1e-6)


def test_codes_near_a_pivot_lie_where_pti_has_them(golden):
    ours = spaces.towards(golden["pti.pivot"], golden["pti.wz"], 30.0)
    assert largest_gap(ours, golden["pti.morphed.alpha30"]) < 2e-5
