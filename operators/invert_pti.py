"""Invert by pivotal tuning: a picture's code stays, and the generator moves until it gives the picture for it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting

from .invert_encoders import sampled
from .invert_optimize import digests, known_terms, loss_files
from .learned import Learned, LearnedOptions, weights_files
from .tuned import tuned_file

if TYPE_CHECKING:
    import torch

    from vidswap.inversion.losses import LossNetworks
    from vidswap.latents.generators import Loaded

TERMS = ("mse", "lpips")
_VERSION = 1  # of what is worked out: results of others are not taken from the cache


class InvertPTIOptions(LearnedOptions):
    """The generator, and how it is tuned; the numbers are those of the paper's release."""

    weights: str = Field(
        "stylegan2-ffhq", description="of the StyleGAN2 or 3 that the codes are of: a name, a file, or random"
    )
    steps: int = Field(350, ge=1, le=100_000, description="at most, for each picture")
    lr: float = Field(3e-4, gt=0, le=1, description="learning rate of Adam")
    losses: str = Field("auto", description="auto: all whose networks are installed; or mse,lpips, which must be")
    mse: float = Field(1.0, ge=0, description="weight of the mean squared difference, of pictures in -1..1")
    lpips: float = Field(1.0, ge=0, description="weight of LPIPS over AlexNet")
    locality: float = Field(0.1, ge=0, description="weight of leaving pictures of codes nearby as they are")
    stop_lpips: float = Field(0.06, ge=0, description="LPIPS at which it is enough")
    seed: int = Field(0, ge=0, description="of what is drawn")

    @field_validator("losses")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_terms(value, TERMS)

    @field_validator("precision")
    @classmethod
    def _exact(cls, value: str) -> str:
        if value != "fp32":
            raise ValueError("tuning runs in fp32; leave the precision out")
        return value

    @property
    def terms(self) -> list[str] | None:
        """The losses asked for by name; None for those that there are."""
        return None if self.losses == "auto" else self.losses.split(",")


class InvertPTI(Learned[InvertPTIOptions]):
    """Adds `tuned` to each row: the digest under which the generator tuned to it is kept among the inversions.

    The code (`wplus`, of a stage before) is the pivot and stays. For pictures; a clip's generators are made beforehand
    by `vidswap tune`, one for a whole track. Kept by content; an interrupted picture goes on.
    """

    kind = "invert"
    needs = ("picture", "matrix", "crop", "wplus")
    gives = ("tuned",)
    Options = InvertPTIOptions
    gpu_memory_gib = 24.0

    def files(self) -> Sequence[Path]:
        """The generator's, and those of the losses' networks that are installed."""
        return [*weights_files(self.options.weights), *loss_files(self.options.terms or TERMS)]

    def load(self) -> tuple[Loaded, LossNetworks]:
        """The generator, and the networks of the losses that can be had."""
        from vidswap.inversion.losses import ImageLoss, installed_networks, weighted
        from vidswap.latents.generators import load_generator

        networks = installed_networks(self.options.terms)
        networks.missing = tuple(line for line in networks.missing if "identity" not in line)
        networks.arcface = None
        wanted = {term: getattr(self.options, term) for term in self.options.terms or TERMS}
        ImageLoss(weighted(wanted, networks), networks)
        return load_generator(self.options.weights), networks

    def fits(self, loaded: Any, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the codes that come against the generator's."""
        from vidswap.latents.generators import misfit

        generator = loaded[0]
        own = (generator.num_ws, generator.net.config.w_dim)
        if sizes.get("wplus", own) != own:
            raise InputError(misfit(sizes["wplus"], own, generator.title))

    def setup(self, setting: Setting) -> None:
        """Load the weights. Raises InputError for a video."""
        if setting.video is not None and setting.video.frame_count > 1:
            raise InputError(
                "invert.pti tunes a generator to every picture; for a video run vidswap tune, and give its folder as "
                "generate.tuned"
            )
        super().setup(setting)

    def start(self, loaded: Any, device: torch.device) -> None:
        """Keep generator and losses for the device."""
        generator, self._networks = loaded
        self.told += [*generator.warnings, *self._networks.missing]
        self._device, self._net = device, generator.net
        if self._networks.lpips is not None:
            self._networks.lpips.to(device)
        self._known = digests(self.files())

    def __call__(self, batch: Batch) -> Batch:
        """Adds tuned, 64 hexadecimal digits, to each row."""
        from vidswap.inversion.keeping import key_of
        from vidswap.nets.devices import threads

        free = ("batch", "device")
        settings = {name: value for name, value in self.options.model_dump().items() if name not in free}
        told = {"what": "tuned", "version": _VERSION, "options": settings, "losses": sorted(self._networks.terms)}
        keys = []
        for row in batch.rows():
            crop = sampled(row["picture"], row["matrix"], row["crop"], side=self._net.config.resolution)
            key = key_of(told, [crop, row["wplus"], *self._known])
            if not tuned_file(key).is_file():
                with threads(self._threads):
                    self._tune(key, crop, row["wplus"])
            keys.append(key)
        return batch.with_columns(tuned=np.array(keys, "<U64"))

    def _tune(self, key: str, crop: np.ndarray, code: np.ndarray) -> None:
        import torch

        from vidswap.latents import differences
        from vidswap.latents.inversion import network_input
        from vidswap.training.loop import Plan, Run
        from vidswap.training.tuning import Options, TuningTask
        from vidswap.weights.store import base_digest

        options = self.options
        wanted = {term: getattr(options, term) for term in options.terms or TERMS}
        terms = Options(
            **{"mse": 0.0, "lpips": 0.0, **wanted}, locality=options.locality, stop_lpips=options.stop_lpips
        )
        image = network_input(torch.from_numpy(crop[None]))
        pivot = torch.from_numpy(np.ascontiguousarray(code[None]))
        task = TuningTask(self._net, pivot, image, self._networks, terms, seed=options.seed, device=self._device)
        plan = Plan(options.steps, 1, options.lr, seed=options.seed, save_every=50)
        file = tuned_file(key)
        work = file.parent / f"work-{key}"
        run = Run(task, plan, work, settings={"what": "pti"}, device=self._device)
        outcome = run.train(until=task.is_enough)
        state = {f"synthesis.{name}": value for name, value in run.exported().items()}
        differences.save(
            file,
            self._net,
            state,
            named=options.weights,
            base_sha256=base_digest(options.weights),
            made={"steps": outcome.step, "lr": options.lr, **asdict(terms)},
            beside={"pivots": pivot},
        )
        shutil.rmtree(work, ignore_errors=True)
