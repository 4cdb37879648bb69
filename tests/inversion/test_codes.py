"""Inversion by optimisation: what it reaches, and that no picture knows of another or of an interruption."""

import numpy as np
import pytest
import torch

from vidswap.graph import InputError
from vidswap.inversion import codes, keeping
from vidswap.inversion.losses import ImageLoss, LossNetworks
from vidswap.inversion.optimiser import Rows, Schedule, minimise
from vidswap.nets import lpips, stylegan3
from vidswap.nets.layers import seeded

MSE = ImageLoss({"mse": 1.0}, LossNetworks())


def quick(**changed):
    space = changed.pop("space", "w")
    extra = {name: changed.pop(name) for name in ("delta", "noise", "latent_noise", "seed") if name in changed}
    return codes.Settings(space=space, schedule=Schedule(**{"steps": 60, "lr": 0.05, **changed}), **extra)


def inverted(generator, images, settings, loss=MSE, **more):
    spread = codes.spread_of(generator)
    rows = codes.starting(generator, settings, len(images), spread, more.pop("start", None))
    return codes.invert(generator, loss, images, settings, rows, spread, **more)


def test_a_picture_of_the_generator_is_found_again(generator, pictures):
    found = inverted(generator, pictures[:1], quick(steps=250))[0]
    assert found.loss < 0.02 * found.first_loss
    assert found.wplus.shape == (generator.config.num_ws, 16)
    assert (found.wplus == found.wplus[:1]).all()


def test_wplus_has_rows_of_its_own_and_the_delta_term_holds_them_together(generator, pictures):
    free = inverted(generator, pictures[:1], quick(space="wplus", delta=0.0))[0].wplus
    held = inverted(generator, pictures[:1], quick(space="wplus", delta=1.0))[0].wplus
    assert (held - held[:1]).norm() < 0.2 * (free - free[:1]).norm()


def test_the_batch_does_not_change_a_picture(generator, pictures):
    settings = quick(space="wplus", latent_noise=1.0)
    together = inverted(generator, pictures, settings)
    for picture, beside in zip(pictures, together, strict=True):
        alone = inverted(generator, picture[None], settings)[0]
        assert float((alone.wplus - beside.wplus).abs().max()) < 1e-3


def test_a_row_that_makes_no_progress_ends_and_the_others_go_on(generator, pictures):
    spread = codes.spread_of(generator)
    with torch.no_grad():
        best = generator.synthesis(spread.mean.expand(1, generator.config.num_ws, -1))
    settings = quick(patience=5)
    both = inverted(generator, torch.cat([best, pictures[:1]]), settings)
    assert both[0].steps == 1 + 5
    assert both[1].steps > 20


def test_a_run_that_goes_on_gives_the_same_bits(generator, pictures):
    settings = quick(space="wplus", noise=1.0, latent_noise=1.0)
    spread = codes.spread_of(generator)
    kept = []
    whole = codes.invert(
        generator,
        MSE,
        pictures[:1],
        settings,
        codes.starting(generator, settings, 1, spread),
        spread,
        keep=lambda rows: kept.append(rows.tensors(0)),
        keep_every=20,
    )[0]
    gone_on = codes.invert(generator, MSE, pictures[:1], settings, Rows.of_tensors(kept[:1]), spread)[0]
    assert torch.equal(whole.wplus, gone_on.wplus)
    assert all(torch.equal(whole.noise[name], gone_on.noise[name]) for name in whole.noise)


def test_noise_maps_stay_white(generator, pictures):
    found = inverted(generator, pictures[:1], quick(noise=1e5))[0]
    assert set(found.noise) == {layer.name for layer in generator.config.layers if layer.kind != "rgb"}
    for noise in found.noise.values():
        assert abs(float(noise.mean())) < 1e-5
        assert float(noise.square().mean()) == pytest.approx(1, abs=1e-4)


def test_an_encoders_code_is_a_start(generator, pictures):
    near = inverted(generator, pictures[:1], quick(steps=100))[0]
    again = inverted(generator, pictures[:1], quick(steps=1), start=near.wplus[None])[0]
    assert again.first_loss == pytest.approx(near.loss, rel=1e-4)


def test_stylegan3_is_inverted_too():
    config = stylegan3.Config(16, (8,) * 15, z_dim=8, w_dim=8)
    generator = seeded(lambda: stylegan3.Generator(config), 1)
    with torch.no_grad():
        w = generator.mapping(torch.randn(1, 8, generator=torch.Generator().manual_seed(2)))
        picture = generator.synthesis(w[:, None].expand(-1, config.num_ws, -1))
    found = inverted(generator, picture, quick(steps=4))[0]
    assert found.loss < found.first_loss
    with pytest.raises(InputError, match="noise maps are a matter of StyleGAN2"):
        inverted(generator, picture, quick(noise=1.0))


def test_lpips_and_identity_pull_as_well(generator, pictures):
    networks = LossNetworks(
        lpips=seeded(lambda: lpips.LPIPS(lpips.Config("alex")), 0),
        arcface=seeded(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 112 * 112, 8)), 0),
    )
    loss = ImageLoss({"mse": 0.1, "lpips": 1.5, "identity": 0.05}, networks)
    target = loss.target(pictures[:2])
    terms = loss(pictures[:2].roll(1, 0), target)
    total = 0.1 * terms["mse"] + 1.5 * terms["lpips"] + 0.05 * terms["identity"]
    assert torch.allclose(terms["total"], total)
    assert float(terms["lpips"].abs().min()) > 0
    assert all(float(value.abs().max()) < 1e-5 for value in loss(pictures[:2], target).values())


def test_codes_and_pictures_that_do_not_fit_are_told(generator, pictures):
    with pytest.raises(InputError, match=r"codes of shape \(3, 16\) do not fit a generator of 8 rows of 16"):
        inverted(generator, pictures[:1], quick(), start=torch.zeros(1, 3, 16))
    with pytest.raises(InputError, match="pictures of 32x32 cannot be held against targets of 16x16"):
        inverted(generator, pictures[:1, :, :16, :16], quick())
    with pytest.raises(InputError, match="the loss lpips has a weight but no network"):
        ImageLoss({"lpips": 1.0}, LossNetworks())
    with pytest.raises(InputError, match="no loss is left"):
        ImageLoss({"mse": 0.0}, LossNetworks())


def test_the_rate_rises_and_falls_as_the_projectors():
    schedule = Schedule(steps=100, lr=0.1, ramp_up=0.05, ramp_down=0.25)
    assert schedule.rate(0) == 0
    assert schedule.rate(5) == schedule.rate(75) == pytest.approx(0.1)
    assert schedule.rate(87) < 0.06


def test_steps_are_those_of_torchs_adam():
    start = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    goal = torch.ones(2, 7)
    state = Rows.starting({"x": start})
    minimise(state, lambda v, i, s: (v["x"] - goal[i]).square().sum(1), Schedule(steps=20, lr=0.1))
    theirs = start.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.1)
    for _ in range(20):
        adam.zero_grad()
        (theirs - goal).square().sum().backward()
        adam.step()
    assert torch.allclose(state.values["x"], theirs, atol=1e-6)


class Interrupted(Exception):
    """Ctrl-C, as it were."""


def test_what_is_kept_is_gone_on_with_and_what_is_done_is_not_done_again(generator, pictures, tmp_path):
    settings, spread = quick(space="wplus"), codes.spread_of(generator)
    keeper = keeping.Keeper(tmp_path / "kept")
    keys = [keeping.key_of({"steps": 60}, [picture.numpy()]) for picture in pictures]
    runs = []

    def solve(stop_after=None):
        def run(group, rows, keep):
            runs.append((group, list(rows.steps)))

            def noting(state):
                keep(state)
                if stop_after is not None and state.steps[0] >= stop_after and group == [1]:
                    raise Interrupted

            noting = noting if keep else None
            made = codes.invert(generator, MSE, pictures[group], settings, rows, spread, keep=noting, keep_every=20)
            return [{"wplus": found.wplus} for found in made]

        return run

    def begin(group):
        return codes.starting(generator, settings, len(group), spread)

    with pytest.raises(Interrupted):
        keeping.results(keys, keeper, begin, solve(stop_after=40), at_once=1)
    assert runs == [([0], [0]), ([1], [0])]
    runs.clear()
    gone_on = keeping.results(keys, keeper, begin, solve(), at_once=1)
    assert runs == [([1], [40]), ([2], [0])]
    whole = keeping.results(keys, None, begin, solve(), at_once=1)
    assert all(torch.equal(a["wplus"], b["wplus"]) for a, b in zip(gone_on, whole, strict=True))
    assert not list((tmp_path / "kept").glob("*.part*"))


def test_equal_pictures_are_inverted_once(generator, pictures):
    runs = []

    def run(group, rows, keep):
        runs.append(group)
        return [{"wplus": torch.zeros(1)} for _ in group]

    spread = codes.spread_of(generator)
    keeping.results(["a", "b", "a"], None, lambda g: codes.starting(generator, quick(), len(g), spread), run, at_once=8)
    assert runs == [[0, 1]]


def test_keys_depend_on_settings_and_on_every_pixel():
    picture = np.zeros((4, 4, 3), np.uint8)
    other = picture.copy()
    other[0, 0, 0] = 1
    keys = {
        keeping.key_of({"lr": 1}, [picture]),
        keeping.key_of({"lr": 2}, [picture]),
        keeping.key_of({"lr": 1}, [other]),
    }
    assert len(keys) == 3
