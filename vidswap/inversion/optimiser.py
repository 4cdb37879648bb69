"""Gradient descent on several pictures at once, of which none knows of the others.

Every row has its own step count, learning rate, Adam moments, best result and end; what is stored of a row is all that
it takes to go on with it. The variables, the loss and what they mean are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Values = dict[str, Tensor]
Loss = Callable[[Values, Tensor, list[int]], Tensor]
"""(variables of the rows at work, which rows these are, how many steps each has done) -> (rows,) losses."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Shares are of `steps`.

    ramp_up, ramp_down: shares in which the rate rises linearly, and falls along half a cosine (StyleGAN2's projector:
    0.05 and 0.25). patience: steps without progress after which a row ends, 0: never; progress is a loss under the
    best one by this share (`tolerance`).
    """

    steps: int = 1000
    lr: float = 0.01
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    patience: int = 0
    tolerance: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def rate(self, step: int) -> float:
        """The learning rate of the step after `step` others."""
        share = step / self.steps
        rate = self.lr
        if self.ramp_down:
            left = min(1.0, (1.0 - share) / self.ramp_down)
            rate *= 0.5 - 0.5 * math.cos(math.pi * left)
        return rate * min(1.0, share / self.ramp_up) if self.ramp_up else rate


@dataclass
class Rows:
    """The state of some rows: variables, Adam's moments, the best variables so far; the lists have a number per row."""

    values: Values
    first: Values
    second: Values
    best: Values
    best_loss: list[float]
    first_loss: list[float]
    mark: list[float]
    """The loss that has to be beaten by the tolerance to count as progress."""
    steps: list[int]
    since: list[int]
    """Steps since the last progress."""

    @classmethod
    def starting(cls, values: Mapping[str, Tensor]) -> Rows:
        """Nothing done yet. values: (N, ...) each."""
        made = {name: value.detach().clone() for name, value in values.items()}
        zeros = {name: torch.zeros_like(value) for name, value in made.items()}
        count = len(next(iter(made.values())))
        return cls(
            values=made,
            first=zeros,
            second={name: value.clone() for name, value in zeros.items()},
            best={name: value.clone() for name, value in made.items()},
            best_loss=[math.inf] * count,
            first_loss=[math.inf] * count,
            mark=[math.inf] * count,
            steps=[0] * count,
            since=[0] * count,
        )

    def __len__(self) -> int:
        return len(self.steps)

    def tensors(self, row: int) -> dict[str, Tensor]:
        """One row as plain tensors on the CPU, to be stored."""
        made = {
            f"{kind}.{name}": value[row].detach().cpu().clone()
            for kind, values in self._kinds().items()
            for name, value in values.items()
        }
        numbers = [self.best_loss[row], self.first_loss[row], self.mark[row], self.steps[row], self.since[row]]
        made["numbers"] = torch.tensor(numbers, dtype=torch.float64)
        return made

    @classmethod
    def of_tensors(cls, stored: Sequence[Mapping[str, Tensor]], device: torch.device | str = "cpu") -> Rows:
        """Rows from what `tensors` gave."""
        kinds: dict[str, Values] = {}
        for kind in ("values", "first", "second", "best"):
            names = [name.partition(".")[2] for name in stored[0] if name.startswith(f"{kind}.")]
            kinds[kind] = {n: torch.stack([row[f"{kind}.{n}"] for row in stored]).to(device) for n in names}
        numbers = [[float(value) for value in row["numbers"]] for row in stored]
        return cls(
            **kinds,
            best_loss=[n[0] for n in numbers],
            first_loss=[n[1] for n in numbers],
            mark=[n[2] for n in numbers],
            steps=[int(n[3]) for n in numbers],
            since=[int(n[4]) for n in numbers],
        )

    def _kinds(self) -> dict[str, Values]:
        return {"values": self.values, "first": self.first, "second": self.second, "best": self.best}

    def active(self, schedule: Schedule) -> list[int]:
        """The rows that have not ended."""
        rows = range(len(self))
        return [
            r
            for r in rows
            if self.steps[r] < schedule.steps and (not schedule.patience or self.since[r] < schedule.patience)
        ]


def minimise(
    rows: Rows,
    loss: Loss,
    schedule: Schedule,
    *,
    settle: Callable[[Values], None] | None = None,
    keep: Callable[[Rows], None] | None = None,
    keep_every: int = 100,
) -> Rows:
    """Take every row to its end with Adam (Kingma and Ba 2015); `best` holds the variables of its lowest loss.

    settle: called with the new variables of the rows at work after each step, to bring them back to where they must
    be, in place. keep: called every `keep_every` steps with the state, to store it.
    """
    device = next(iter(rows.values.values())).device
    taken = 0
    while active := rows.active(schedule):
        index = torch.tensor(active, device=device)
        values = {name: value[index].requires_grad_() for name, value in rows.values.items()}
        with torch.enable_grad():
            losses = loss(values, index, [rows.steps[r] for r in active])
            gradients = torch.autograd.grad(losses.sum(), list(values.values()))
        with torch.no_grad():
            _judge(rows, active, losses.detach().tolist(), schedule)
            made = _stepped(rows, active, index, dict(zip(values, gradients, strict=True)), schedule)
            if settle is not None:
                settle(made)
            for name, value in made.items():
                rows.values[name][index] = value
        taken += 1
        if keep is not None and taken % keep_every == 0:
            keep(rows)
    return rows


def _judge(rows: Rows, active: Sequence[int], losses: Sequence[float], schedule: Schedule) -> None:
    """Note what the losses of the variables as they are say of each row."""
    for row, loss in zip(active, losses, strict=True):
        if rows.steps[row] == 0:
            rows.first_loss[row] = loss
        if loss < rows.best_loss[row]:
            rows.best_loss[row] = loss
            for name, value in rows.values.items():
                rows.best[name][row] = value[row]
        if loss < rows.mark[row] * (1 - schedule.tolerance):
            rows.mark[row], rows.since[row] = loss, 0
        else:
            rows.since[row] += 1


def _stepped(rows: Rows, active: Sequence[int], index: Tensor, gradients: Values, schedule: Schedule) -> Values:
    """Adam's step of the rows at work; returns their new variables."""
    beta1, beta2 = schedule.betas
    rates, unbias = [], []
    for row in active:
        rows.steps[row] += 1
        done = rows.steps[row]
        rates.append(schedule.rate(done - 1) / (1 - beta1**done))
        unbias.append(1 / math.sqrt(1 - beta2**done))
    made: Values = {}
    for name, gradient in gradients.items():
        per_row = (-1, *[1] * (gradient.ndim - 1))
        rate = gradient.new_tensor(rates).reshape(per_row)
        scale = gradient.new_tensor(unbias).reshape(per_row)
        first = rows.first[name][index] * beta1 + gradient * (1 - beta1)
        second = rows.second[name][index] * beta2 + gradient * gradient * (1 - beta2)
        rows.first[name][index], rows.second[name][index] = first, second
        made[name] = rows.values[name][index] - rate * first / (second.sqrt() * scale + schedule.epsilon)
    return made
