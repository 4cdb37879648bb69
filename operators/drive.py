"""Drive: the source's face as it would stand where the target's face stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import alignment, driving, topology
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import NoOptions, Operator, Setting

from .generate import people_of
from .learned import Learned, LearnedOptions, named_or_installed, weights_files
from .reenact import mouth_of

if TYPE_CHECKING:
    import torch

    from vidswap.nets.facevid2vid import FaceVid2Vid, Source
    from vidswap.nets.gpen import GPEN
    from vidswap.nets.rrdbnet import RRDBNet

PORTRAIT_SIDE = 512


class InvertHead(Operator[NoOptions]):
    """The source's head in an aligned square, wider than FFHQ's, and the landmarks of its face there."""

    kind = "invert"
    needs = ("picture", "landmarks")
    gives = ("portrait", "portrait_landmarks")
    batch_size = 1

    def __call__(self, batch: Batch) -> Batch:
        """Adds portrait (512, 512, 3) uint8 and portrait_landmarks (478, 3) float32 to each row."""
        images, points = [], []
        for picture, landmarks in zip(batch["picture"], batch["landmarks"], strict=True):
            axes = alignment.ffhq_axes(landmarks)
            matrix = alignment.matrix_of_axes(axes, PORTRAIT_SIDE, driving.PORTRAIT_SCALE)
            images.append(picture.crop(matrix, (PORTRAIT_SIDE, PORTRAIT_SIDE)))
            points.append(alignment.transform(matrix, landmarks).astype(np.float32))
        return batch.with_columns(portrait=np.stack(images), portrait_landmarks=np.stack(points))


class GenerateDrivenOptions(LearnedOptions):
    """Which driver, and the size of the face driven without weights."""

    weights: str = Field(
        "auto", description="auto: facevid2vid where it is installed, else none; or a name, a file, none (by landmarks)"
    )
    size: int = Field(512, ge=64, le=1024, description="px a side of a face driven by landmarks; FaceVid2Vid's has 256")
    enhance: str = Field(
        "none",
        description="what sharpens the driven face: gpen-512, realesrnet-x4, a file of such a network, auto (gpen-512 "
        "where it is installed) or none",
    )

    @field_validator("precision")
    @classmethod
    def _exact(cls, value: str) -> str:
        if value != "fp32":
            raise ValueError("the driver runs in fp32; leave the precision out")
        return value


class GenerateDriven(Learned[GenerateDrivenOptions]):
    """The first portrait of each person in pose and expression of the target's face, aligned as FFHQ.

    By FaceVid2Vid, whose view of each portrait is worked out once, or without its weights by landmarks
    (`vidswap.faces.driving`). With `enhance` a restorer has the last word, as in E4S' own program.
    """

    kind = "generate"
    needs = ("picture", "landmarks", "crop")
    uses = ("source",)
    gives = ("driven", "driven_landmarks")
    needs_source = ("portrait", "portrait_landmarks")
    Options = GenerateDrivenOptions

    def files(self) -> list[Path]:
        """The files of the weights, where there are any."""
        named = named_or_installed(self.options.weights, "facevid2vid")
        enhancing = named_or_installed(self.options.enhance, "gpen-512")
        return [path for weights in (named, enhancing) if weights is not None for path in weights_files(weights)]

    def ready(self, device: str | None, sizes: dict[str, tuple[int, ...]]) -> None:
        """Load the weights and look for the device. Raises InputError."""
        super().ready(device, sizes)
        self._restorer_net()

    def _restorer_net(self) -> GPEN | RRDBNet | None:
        enhancing = named_or_installed(self.options.enhance, "gpen-512")
        if enhancing is None:
            return None
        from vidswap.latents.restorers import load_restorer

        return load_restorer(enhancing)

    def load(self) -> FaceVid2Vid | None:
        """The networks, None where the portrait is driven by landmarks. Raises InputError."""
        from vidswap.nets import facevid2vid
        from vidswap.weights.store import load

        named = named_or_installed(self.options.weights, "facevid2vid")
        if named is None:
            return None
        needs = {part: {"network": network} for part, network in _PARTS.items()}
        checkpoint = load(named, needs=needs)
        return facevid2vid.network_of({part: checkpoint.part(part) for part in facevid2vid.PARTS})

    def setup(self, setting: Setting) -> None:
        """Prepare driver and portraits. Raises InputError for a face too small to be moved."""
        self._portraits = setting.people()
        super().setup(setting)

    def start(self, loaded: FaceVid2Vid | None, device: torch.device) -> None:
        """Look at the portraits."""
        import torch

        from vidswap.latents.restorers import Restorer
        from vidswap.nets.devices import InBatches

        self._net = loaded
        restoring = self._restorer_net()
        self._restorer = None if restoring is None else Restorer(restoring, device, self.options.batch)
        if loaded is None:
            if self.options.weights == "auto":
                self.told.append(
                    "drive: the weights facevid2vid are not installed, so the portrait is driven by landmarks "
                    "(vidswap weights info facevid2vid)"
                )
            self._people = [
                driving.Driven(person["portrait"][0], person["portrait_landmarks"][0]) for person in self._portraits
            ]
            return
        loaded.to(device)
        self._run = InBatches(device, self.options.batch, what="generate.driven")
        with torch.inference_mode():
            self._sources = [loaded.source(_network_input([_head(person)]).to(device)) for person in self._portraits]

    def __call__(self, batch: Batch) -> Batch:
        """Adds driven (S, S, 3) uint8 and driven_landmarks (478, 2) float32 to each row.

        Landmarks are in pixels of the driven face; nan where FaceVid2Vid made it, which tells of none.
        """
        becomes = people_of(batch, len(self._portraits))
        if self._net is None:
            made = [self._warped(*row) for row in zip(batch["picture"], batch["landmarks"], becomes, strict=True)]
            images, points = [image for image, _ in made], np.stack([placed for _, placed in made])
        else:
            images = self._animated(list(batch["crop"]), becomes)
            points = np.full((len(batch), topology.POINTS, 2), np.nan, np.float32)
        if self._restorer is not None:
            images, points = self._enhanced(images, points)
        return batch.with_columns(driven=object_column(images), driven_landmarks=points)

    def _enhanced(self, images: list[np.ndarray], points: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Images in the restorer's size, and the landmarks (N, 478, 2) there."""
        from vidswap.nets.devices import threads

        assert self._restorer is not None
        with threads(self._threads):
            made = self._restorer(images)
        self.told += self._restorer.take_warnings()
        scale = np.array([len(after) / len(before) for after, before in zip(made, images, strict=True)])[:, None, None]
        return made, ((points + 0.5) * scale - 0.5).astype(np.float32)

    def _warped(self, picture: Any, landmarks: np.ndarray, person: int) -> tuple[np.ndarray, np.ndarray]:
        mouth = mouth_of(picture, landmarks)
        return self._people[person].as_target(landmarks, self.options.size, mouth)

    def _animated(self, crops: list[np.ndarray], becomes: np.ndarray) -> list[np.ndarray]:
        """(256, 256, 3) uint8 for each target's crop (S, S, 3), of the person that it becomes."""
        from vidswap.nets.devices import threads

        net = self._net
        assert net is not None
        images: list[np.ndarray] = [np.empty(0)] * len(crops)
        with threads(self._threads):
            for person in np.unique(becomes):
                rows = np.flatnonzero(becomes == person)
                source = self._sources[person]

                def animate(frames: torch.Tensor, source: Source = source) -> torch.Tensor:
                    # Cut off, not rounded, as released.
                    return (net.animate(source, net.motion(frames)).clamp(0, 1) * 255).byte().permute(0, 2, 3, 1)

                made = self._run(animate, _network_input([crops[row] for row in rows])).numpy()
                for row, image in zip(rows, made, strict=True):
                    images[row] = np.ascontiguousarray(image)
        self.told += self._run.told
        self._run.told = []
        return images


_SIDE = 256
_PARTS = {
    "kp_detector": "facevid2vid-keypoints",
    "he_estimator": "facevid2vid-pose",
    "generator": "facevid2vid-generator",
}


def _head(person: Batch) -> np.ndarray:
    """(256, 256, 3) uint8: the first portrait, cut as FFHQ."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(person["portrait_landmarks"][0]), _SIDE)
    how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    return np.asarray(cv2.warpAffine(person["portrait"][0], matrix, (_SIDE, _SIDE), **how))


def _network_input(crops: list[np.ndarray]) -> torch.Tensor:
    """(N, 3, 256, 256) float32 in 0..1 of crops (S, S, 3) uint8, averaged where they are larger."""
    import torch

    made = []
    for crop in crops:
        how = cv2.INTER_AREA if len(crop) > _SIDE else cv2.INTER_LINEAR
        small = crop if len(crop) == _SIDE else cv2.resize(crop, (_SIDE, _SIDE), interpolation=how)
        made.append(torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1) / 255.0)
    return torch.stack(made)
