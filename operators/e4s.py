"""E4S, face swapping by regional GAN inversion: the stages with its networks, and how results are laid into frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import blending, label_maps, regional_blending
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options, Setting

from .generate_stylegan import brought
from .learned import Learned, LearnedOptions, sized
from .tuned import Tuned

if TYPE_CHECKING:
    import torch

    from vidswap.latents.region_networks import RegionPainter, VectorReader
    from vidswap.nets.rgi import RGI

_LOUD = "{}: RANDOM weights of E4S: the pictures are noise, for trials alone"


class E4SOptions(LearnedOptions):
    """Weights of E4S, and how the network runs."""

    weights: str = Field("e4s", description="a name of `vidswap weights list`, a file, or random, random:64 for trials")


class InvertE4SOptions(E4SOptions):
    """The same; the encoder runs in fp32."""

    @field_validator("precision")
    @classmethod
    def _exact(cls, value: str) -> str:
        if value != "fp32":
            raise ValueError("the region encoder runs in fp32; leave the precision out")
        return value


E4ST = TypeVar("E4ST", bound=E4SOptions)


_SHAPE = "e4s"  # among what stages hold against each other: side of the pictures, and K


def _shape(net: RGI) -> tuple[int, int]:
    return net.config.generator.resolution, net.config.rows


class _E4S(Learned[E4ST]):
    """What stages with E4S's networks have in common."""

    def load(self) -> RGI:
        """The networks. Raises InputError."""
        from vidswap.latents.region_networks import load_networks

        if self.options.weights.split(":")[0] == "random":
            self.told.append(_LOUD.format(self.kind))
        return load_networks(self.options.weights)


class InvertE4S(_E4S[InvertE4SOptions]):
    """Style vectors of the regions of target and driven face, both in one batch of the encoder.

    Where there is no driven face, as for a source, its vectors are the face's own.
    """

    kind, served = "invert", True
    needs = ("crop", "regions")
    uses = ("driven", "driven_regions")
    gives = ("vectors", "driven_vectors")
    Options = InvertE4SOptions
    gpu_memory_gib = 4.0

    def fits(self, loaded: RGI, sizes: dict[str, tuple[int, ...]]) -> None:
        """Say of which shape the vectors will be."""
        from vidswap.latents.region_networks import vector_shape

        sizes["vectors"], sizes[_SHAPE] = vector_shape(loaded), _shape(loaded)

    def start(self, loaded: RGI, device: torch.device) -> None:
        """Bring the encoder to the device."""
        from vidswap.latents.region_networks import VectorReader

        self._reader: VectorReader = VectorReader(loaded, device, self.options.batch)

    def __call__(self, batch: Batch) -> Batch:
        """Adds vectors and driven_vectors (12, 1280) float16 to each row."""
        from vidswap.nets.devices import threads

        crops, labels = list(batch["crop"]), list(batch["regions"])
        is_driven = "driven" in batch
        if is_driven:
            crops, labels = crops + list(batch["driven"]), labels + list(batch["driven_regions"])
        with threads(self._threads):
            found = self.vectors(crops, labels).astype(np.float16)
        self.told += self._reader.take_warnings()
        own, driven = found[: len(batch)], found[len(batch) :] if is_driven else found
        return batch.with_columns(vectors=own, driven_vectors=driven)

    def vectors(self, crops: list[np.ndarray], labels: list[np.ndarray]) -> np.ndarray:
        """(N, 12, D) float32 of crops (S, S, 3) uint8 and label maps (L, L) uint8."""
        return self._reader(crops, labels)


_MOST_PAINTERS = 2


class GenerateE4SOptions(E4SOptions):
    """The same, and what the generator is tuned by."""

    tuned: str = Field("", description="a tuned generator of these weights, or the folder of `vidswap tune`")


class GenerateE4S(_E4S[GenerateE4SOptions]):
    """The picture that vectors and label map stand for, and its cover as E4S has it."""

    kind, served = "generate", True
    needs = ("style_vectors", "label_map", "crop")
    uses = ("track",)
    gives = ("image",)
    Options = GenerateE4SOptions
    gpu_memory_gib = 8.0

    def files(self) -> list[Path]:
        """The weights, and what they are tuned by."""
        return [*super().files(), *(Tuned(self.options.tuned).files if self.options.tuned else ())]

    def fits(self, loaded: RGI, sizes: dict[str, tuple[int, ...]]) -> None:
        """Hold the shape of the vectors that come against the networks'. Raises InputError."""
        from vidswap.latents.region_networks import vector_shape

        if self.options.tuned:
            Tuned(self.options.tuned).check(loaded)
        own = vector_shape(loaded)
        if sizes.get("vectors", own) != own:
            raise InputError(
                f"{self.options.weights} takes vectors of {own}, but those of invert are {sizes['vectors']}; "
                "give both stages the same weights"
            )
        (size, rows), (their_size, their_rows) = _shape(loaded), sizes.get(_SHAPE, _shape(loaded))
        if (size, rows) != (their_size, their_rows):
            raise InputError(
                f"{self.options.weights} is E4S of {size} px with K = {rows}, but that of invert has "
                f"{their_size} px and K = {their_rows}; give both stages the same weights"
            )

    def start(self, loaded: RGI, device: torch.device) -> None:
        """Bring the generator to the device."""
        self._device, self._tuned = device, Tuned(self.options.tuned) if self.options.tuned else None
        self._painters: OrderedDict[Path | None, RegionPainter] = OrderedDict()
        if self._tuned is None:
            self._painter(None, loaded)

    def _painter(self, file: Path | None, loaded: RGI | None = None) -> RegionPainter:
        """The painter of a tuned generator, or of the one as it is; those used last are kept."""
        from vidswap.latents import differences
        from vidswap.latents.region_networks import RegionPainter

        if file not in self._painters:
            net = loaded or self.load()
            if file is not None:
                differences.applied(net, file)
            how = self.options
            self._painters[file] = RegionPainter(net, self._device, how.batch, how.precision, title=how.weights)
            while len(self._painters) > _MOST_PAINTERS:
                self._painters.popitem(last=False)
        self._painters.move_to_end(file)
        return self._painters[file]

    def prepare(self, batch: Batch) -> Batch:
        """Vectors and label maps; of crops only their sizes."""
        return sized(super().prepare(batch))

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 to each row, in the size of the crop."""
        from vidswap.nets.devices import threads

        labels = [label_maps.unpacked(bytes(kept))[0] for kept in batch["label_map"]]
        sizes = sized(batch)["size"].tolist()
        images: list[np.ndarray] = [np.empty(0)] * len(batch)
        for file, rows in self._groups(batch):
            with threads(self._threads):
                painter = self._painter(file)
                pictures = painter(batch["style_vectors"][list(rows)], [labels[row] for row in rows])
            self.told += painter.take_warnings()
            for row, picture in zip(rows, pictures, strict=True):
                images[row] = brought(picture, sizes[row])
        return batch.with_columns(image=object_column(images))

    def _groups(self, batch: Batch) -> Iterable[tuple[Path | None, Sequence[int]]]:
        """Rows by the tuned generator that makes them."""
        if self._tuned is None:
            return [(None, range(len(batch)))]
        return self._tuned.groups(batch["track"] if "track" in batch.names else None, len(batch))


class BlendE4SOptions(Options):
    """How the generated face is joined to the frame, and what of it is shown."""

    mode: Literal["multiband", "gradient", "feather", "soft", "laplacian"] = Field(
        "multiband",
        description="how edges are joined: as elsewhere in vidswap, or soft and laplacian as E4S has them",
    )
    cover: str = Field(
        "auto",
        description="what is shown: picture (with ears and neck), video (without), auto (as the target is), changed "
        "(what a drawn map changes alone), or regions, with commas, besides",
    )

    @field_validator("cover")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("auto", "picture", "video", "changed"):
            from vidswap.latents.regions import named

            try:
                named(value)
            except InputError as error:
                raise ValueError(
                    str(error).replace("regions is", "cover is auto, picture, video, changed or regions, not")
                ) from None
        return value


class BlendE4S(Operator[BlendE4SOptions]):
    """Writes the generated face into the frame's planes where the label map has its regions or a hole was filled."""

    kind = "blend"
    needs = ("picture", "matrix", "crop", "image", "label_map")
    gives = ("picture",)
    Options = BlendE4SOptions

    def setup(self, setting: Setting) -> None:
        """See whether the target is a picture or a video."""
        self._kind = self.options.cover
        if self._kind == "auto":
            self._kind = "picture" if setting.video is not None and setting.video.frame_count == 1 else "video"

    def __call__(self, batch: Batch) -> Batch:
        """Changes each row's picture in place."""
        columns = (batch[name] for name in self.needs)
        for picture, matrix, crop, generated, kept in zip(*columns, strict=True):
            picture.composite(matrix, *self._joined(crop, generated, bytes(kept)))
        return batch

    def _joined(self, crop: np.ndarray, image: np.ndarray, kept: bytes) -> tuple[np.ndarray, np.ndarray]:
        """What is laid over the frame, and its cover, (S, S, 3) and (S, S)."""
        labels, hole = label_maps.unpacked(kept)
        face = self._shown(labels, hole)
        alpha = regional_blending.soft_alpha(face, len(crop))
        mode = self.options.mode
        if mode == "laplacian":
            reach = 2 * regional_blending.RADIUS
            cover = regional_blending.soft_alpha(regional_blending.widened(face, reach), len(crop))
            return regional_blending.laplacian(crop, image, face), cover
        return blending.join(crop, image, alpha, "feather" if mode == "soft" else mode)

    def _shown(self, labels: np.ndarray, hole: np.ndarray) -> np.ndarray:
        if self._kind == "picture" or self._kind == "video":
            face = regional_blending.foreground(labels, hole, self._kind)  # type: ignore[arg-type]
            is_released = self.options.mode in ("soft", "laplacian")
            return face if is_released else regional_blending.without_specks(face)
        if self._kind == "changed":
            return hole.astype(np.uint8)
        from vidswap.latents.regions import named

        return (np.isin(labels, named(self._kind)) | hole).astype(np.uint8)
