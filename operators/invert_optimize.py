"""Invert by optimisation: codes in W or W+ that bring a StyleGAN2 or 3 to each face, by gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from vidswap.graph.batch import Batch

from .invert_encoders import sampled
from .learned import Learned, LearnedOptions, weights_files

if TYPE_CHECKING:
    import torch

    from vidswap.inversion.codes import Settings
    from vidswap.inversion.losses import ImageLoss
    from vidswap.inversion.optimiser import Rows
    from vidswap.latents.generators import Loaded

TERMS = ("mse", "lpips", "identity")
KEPT_EVERY = 50
_VERSION = 2  # of what is worked out: results of others are not taken from the cache


class InvertOptimizeOptions(LearnedOptions):
    """Generator, space, losses and schedule; the numbers are those of one-shot landmark reenactment."""

    weights: str = Field(
        "stylegan2-ffhq", description="of a StyleGAN2 or 3: a name of `vidswap weights list`, a file, or random"
    )
    space: Literal["w", "wplus"] = Field("wplus", description="one code for all layers, or one for each")
    start: Literal["auto", "mean"] = Field(
        "auto", description="auto: the codes of an encoder that stands before this stage, else the mean code"
    )
    steps: int = Field(1000, ge=1, le=100_000, description="at most, for each face")
    lr: float = Field(0.01, gt=0, le=10, description="learning rate of Adam")
    ramp: bool = Field(False, description="let the rate rise and fall as StyleGAN2's projector does (lr 0.1)")
    patience: int = Field(0, ge=0, description="steps without progress after which a face is done; 0: never")
    losses: str = Field(
        "auto", description="auto: all whose networks are installed; or some of mse,lpips,identity, which must be"
    )
    mse: float = Field(0.1, ge=0, description="weight of the mean squared difference, of pictures in -1..1")
    lpips: float = Field(1.5, ge=0, description="weight of LPIPS over AlexNet")
    identity: float = Field(0.05, ge=0, description="weight of one minus the cosine of ArcFace")
    delta: float = Field(0.002, ge=0, description="weight of the squared distances of all rows from the first")
    noise: float = Field(
        0.0, ge=0, description="optimise noise maps too, kept white with this weight (projector: 1e5); StyleGAN2 only"
    )
    latent_noise: float = Field(0.0, ge=0, description="how far codes are shaken at first (projector: 1)")
    seed: int = Field(0, ge=0, description="of what is drawn")
    cache: str = Field("auto", description="folder of finished and half-done faces; auto: the user's; off: none")

    @field_validator("losses")
    @classmethod
    def _known(cls, value: str) -> str:
        return known_terms(value, TERMS)

    @field_validator("precision")
    @classmethod
    def _exact(cls, value: str) -> str:
        if value != "fp32":
            raise ValueError("inversion by optimisation runs in fp32; leave the precision out")
        return value

    @property
    def terms(self) -> list[str] | None:
        """The losses asked for by name; None for those that there are."""
        return None if self.losses == "auto" else self.losses.split(",")


def known_terms(losses: str, terms: Sequence[str]) -> str:
    """Names of losses, commas between, or `auto`; without spaces. Raises ValueError for one that is none of `terms`."""
    given = [term.strip() for term in losses.split(",")]
    wrong = [term for term in given if term not in terms]
    if given != ["auto"] and wrong:
        raise ValueError(f"no loss {wrong[0]!r}; write auto, or some of {','.join(terms)}")
    return ",".join(given)


class InvertOptimize(Learned[InvertOptimizeOptions]):
    """Adds `wplus` to each row; slow: some minutes a face at 1024 px on a GPU.

    A face that has been inverted is taken from the cache, by the content of the crop and of all weights and by the
    settings; an interrupted one goes on. On a CPU faces go one by one, on CUDA `batch` of them at once.
    """

    kind = "invert"
    needs = ("picture", "matrix", "crop")
    uses = ("wplus",)
    gives = ("wplus",)
    Options = InvertOptimizeOptions
    gpu_memory_gib = 16.0

    def files(self) -> Sequence[Path]:
        """The generator's, and those of the losses' networks that are installed."""
        return [*weights_files(self.options.weights), *loss_files(self.options.terms)]

    def load(self) -> tuple[Loaded, ImageLoss, tuple[str, ...]]:
        """The generator, and the losses that can be had."""
        from vidswap.inversion.losses import ImageLoss, installed_networks, weighted
        from vidswap.latents.generators import load_generator

        options = self.options
        networks = installed_networks(options.terms)
        loaded = load_generator(options.weights)
        wanted = {term: getattr(options, term) for term in options.terms or TERMS}
        return loaded, ImageLoss(weighted(wanted, networks), networks), networks.missing

    def fits(self, loaded: Any, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold codes that come against the generator's, and say of which shape the codes will be."""
        from vidswap.graph.errors import InputError
        from vidswap.inversion.codes import check_noise
        from vidswap.latents.generators import misfit

        generator = loaded[0]
        own = (generator.num_ws, generator.net.config.w_dim)
        if self.options.start == "auto" and sizes.get("wplus", own) != own:
            raise InputError(misfit(sizes["wplus"], own, generator.title))
        check_noise(generator.net, self.options.noise)
        sizes["wplus"] = own

    def start(self, loaded: Any, device: torch.device) -> None:
        """Bring generator and losses to the device."""
        from vidswap.inversion import codes, keeping
        from vidswap.nets.devices import full_float32

        generator, self._loss, missing = loaded
        self.told += [*generator.warnings, *missing]
        if device.type == "cuda":
            full_float32()
        self._device, self._net = device, generator.net.to(device)
        self._loss.to(device)
        self._spread = codes.spread_of(self._net)
        self._settings: Settings = settings_of(self.options)
        cache = self.options.cache
        folder = keeping.default_folder() if cache == "auto" else Path(cache)
        self._keeper = None if cache == "off" else keeping.Keeper(folder)
        self._known = digests(self.files())

    def __call__(self, batch: Batch) -> Batch:
        """Adds wplus (L, D) float32 to each row."""
        import torch

        from vidswap.inversion import codes, keeping
        from vidswap.latents.inversion import network_input
        from vidswap.nets.devices import threads

        side = self._net.config.resolution
        rows = zip(batch["picture"], batch["matrix"], batch["crop"], strict=True)
        crops = np.stack([sampled(*row, side=side) for row in rows])
        begins = self.options.start == "auto" and "wplus" in batch
        starts = np.ascontiguousarray(batch["wplus"]) if begins else None
        images = network_input(torch.from_numpy(crops)).to(self._device)

        def begin(group: list[int]) -> Rows:
            start = torch.from_numpy(starts[group]).to(self._device) if starts is not None else None
            return codes.starting(self._net, self._settings, len(group), self._spread, start)

        def run(group: list[int], state: Rows, keep: Any) -> list[dict[str, torch.Tensor]]:
            found = codes.invert(
                self._net,
                self._loss,
                images[group],
                self._settings,
                state,
                self._spread,
                keep=keep,
                keep_every=KEPT_EVERY,
            )
            return [{"wplus": one.wplus, **{f"noise.{n}": m for n, m in one.noise.items()}} for one in found]

        keys = [self._key(crop, None if starts is None else starts[i]) for i, crop in enumerate(crops)]
        with threads(self._threads):
            at_once = self.options.batch if self._device.type == "cuda" else 1
            made = keeping.results(keys, self._keeper, begin, run, at_once=at_once)
        return batch.with_columns(wplus=np.stack([one["wplus"].cpu().numpy() for one in made]))

    def _key(self, crop: np.ndarray, start: np.ndarray | None) -> str:
        from vidswap.inversion.keeping import key_of

        free = ("cache", "batch", "device")
        settings = {name: value for name, value in self.options.model_dump().items() if name not in free}
        told = {"what": "codes", "version": _VERSION, "options": settings, "losses": self._loss.weights}
        return key_of(told, [crop, *([] if start is None else [start]), *self._known])


def settings_of(options: InvertOptimizeOptions) -> Settings:
    """The options in the terms of the library."""
    from vidswap.inversion.codes import Settings
    from vidswap.inversion.optimiser import Schedule

    rise, fall = (0.05, 0.25) if options.ramp else (0.0, 0.0)
    schedule = Schedule(options.steps, options.lr, rise, fall, options.patience)
    return Settings(options.space, options.delta, options.noise, options.latent_noise, options.seed, schedule)


def loss_files(terms: Sequence[str] | None) -> list[Path]:
    """The cards of the networks of these losses, None for all, as far as they are installed."""
    from vidswap.inversion.losses import NETWORK_TERMS
    from vidswap.weights.store import card_path, path_of

    names = [name for term, names in NETWORK_TERMS.items() if terms is None or term in terms for name in names]
    return [card for card in (card_path(path_of(name)) for name in names) if card.is_file()]


def digests(files: Sequence[Path]) -> list[np.ndarray]:
    """What a key knows of each file: of weights in the store their card's bytes, of others their SHA-256; uint8."""
    from vidswap.files import file_digest

    told = [path.read_bytes() if path.suffix == ".json" else file_digest(path).encode() for path in files]
    return [np.frombuffer(data, np.uint8) for data in told]
