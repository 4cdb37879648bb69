"""The loop of training: the same numbers whether interrupted or not, checkpoints, logs, refusals."""

import json

import pytest
import torch
from torch import nn

from vidswap.graph import InputError, Interrupted
from vidswap.training import logs
from vidswap.training.loop import Plan, Run, Turn, drawn, total


class Line:
    """y = 2 x, with noise; two players, of which one moves every third step; dropout draws too."""

    averaged = "net"

    def __init__(self):
        torch.manual_seed(0)
        self.players = {
            "net": nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.02), nn.Linear(8, 1)),
            "critic": nn.Linear(1, 1),
        }

    def batch(self, step):
        return drawn(7, step, 64, 1)

    def turns(self, step, batch):
        net, critic = self.players["net"], self.players["critic"]
        yield Turn("net", lambda: total({"mse": (net(batch) - 2 * batch).square().mean()}, {"mse": 1.0}))
        if step % 3 == 0:
            yield Turn("critic", lambda: total({"mse": critic(batch).square().mean()}, {"mse": 1.0}))


def run(folder, steps=30, **changed):
    settings = changed.pop("settings", {"what": "line"})
    fresh = changed.pop("fresh", False)
    plan = Plan(**{"steps": steps, "batch": 16, "lr": 0.05, "ema": 0.9, "clip": 1.0, "log_every": 5, **changed})
    return Run(Line(), plan, folder, settings=settings, fresh=fresh)


def weights_of(made):
    players = {f"{n}.{k}": v for n, p in made.task.players.items() for k, v in p.state_dict().items()}
    return players | {f"average.{k}": v for k, v in made.average.items()}


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole")
    whole.train()
    asked = []
    broken = run(tmp_path / "broken")
    with pytest.raises(Interrupted, match="stopped after step 11; the same command goes on"):
        broken.train(stop=lambda: asked.append(1) or len(asked) == 11)
    gone_on = run(tmp_path / "broken")
    assert gone_on.step == 11
    outcome = gone_on.train()
    assert (outcome.began_at, outcome.step) == (11, 30)
    for name, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(gone_on)[name]), name


def test_the_loss_falls_and_a_finished_run_has_nothing_left(tmp_path):
    outcome = run(tmp_path / "run", steps=100).train()
    assert outcome.last["mse"] < 0.5 * outcome.first["mse"]
    assert run(tmp_path / "run", steps=100).train().last == {}
    assert run(tmp_path / "run", steps=120).train().step == 120


def test_the_average_moves_slower_than_the_weights(tmp_path):
    made = run(tmp_path / "run", steps=3, ema=0.999)
    before = made.average["0.weight"].clone()
    made.train()
    now = made.task.players["net"].state_dict()["0.weight"]
    assert 0 < (made.exported()["0.weight"] - before).norm() < 0.01 * (now - before).norm()


def test_rates_drop_to_a_tenth():
    plan = Plan(steps=10, batch=1, lr=1.0, lr_drops=(4, 8))
    assert [round(plan.rate(step), 6) for step in (3, 4, 8)] == [1.0, 0.1, 0.01]


def test_a_folder_of_another_run_is_refused_and_fresh_begins_anew(tmp_path):
    run(tmp_path / "run", steps=2).train()
    with pytest.raises(InputError, match=r"other settings \(plan.lr: 0.05 there, 0.1 here\)"):
        run(tmp_path / "run", steps=2, lr=0.1)
    assert run(tmp_path / "run", steps=2, lr=0.1, fresh=True).step == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").touch()
    with pytest.raises(InputError, match="is not empty and holds no run"):
        run(tmp_path / "other")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: "):
        run(tmp_path / "file")


def test_a_damaged_checkpoint_is_told(tmp_path):
    made = run(tmp_path / "run", steps=2)
    made.train()
    made.checkpoint.write_bytes(made.checkpoint.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be gone on with .*--fresh begins anew"):
        run(tmp_path / "run", steps=4)


def test_half_precision_is_for_cuda(tmp_path):
    with pytest.raises(InputError, match="precision bf16 is for CUDA; on cpu training runs in fp32"):
        run(tmp_path / "run", precision="bf16")


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    made = run(tmp_path / "run", steps=4)
    with torch.no_grad():
        made.task.players["net"][0].weight.fill_(float("nan"))
    with pytest.raises(InputError, match="step 1: the loss mse is nan; try a smaller learning rate"):
        made.train()


def test_losses_are_logged_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "run", steps=10).train()
    events = EventAccumulator(str(tmp_path / "run" / "logs"))
    events.Reload()
    assert [point.step for point in events.Scalars("loss/mse")] == [5, 10]


def test_without_tensorboard_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "is_installed", lambda: False)
    assert run(tmp_path / "run", steps=2).train().step == 2
    assert not (tmp_path / "run" / "logs").exists()


def test_a_run_says_what_it_is(tmp_path):
    run(tmp_path / "run", settings={"what": "line", "generator": "abc"})
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["generator"] == "abc"
    assert told["plan"]["lr"] == 0.05


@pytest.mark.parametrize("rate", [0.0, -1e-4, float("nan"), float("inf")])
def test_a_rate_that_teaches_nothing_is_refused(rate):
    with pytest.raises(InputError, match="teaches nothing"):
        Plan(steps=1, batch=1, lr=rate)
