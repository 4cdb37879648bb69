"""Generate by StyleGAN2 and StyleGAN3: from codes in W+ to pictures of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import cv2
import numpy as np
from pydantic import Field

from vidswap.faces import blending, regions
from vidswap.graph.batch import Batch, object_column

from .learned import Learned, LearnedOptions

if TYPE_CHECKING:
    import torch

    from vidswap.latents.generators import Loaded, Painter


class _StyleGANOptions(LearnedOptions):
    """How the generator runs, and where its picture will replace the frame."""

    cover: Literal["face", "head", "square"] = Field(
        "face", description="what of the frame is replaced: face, head (with hair and ears), or the whole square"
    )


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
    uses = ("crop", "regions")
    gives = ("image", "alpha")
    served = True
    family: ClassVar[Literal["stylegan2", "stylegan3"]]

    def load(self) -> Loaded:
        """The generator, or the decoder of a checkpoint with several networks."""
        from vidswap.latents.generators import load_generator

        return load_generator(self.options.weights, self.family)

    def fits(self, loaded: Loaded, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the shape of the codes that come against the generator's."""
        from vidswap.graph.errors import InputError
        from vidswap.latents.generators import misfit

        own = (loaded.num_ws, loaded.net.config.w_dim)
        if "wplus" in sizes and sizes["wplus"] != own:
            raise InputError(misfit(sizes["wplus"], own, loaded.title))

    def start(self, loaded: Loaded, device: torch.device) -> None:
        """Bring the generator to the device."""
        from vidswap.latents.generators import Painter

        self._painter: Painter = Painter(
            loaded, device=device, precision=self.options.precision, batch=self.options.batch
        )

    def prepare(self, batch: Batch) -> Batch:
        """The codes, the labels, and of the crops their sizes alone, as the column `side`."""
        made = Batch(frame=batch["frame"], wplus=batch["wplus"])
        if "crop" in batch:
            made = made.with_columns(side=np.array([crop.shape[0] for crop in batch["crop"]], np.int64))
        return made.with_columns(regions=batch["regions"]) if "regions" in batch else made

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 and alpha (S, S) float32 to each row."""
        import torch

        from vidswap.nets.devices import threads

        with threads(self._threads):
            pictures = self._painter.pictures(torch.from_numpy(np.ascontiguousarray(batch["wplus"])))
        self.told += self._painter.warnings
        self._painter.warnings = []
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
    if image.shape[0] == size:
        return image
    how = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=how)


def cover(labels: np.ndarray | None, size: int, what: str) -> np.ndarray:
    """(size, size) float32, 0..1: where a generated picture replaces the crop.

    labels (size, size) of the crop, None where nobody has told what is where: then it is the square.
    """
    chosen = None if what == "square" or labels is None else np.isin(labels, _COVERED[what])
    return blending.soft_cover(chosen, size)


_FACE = (regions.LIP, regions.EYEBROWS, regions.EYES, regions.NOSE, regions.SKIN, regions.MOUTH, regions.EYE_GLASS)
_COVERED = {"face": _FACE, "head": (*_FACE, regions.HAIR, regions.EARS, regions.EAR_RINGS)}
