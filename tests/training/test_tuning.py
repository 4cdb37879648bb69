"""Pivotal tuning, and the files of differences that it leaves."""

import json

import pytest
import torch

from vidswap.graph import InputError
from vidswap.inversion.losses import LossNetworks
from vidswap.latents import differences, spaces
from vidswap.nets import stylegan2
from vidswap.nets.layers import seeded
from vidswap.training.loop import Plan, Run
from vidswap.training.tuning import Options, TuningTask


@pytest.fixture
def pivots(generator):
    """Two codes, and pictures that the generator does not make of them."""
    codes = spaces.broadcast(
        generator, generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(3)))
    )
    with torch.no_grad():
        return codes, generator.synthesis(codes).roll((1, 4), (0, 3))


def tuned(generator, pivots, folder, steps=60, **options):
    task = TuningTask(generator, *pivots, LossNetworks(), Options(**options))
    run = Run(task, Plan(steps, 1, 3e-3, log_every=5), folder, settings={"what": "tune"})
    return task, run, run.train(until=task.is_enough)


def moved(generator, synthesis, pivot):
    """How far pictures of codes at six units from the pivot have moved."""
    w = generator.mapping(torch.randn(8, 16, generator=torch.Generator().manual_seed(8)))
    away = spaces.broadcast(generator, w) - pivot
    codes = pivot + 6.0 * away / away.flatten(1).norm(dim=1)[:, None, None]
    with torch.no_grad():
        return float((synthesis(codes) - generator.synthesis(codes)).square().mean())


def test_the_pictures_come_nearer_and_the_base_stays(generator, pivots, tmp_path):
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    outcome = tuned(generator, pivots, tmp_path / "run")[2]
    assert outcome.last["mse"] < 0.3 * outcome.first["mse"]
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_locality_keeps_other_codes_where_they_were(generator, pivots, tmp_path):
    one = pivots[0][:1], pivots[1][:1]
    free = tuned(generator, one, tmp_path / "free", locality=0)[0]
    held = tuned(generator, one, tmp_path / "held", locality=2.0, distance=6.0)[0]
    movements = [moved(generator, task.players["synthesis"], one[0]) for task in (held, free)]
    assert movements[0] < 0.6 * movements[1]


def test_a_single_picture_that_is_near_enough_ends_it_for_good(generator, pivots, tmp_path):
    task = TuningTask(generator, pivots[0][:1], pivots[1][:1], LossNetworks(), Options(locality=0))
    run = Run(task, Plan(50, 1, 3e-3), tmp_path / "run", settings={})
    assert run.train(until=lambda losses: run.step == 7).step == 7
    again = Run(task, Plan(50, 1, 3e-3), tmp_path / "run", settings={})
    assert again.train().step == 7
    assert task.is_enough({"lpips": 0.05})
    assert not task.is_enough({"lpips": 0.07})
    assert not task.is_enough({"mse": 0.0})


def written(generator, pivots, tmp_path):
    run = tuned(generator, pivots, tmp_path / "run", steps=5)[1]
    state = {f"synthesis.{name}": value for name, value in run.exported().items()}
    file = tmp_path / "track-0.safetensors"
    differences.save(file, generator, state, named="base", base_sha256="ab" * 32, track=0, beside={"pivots": pivots[0]})
    return file, run


def test_differences_bring_a_base_to_the_tuned_generator(generator, pivots, tmp_path):
    file, run = written(generator, pivots, tmp_path)
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["kind"], card["base"], card["base_sha256"], card["track"]) == ("difference", "base", "ab" * 32, 0)
    fresh = seeded(lambda: stylegan2.Generator(generator.config), 5)
    differences.applied(fresh, file)
    with torch.no_grad():
        expected = run.task.players["synthesis"](pivots[0])
        assert torch.allclose(fresh.synthesis(pivots[0]), expected, atol=1e-5)
    held = differences.read(file)[1]
    assert torch.equal(held["beside.pivots"], pivots[0])
    assert not any(name.startswith("mapping.") or "noise_const" in name for name in held)


def test_another_base_and_damaged_files_are_refused(generator, pivots, tmp_path):
    file, _ = written(generator, pivots, tmp_path)
    other = seeded(lambda: stylegan2.Generator(generator.config), 6)
    with pytest.raises(InputError, match=r"track-0.safetensors: was tuned on base \(sha256 abababababab...\), not on"):
        differences.applied(other, file)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="is not what its card says"):
        differences.read(file)
    with pytest.raises(InputError, match="there is no such file"):
        differences.read(tmp_path / "none.safetensors")
    file.with_suffix(".json").write_text("{}")
    assert not differences.is_difference(file)
    with pytest.raises(InputError, match="is no card of a tuned generator"):
        differences.read(file)
