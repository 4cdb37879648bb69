"""Map, in the space of a generator: from codes or landmarks of a driver to the codes of the portrait that it drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from vidswap.faces import landmark_picture, reenactment
from vidswap.faces.landmark_driving import Calibration
from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting

from .invert_encoders import WHOLE
from .learned import Learned, LearnedOptions, LearnedT, weights_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from vidswap.latents.masking import StyleMixer


class MapStyleMaskOptions(LearnedOptions):
    """Weights of the mask networks and of the generator that they were trained on, and how they mix."""

    weights: str = Field("stylemask", description="mask networks: a name of `vidswap weights list`, a file, or random")
    generator: str = Field("stylegan2-ffhq", description="the StyleGAN2 whose styles are mixed, named in the same ways")
    psi: float = Field(1.0, ge=0, le=2, description="truncation of both codes; the released script pulls by 0.7")
    space: Literal["style", "wplus"] = Field("style", description="what the networks mix: S, or rows of W+")


class MapLandmarksOptions(LearnedOptions):
    """Weights of the landmark mapper, and what of the driver's landmarks moves the portrait."""

    weights: str = Field("landmark-mapper", description="a name of `vidswap weights list`, a file, or random")
    motion: Literal["relative", "absolute"] = Field(
        "relative", description="relative takes the driver's own face shape out, by a neutral frame; absolute does not"
    )
    strength: float = Field(1.0, ge=0, le=2, description="how far the code moves")
    size: int | None = Field(
        None, ge=16, le=4096, description="px a side of landmark pictures; none: 580 where the weights allow it"
    )


@dataclass(frozen=True)
class LoadedMasks:
    """A mixer, on the CPU; warnings are for the user."""

    mixer: StyleMixer
    mean: torch.Tensor
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadedMapper:
    """A landmark mapper, on the CPU; warnings are for the user."""

    net: Any
    warnings: tuple[str, ...] = ()


class _Mapping(Learned[LearnedT]):
    """What both share: the portrait's code, and the ease of frames in which the driver comes and goes."""

    kind = "map"
    uses = ("presence",)
    gpu_memory_gib = 1.0

    def ease(self, batch: Batch, rows: int) -> torch.Tensor:
        """(N, 1, ...): how far each row drives, 0..1, with `rows` axes."""
        import torch

        presence = batch["presence"] if "presence" in batch else np.ones(len(batch), np.float32)
        return torch.from_numpy(np.ascontiguousarray(presence, np.float32)).reshape(-1, *(1,) * (rows - 1))


class MapStyleMask(_Mapping[MapStyleMaskOptions]):
    """`style` of the portrait as each driver's frame has it, by StyleMask (Bounareli et al. 2023).

    Of the driver's codes only the rows are read that the masks control.
    """

    needs = ("wplus",)
    gives = ("style",)
    needs_source = ("source_wplus",)
    Options = MapStyleMaskOptions

    def files(self) -> Sequence[Path]:
        """Those of the mask networks and of the generator."""
        return [*super().files(), *weights_files(self.options.generator)]

    def load(self) -> LoadedMasks:
        """The networks and the generator's affine maps, held against each other."""
        from vidswap.latents.driving import load_masks

        options = self.options
        mixer, mean, warnings = load_masks(options.weights, options.generator, options.space)
        return LoadedMasks(mixer, mean, warnings)

    def fits(self, loaded: LoadedMasks, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the codes that come against what is read of them."""
        config = loaded.mixer.synthesis.config
        source, driver = sizes.get("source_wplus"), sizes.get("wplus")
        if source is not None and source != (config.num_ws, config.w_dim):
            told = f"the portrait's code has {source[0]} rows of {source[1]}, {self.options.generator} takes"
            raise InputError(f"{told} {config.num_ws} of {config.w_dim}; take an encoder of this generator's")
        whole = sizes.get(WHOLE, (config.num_ws, config.w_dim))
        if whole != (config.num_ws, config.w_dim):
            told = f"the encoder of the driver gives {whole[0]} rows of {whole[1]}, {self.options.generator} takes"
            raise InputError(f"{told} {config.num_ws} of {config.w_dim}; take an encoder of this generator's")
        if driver is not None and (driver[0] < loaded.mixer.rows or driver[1] != config.w_dim):
            told = f"the driver's codes have {driver[0]} rows of {driver[1]}, of which {loaded.mixer.rows} of"
            raise InputError(f"{told} {config.w_dim} are read; set the inverting stage's rows to that or more")
        sizes["style"] = (sum(layer.in_channels for layer in config.layers),)

    def start(self, loaded: LoadedMasks, device: torch.device) -> None:
        """Bring the networks to the device."""
        from vidswap.latents.spaces import StyleSpace
        from vidswap.nets.devices import InBatches

        self.told += loaded.warnings
        self._mixer, self._mean = loaded.mixer, loaded.mean.to(device)
        self._mixer.synthesis.to(device)
        self._mixer.masks.to(device)
        self._space = StyleSpace.of(loaded.mixer.synthesis.config)
        self._batches = InBatches(device, self.options.batch, what="mask networks")
        self._device = device

    def setup(self, setting: Setting) -> None:
        """Load the networks, and make all styles of the portrait, once."""
        import torch

        super().setup(setting)
        code = torch.from_numpy(setting.sources["source"]["source_wplus"][:1]).to(self._device)
        with torch.inference_mode():
            self._portrait = self._mixer.portrait(self._truncated(code))
            self._rest = self._space.joined(self._portrait.styles)

    def __call__(self, batch: Batch) -> Batch:
        """Adds style (sum of all widths,) float32 to each row."""
        import torch

        from vidswap.nets.devices import threads

        with threads(self._threads):
            codes = torch.from_numpy(np.ascontiguousarray(batch["wplus"]))
            style = self._batches(self._driven, codes, self.ease(batch, 2))
        self.told += self._batches.told
        self._batches.told = []
        return batch.with_columns(style=style.numpy())

    def _driven(self, driver: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        driven = self._mixer.driven(self._portrait, self._truncated(driver))
        return self._rest + share * (self._space.joined(driven.styles) - self._rest)

    def _truncated(self, codes: torch.Tensor) -> torch.Tensor:
        from vidswap.latents.spaces import truncated

        return truncated(codes, self._mean, self.options.psi)


class MapLandmarks(_Mapping[MapLandmarksOptions]):
    """`wplus` of the portrait as each driver's landmarks have it: its own, plus what the landmark mapper says."""

    needs = ("landmarks",)
    gives = ("wplus",)
    needs_source = ("source_wplus", "landmarks")
    Options = MapLandmarksOptions

    def load(self) -> LoadedMapper:
        """The network."""
        from vidswap.latents.driving import load_mapper

        return LoadedMapper(*load_mapper(self.options.weights, self.options.size))

    def fits(self, loaded: LoadedMapper, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the portrait's code against what the mapper gives."""
        own, source = (loaded.net.config.rows, loaded.net.config.w_dim), sizes.get("source_wplus")
        if source is not None and source != own:
            told = f"the portrait's code has {source[0]} rows of {source[1]}, {self.options.weights} gives"
            raise InputError(f"{told} {own[0]} of {own[1]}; take an encoder of the generator that it was trained on")
        sizes["wplus"] = own

    def start(self, loaded: LoadedMapper, device: torch.device) -> None:
        """Bring the network to the device."""
        from vidswap.nets.devices import InBatches

        self.told += loaded.warnings
        self._net, self._size = loaded.net.to(device), loaded.net.config.size
        self._batches = InBatches(device, self.options.batch, what="landmark mapper")

    def setup(self, setting: Setting) -> None:
        """Load the network, draw the portrait's landmarks, and find the driver's neutral moment."""
        super().setup(setting)
        portrait = setting.sources["source"]
        self._code, points = portrait["source_wplus"][0], portrait["landmarks"][0]
        self._rest = landmark_picture.picture(points, self._size)
        self._calibration: Calibration | None = None
        if self.options.motion == "relative":
            if "driver" not in setting.sources:
                raise InputError(
                    "motion is relative to a neutral frame: bind the driving video as --source driver=VIDEO"
                )
            driver = setting.sources["driver"]["landmarks"]
            self._calibration = Calibration(points, driver[reenactment.neutral_rows(driver)[1]])

    def __call__(self, batch: Batch) -> Batch:
        """Adds wplus (L, D) float32 to each row."""
        import torch

        from vidswap.nets.devices import threads

        with threads(self._threads):
            seen = torch.from_numpy(np.stack([self._difference(points) for points in batch["landmarks"]]))
            moved = self._batches(lambda x: self._net(x[:, None].expand(-1, 3, -1, -1)), seen)
        self.told += self._batches.told
        self._batches.told = []
        codes = torch.from_numpy(self._code) + self.options.strength * self.ease(batch, 3) * moved
        return batch.with_columns(wplus=codes.numpy())

    def _difference(self, points: np.ndarray) -> np.ndarray:
        """(size, size) float32, -1..1: the driver's picture less the portrait's."""
        driven = points if self._calibration is None else self._calibration.driven(points)
        return landmark_picture.picture(driven, self._size) - self._rest
