"""The one loop of training: steps, mixed precision, moving averages, checkpoints, logs.

What a step sees and draws depends on the seed and the step's number alone, so that a run that was interrupted and goes
on gives the same numbers as one that was not, bit for bit on a CPU. A run is a folder: `run.json` (what is trained and
how), `checkpoint.safetensors` (all that it takes to go on; data, as every file of weights here), `logs/`.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vidswap.files import written_whole
from vidswap.graph.errors import InputError, Interrupted, first_line
from vidswap.nets.devices import DTYPES, Precision
from vidswap.training.logs import Logs

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """How long, how fast and how exactly.

    lr_drops: steps from which the rate is a tenth of what it was. clip: largest norm of the gradient of one player; 0
    does not clip. ema: decay of the moving average of what is exported; 0 exports the weights as they are.
    """

    steps: int
    batch: int
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    lr_drops: tuple[int, ...] = ()
    clip: float = 0.0
    ema: float = 0.0
    seed: int = 0
    precision: Precision = "fp32"
    save_every: int = 1000
    log_every: int = 50

    def __post_init__(self) -> None:
        """Raises InputError for a learning rate that is no positive number."""
        if not 0 < self.lr < math.inf:
            raise InputError(f"a learning rate of {self.lr:g} teaches nothing; give a positive number, such as 1e-4")

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        return self.lr * 0.1 ** sum(step >= drop for drop in self.lr_drops)


@dataclass(frozen=True)
class Turn:
    """One player's move within a step: whose parameters move, and the losses, of which `total` is brought down."""

    player: str
    losses: Callable[[], Losses]


class Task(Protocol):
    """What is trained."""

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Modules by name, each with an optimiser of its own over the parameters that require gradients."""

    @property
    def averaged(self) -> str:
        """The player of which a moving average is kept, where the plan wants one."""

    def batch(self, step: int) -> Any:
        """What the step works on, on the CPU: a function of the step. May be called from another thread, ahead."""

    def turns(self, step: int, batch: Any) -> Iterable[Turn]:
        """The moves of one step, in order."""


@dataclass
class Outcome:
    """What came of a run: the step reached, and the mean losses of the first and of the last logged steps."""

    step: int
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    began_at: int = 0


Told = Callable[[int, Mapping[str, float]], None]
"""Called with the step and the mean losses since the last call."""


class Run:
    """A task, its optimisers and its folder.

    settings: plain data that says what is trained; a folder of other settings is refused.
    Raises InputError where the folder holds another run, or the precision is not for the device.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        device: torch.device | str = "cpu",
        fresh: bool = False,
    ) -> None:
        self.task, self.plan, self.folder, self.device = task, plan, folder, torch.device(device)
        if plan.precision != "fp32" and self.device.type != "cuda":
            raise InputError(f"precision {plan.precision} is for CUDA; on {self.device.type} training runs in fp32")
        self.step = 0
        self.is_over = False
        """Whether a condition ended it before its last step."""
        claim(folder, settings, plan, fresh)
        self._optimisers = {
            name: torch.optim.Adam(
                [p for p in player.parameters() if p.requires_grad],
                lr=plan.lr,
                betas=plan.betas,
                weight_decay=plan.weight_decay,
            )
            for name, player in task.players.items()
        }
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=plan.precision == "fp16")
        self.average: dict[str, Tensor] = {}
        if plan.ema:
            state = task.players[task.averaged].state_dict()
            self.average = {name: value.detach().clone() for name, value in state.items()}
        if self.checkpoint.is_file():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        """The file that it goes on from."""
        return self.folder / "checkpoint.safetensors"

    def exported(self) -> dict[str, Tensor]:
        """The averaged player's weights: the moving average where the plan wants one."""
        if self.average:
            return dict(self.average)
        return {name: value.detach() for name, value in self.task.players[self.task.averaged].state_dict().items()}

    def train(
        self,
        *,
        told: Told | None = None,
        stop: Callable[[], bool] | None = None,
        until: Callable[[Mapping[str, float]], bool] | None = None,
    ) -> Outcome:
        """Take the remaining steps. stop: asked after every step; where it says so, the state is stored first.

        until: given every step's losses; where it says so, the run is over.

        Raises Interrupted when stopped, and InputError where a loss is no number.
        """
        outcome = Outcome(self.step, began_at=self.step)
        sums: dict[str, list[float]] = {}
        with Logs(self.folder / "logs", self.step) as logs, ThreadPoolExecutor(1) as ahead:
            left = self.step < self.plan.steps and not self.is_over
            coming = ahead.submit(self.task.batch, self.step) if left else None
            while coming is not None:
                batch = coming.result()
                last = self.step + 1 >= self.plan.steps
                coming = None if last else ahead.submit(self.task.batch, self.step + 1)
                losses = self._take(batch)
                for name, value in losses.items():
                    sums.setdefault(name, []).append(value)
                self.step += 1
                if until is not None and until(losses):
                    self.is_over = last = True
                    coming = None
                if last or self.step % self.plan.log_every == 0:
                    means = {name: sum(values) / len(values) for name, values in sums.items()}
                    sums = {}
                    outcome.first = outcome.first or means
                    outcome.last = means
                    logs.write(self.step, means)
                    if told is not None:
                        told(self.step, means)
                stopping = stop is not None and stop()
                if last or stopping or self.step % self.plan.save_every == 0:
                    self.save()
                if stopping and not last:
                    raise Interrupted(f"stopped after step {self.step}; the same command goes on from there")
        outcome.step = self.step
        return outcome

    def _take(self, batch: Any) -> dict[str, float]:
        """One step; returns its losses."""
        plan = self.plan
        # Whatever draws within the step (random noise, dropout) draws the same when the step is taken again.
        torch.manual_seed(plan.seed * 1_000_003 + self.step)
        said: dict[str, float] = {}
        for turn in self.task.turns(self.step, batch):
            optimiser = self._optimisers[turn.player]
            for group in optimiser.param_groups:
                group["lr"] = plan.rate(self.step)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, DTYPES[plan.precision], enabled=plan.precision != "fp32"):
                losses = turn.losses()
            self._scaler.scale(losses["total"]).backward()
            if plan.clip:
                self._scaler.unscale_(optimiser)
                moved = [p for group in optimiser.param_groups for p in group["params"]]
                torch.nn.utils.clip_grad_norm_(moved, plan.clip)
            self._scaler.step(optimiser)
            prefix = "" if turn.player == self.task.averaged else f"{turn.player}_"
            said |= {f"{prefix}{name}": float(value.detach()) for name, value in losses.items()}
        self._scaler.update()
        for name, value in said.items():
            if value != value or value in (float("inf"), float("-inf")):
                raise InputError(f"step {self.step + 1}: the loss {name} is {value}; try a smaller learning rate")
        if self.average:
            self._average()
        return said

    @torch.no_grad()
    def _average(self) -> None:
        for name, value in self.task.players[self.task.averaged].state_dict().items():
            mean = self.average[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - self.plan.ema)
            else:
                mean.copy_(value)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {"step": torch.tensor([self.step, int(self.is_over)])}
        for name, player in self.task.players.items():
            tensors |= {f"player.{name}.{key}": value for key, value in player.state_dict().items()}
            for i, moments in self._optimisers[name].state_dict()["state"].items():
                tensors |= {f"adam.{name}.{i}.{key}": value for key, value in moments.items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        if self._scaler.is_enabled():
            scale = self._scaler.state_dict()
            tensors["scaler"] = torch.tensor([scale["scale"], scale["_growth_tracker"]], dtype=torch.float64)
        whole = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        with written_whole(self.checkpoint) as temporary:
            save_file(whole, temporary)

    def _restore(self) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            stored = load_file(self.checkpoint)
            self.step, self.is_over = int(stored["step"][0]), bool(stored["step"][1])
            for name, player in self.task.players.items():
                player.load_state_dict(_under(stored, f"player.{name}."))
                optimiser = self._optimisers[name]
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in _under(stored, f"adam.{name}.").items():
                    place, _, kind = key.partition(".")
                    state.setdefault(int(place), {})[kind] = value
                optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
            for name, value in _under(stored, "average.").items():
                self.average[name].copy_(value)
            if self._scaler.is_enabled():
                scale, tracker = stored["scaler"].tolist()
                self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": scale, "_growth_tracker": tracker})
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            reason = first_line(error)
            raise InputError(f"{self.checkpoint}: cannot be gone on with ({reason}); --fresh begins anew") from None


_FREE = ("steps", "save_every", "log_every")


def _deciding(plan: Plan) -> dict[str, Any]:
    """What of a plan may not change in the middle of a run."""
    return {name: value for name, value in asdict(plan).items() if name not in _FREE}


def _under(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def claim(folder: Path, settings: Mapping[str, Any], plan: Plan, fresh: bool) -> None:
    """Make the folder of a run, or find it to be of the same run. Raises InputError where it is of another.

    fresh: forget what the folder's run has done.
    """
    told = json.loads(json.dumps({**settings, "plan": _deciding(plan)}))
    note = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if fresh and note.is_file():
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
            shutil.rmtree(folder / "logs", ignore_errors=True)
        elif note.is_file():
            differences = list(_different(json.loads(note.read_text()), told))
            if differences:
                raise InputError(
                    f"{folder} holds a run with other settings ({', '.join(differences[:3])}); give another folder, or "
                    "--fresh to begin anew"
                )
            return
        elif any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and holds no run; give a new folder")
        with written_whole(note) as temporary:
            temporary.write_text(json.dumps(told, indent=2) + "\n")
    except ValueError:
        raise InputError(f"{note}: cannot be read; --fresh begins anew") from None
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None


def _different(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> Iterable[str]:
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _different(before, now, f"{at}{name}.")
        elif before != now:
            yield f"{at}{name}: {before} there, {now} here"


def drawn(seed: int, step: int, *shape: int) -> Tensor:
    """A standard normal draw that depends on seed, step and shape alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + step))


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Losses:
    """The terms, and `total`: the sum of those with a weight, times it."""
    parts: Sequence[Tensor] = [weights[name] * value for name, value in terms.items() if weights.get(name)]
    return {**terms, "total": torch.stack(list(parts)).sum()}
