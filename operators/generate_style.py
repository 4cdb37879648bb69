"""Generate by StyleGAN2 from codes in S: pictures of styles that were mixed or edited layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from vidswap.graph.batch import Batch, object_column
from vidswap.graph.errors import InputError

from .learned import Learned, LearnedOptions

if TYPE_CHECKING:
    import torch

    from vidswap.latents.generators import Loaded, Painter


class GenerateStyleOptions(LearnedOptions):
    """Weights of the StyleGAN2, and how it runs."""

    weights: str = Field(
        "stylegan2-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256"
    )


class GenerateStyle(Learned[GenerateStyleOptions]):
    """`image` of each code in S, in the generator's own size. Noise is the checkpoint's own, equal in all frames."""

    kind, served = "generate", True
    needs = ("style",)
    gives = ("image",)
    Options = GenerateStyleOptions

    def load(self) -> Loaded:
        """The generator, or the decoder of a checkpoint with several networks."""
        from vidswap.latents.generators import load_generator

        return load_generator(self.options.weights, "stylegan2")

    def fits(self, loaded: Loaded, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the width of the codes that come against the generator's."""
        own = sum(layer.in_channels for layer in loaded.net.config.layers)
        if "style" in sizes and sizes["style"] != (own,):
            told = f"codes of {sizes['style'][0]} styles do not fit {loaded.title}, which takes {own}"
            raise InputError(f"{told}; take the generator that the codes were mixed for")

    def start(self, loaded: Loaded, device: torch.device) -> None:
        """Bring the generator to the device."""
        from vidswap.latents.generators import Painter

        self._painter: Painter = Painter(
            loaded, device=device, precision=self.options.precision, batch=self.options.batch
        )

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 to each row."""
        import torch

        from vidswap.nets.devices import threads

        with threads(self._threads):
            pictures = self._painter.of_styles(torch.from_numpy(np.ascontiguousarray(batch["style"])))
        self.told += self._painter.warnings
        self._painter.warnings = []
        return batch.with_columns(image=object_column(list(pictures)))
