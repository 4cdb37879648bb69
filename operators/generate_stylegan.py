"""Generate by StyleGAN2 and StyleGAN3: from codes in W+ to pictures of faces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import cv2
import numpy as np
from pydantic import Field

from vidswap.faces import blending, regions
from vidswap.graph.batch import Batch, object_column

from .learned import Learned, LearnedOptions
from .tuned import Tuned, tuned_file

if TYPE_CHECKING:
    import torch

    from vidswap.latents.generators import Loaded, Painter


_MOST_PAINTERS = 4


class _StyleGANOptions(LearnedOptions):
    """How the generator runs, and where its picture will replace the frame."""

    cover: Literal["face", "head", "square"] = Field(
        "face", description="what of the frame is replaced: face, head (with hair and ears), or the whole square"
    )
    tuned: str = Field("", description="a tuned generator of these weights, or the folder of `vidswap tune`")


class GenerateStyleGAN2Options(_StyleGANOptions):
    """Weights of a StyleGAN2, and how it runs."""

    weights: str = Field(
        "stylegan2-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256"
    )


class GenerateStyleGAN3Options(_StyleGANOptions):
    """Weights of a StyleGAN3, and how it runs."""

    weights: str = Field(
        "stylegan3-r-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256"
    )


OptionsT = TypeVar("OptionsT", bound=_StyleGANOptions)


class _Synthesis(Learned[OptionsT]):
    """`image` of each code, in the size of the crop where there is one, and the cover `alpha`.

    Noise is the checkpoint's own, the same in every frame. Without `regions` the cover is the square.
    """

    needs = ("wplus",)
    uses = ("crop", "regions", "track", "tuned")
    gives = ("image", "alpha")
    served = True
    family: ClassVar[Literal["stylegan2", "stylegan3"]]

    def files(self) -> Sequence[Path]:
        """The weights, and what they are tuned by."""
        return [*super().files(), *(Tuned(self.options.tuned).files if self.options.tuned else ())]

    def load(self) -> Loaded:
        """The generator, or the decoder of a checkpoint with several networks."""
        from vidswap.latents.generators import load_generator

        return load_generator(self.options.weights, self.family)

    def fits(self, loaded: Loaded, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the shape of the codes that come against the generator's."""
        from vidswap.graph.errors import InputError
        from vidswap.latents.generators import misfit

        if self.options.tuned:
            Tuned(self.options.tuned).check(loaded.net)
        own = (loaded.num_ws, loaded.net.config.w_dim)
        if "wplus" in sizes and sizes["wplus"] != own:
            raise InputError(misfit(sizes["wplus"], own, loaded.title))

    def start(self, loaded: Loaded, device: torch.device) -> None:
        """Bring the generator to the device."""
        self._device, self._tuned = device, Tuned(self.options.tuned) if self.options.tuned else None
        self._painters: OrderedDict[Path | None, Painter] = OrderedDict()
        if self._tuned is None:
            self._painter(None, loaded)

    def _painter(self, file: Path | None, loaded: Loaded | None = None) -> Painter:
        """The painter of a tuned generator, or of the one as it is; those used last are kept."""
        from vidswap.latents.generators import Painter, tuned

        if file not in self._painters:
            loaded = loaded or self.load()
            how = self.options
            made = Painter(
                tuned(loaded, file) if file else loaded, device=self._device, precision=how.precision, batch=how.batch
            )
            self._painters[file] = made
            while len(self._painters) > _MOST_PAINTERS:
                self._painters.popitem(last=False)
        self._painters.move_to_end(file)
        return self._painters[file]

    def _groups(self, batch: Batch) -> Iterable[tuple[Path | None, Sequence[int]]]:
        """Rows by the tuned generator that makes them."""
        if "tuned" in batch:
            files = [tuned_file(str(digest)) for digest in batch["tuned"]]
            return [(file, [row for row, other in enumerate(files) if other == file]) for file in dict.fromkeys(files)]
        if self._tuned is None:
            return [(None, range(len(batch)))]
        tracks = batch["track"] if "track" in batch.names else None
        return self._tuned.groups(tracks, len(batch))

    def prepare(self, batch: Batch) -> Batch:
        """The codes, tracks and labels, and of the crops their sizes alone, as the column `side`."""
        made = Batch(frame=batch["frame"], wplus=batch["wplus"])
        made = made.with_columns(**{name: batch[name] for name in ("track", "tuned") if name in batch})
        if "crop" in batch:
            made = made.with_columns(side=np.array([crop.shape[0] for crop in batch["crop"]], np.int64))
        return made.with_columns(regions=batch["regions"]) if "regions" in batch else made

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 and alpha (S, S) float32 to each row."""
        import torch

        from vidswap.nets.devices import threads

        codes = torch.from_numpy(np.ascontiguousarray(batch["wplus"]))
        found: dict[int, np.ndarray] = {}
        for file, rows in self._groups(batch):
            with threads(self._threads):
                painter = self._painter(file)
                found |= dict(zip(rows, painter.pictures(codes[list(rows)]), strict=True))
            self.told += painter.warnings
            painter.warnings = []
        pictures = np.stack([found[row] for row in range(len(batch))])
        given = batch if "side" in batch else self.prepare(batch)
        sizes = given["side"].tolist() if "side" in given else [pictures.shape[1]] * len(batch)
        images = [brought(picture, size) for picture, size in zip(pictures, sizes, strict=True)]
        labels = batch["regions"] if "regions" in batch else [None] * len(batch)
        covers = [cover(label, size, self.options.cover) for label, size in zip(labels, sizes, strict=True)]
        return batch.with_columns(image=object_column(images), alpha=object_column(covers))


class GenerateStyleGAN2(_Synthesis[GenerateStyleGAN2Options]):
    """StyleGAN2 (Karras et al. 2020): pictures of codes in W+."""

    kind, family = "generate", "stylegan2"
    Options = GenerateStyleGAN2Options


class GenerateStyleGAN3(_Synthesis[GenerateStyleGAN3Options]):
    """StyleGAN3-T or -R (Karras et al. 2021): pictures of codes in W+."""

    kind, family = "generate", "stylegan3"
    Options = GenerateStyleGAN3Options


def brought(image: np.ndarray, size: int) -> np.ndarray:
    """An image (R, R, 3) at `size` px a side; averaged where it becomes smaller."""
    if len(image) == size:
        return image
    how = cv2.INTER_AREA if len(image) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=how))


def cover(labels: np.ndarray | None, size: int, what: str) -> np.ndarray:
    """(size, size) float32, 0..1: where a generated picture replaces the crop.

    labels (size, size) of the crop, None where nobody has told what is where: then it is the square.
    """
    chosen = None if what == "square" or labels is None else np.isin(labels, _COVERED[what])
    return blending.soft_cover(chosen, size)


_FACE = (regions.LIP, regions.EYEBROWS, regions.EYES, regions.NOSE, regions.SKIN, regions.MOUTH, regions.EYE_GLASS)
_COVERED = {"face": _FACE, "head": (*_FACE, regions.HAIR, regions.EARS, regions.EAR_RINGS)}
