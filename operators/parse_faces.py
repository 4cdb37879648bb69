"""Parse by a trained network: the twelve regions of target and driven face, by BiSeNet; and label maps of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from pydantic import Field

from vidswap.faces import alignment, label_maps, parsing
from vidswap.faces.models import FaceModel
from vidswap.faces.regions import paint_regions
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.media.index import VideoIndex

from .learned import Learned, LearnedOptions, named_or_installed, weights_files

if TYPE_CHECKING:
    import torch

    from vidswap.nets.bisenet import BiSeNet

SIDE = 512
"""Pixels a side of the label maps, as BiSeNet and E4S have them."""


class ParseBiSeNetOptions(LearnedOptions):
    """Weights of the parser, and how it runs."""

    weights: str = Field(
        "auto",
        description="auto: bisenet where it is installed, else landmarks and a segmenter; or a name, a file, none",
    )
    task: Path | None = Field(None, description="a FaceLandmarker .task bundle instead of MediaPipe's own models")


class ParseBiSeNet(Learned[ParseBiSeNetOptions]):
    """The twelve regions of the face, and of the driven face where there is one, 512 px a side.

    By BiSeNet, or without its weights by landmarks, the person segmenter and colour. What `occluded` says came before
    the face is background. Faces in which the parser sees none are left out, and told.
    """

    kind = "parse"
    needs = ("crop", "matrix", "landmarks")
    uses = ("driven", "driven_landmarks", "occluded")
    gives = ("regions", "driven_regions")
    Options = ParseBiSeNetOptions

    def files(self) -> list[Path]:
        """The file of the weights, where there are any."""
        named = named_or_installed(self.options.weights, "bisenet")
        return [] if named is None else weights_files(named)

    def load(self) -> BiSeNet | None:
        """The parser, None where it has to be done without. Raises InputError."""
        from vidswap.nets import bisenet
        from vidswap.nets.layers import assembled, seeded
        from vidswap.weights.store import load

        named = named_or_installed(self.options.weights, "bisenet")
        if named is None:
            return None
        if named.split(":")[0] == "random":
            self.told.append("parse: random weights of BiSeNet: label maps are noise, for trials alone")
            return seeded(bisenet.BiSeNet, 0)
        state = load(named, needs={"": {"network": "bisenet"}}).part("")
        config = bisenet.config_of(state)
        if config.classes != len(label_maps.BISENET):
            raise InputError(f"{named}: parses {config.classes} classes; {len(label_maps.BISENET)} were expected")
        return assembled(lambda: bisenet.BiSeNet(config), state)

    def start(self, loaded: BiSeNet | None, device: torch.device) -> None:
        """Bring the parser to the device, or load what does without."""
        from vidswap.nets.devices import InBatches

        self._net, self._run = loaded, InBatches(device, self.options.batch, what="parse.bisenet")
        if loaded is not None:
            loaded.to(device)
            return
        from vidswap.faces.mediapipe_models import load_face_model

        if self.options.weights == "auto":
            self.told.append(
                "parse: the weights bisenet are not installed, so regions are told by landmarks, a segmenter and "
                "colour (vidswap weights info bisenet)"
            )
        self._model: FaceModel = load_face_model(self.options.task)

    def __call__(self, batch: Batch) -> Batch:
        """Adds regions and driven_regions, (512, 512) uint8 each; rows without a face are dropped."""
        points = [alignment.transform(m, p) for m, p in zip(batch["matrix"], batch["landmarks"], strict=True)]
        own = self._parsed(list(batch["crop"]), points)
        if "occluded" in batch:
            own = [_free(*row) for row in zip(own, batch["crop"], points, batch["occluded"], strict=True)]
        driven = own
        if "driven" in batch:
            driven = self._parsed(list(batch["driven"]), list(batch["driven_landmarks"]))
        seen = np.array([parsing.shows_face(a) and parsing.shows_face(b) for a, b in zip(own, driven, strict=True)])
        if not seen.all():
            frames = ", ".join(str(f) for f in np.unique(batch["frame"][~seen])[:5])
            more = " ..." if (~seen).sum() > 5 else ""
            self.told.append(f"parse: the parser sees no face in frames {frames}{more}; those faces stay as they are")
        result = batch.with_columns(regions=object_column(own), driven_regions=object_column(driven))
        return result.take(seen)

    def _parsed(self, crops: list[np.ndarray], points: list[np.ndarray]) -> list[np.ndarray]:
        """(512, 512) uint8 regions of each crop (S, S, 3), whose landmarks are points (478, 2 or 3); nan: not known."""
        if self._net is None:
            return [self._painted(*row) for row in zip(crops, points, strict=True)]
        import torch

        from vidswap.nets import bisenet
        from vidswap.nets.devices import threads

        net = self._net

        def labels(crops: torch.Tensor) -> torch.Tensor:
            images = crops.permute(0, 3, 1, 2) / 255.0
            if images.shape[2] == 2 * SIDE:
                # As E4S halves its crops.
                images = bisenet.reduced(images, 2).clamp(0, 1)
            return net(bisenet.normalised_faces(images)).argmax(1).to(torch.uint8)

        with threads(self._threads):
            found = self._run(labels, torch.from_numpy(np.stack([_sized(crop) for crop in crops]))).numpy()
        self.told += self._run.told
        self._run.told = []
        return [label_maps.to_regions(one, "bisenet") for one in found]

    def _painted(self, crop: np.ndarray, points: np.ndarray) -> np.ndarray:
        size = len(crop)
        if size != SIDE:
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if size > SIDE else cv2.INTER_LINEAR)
            points = (points[:, :2] + 0.5) * (SIDE / size) - 0.5
        if np.isnan(points).any():
            mesh = self._model.landmarks(crop)
            if mesh is None:
                return np.zeros((SIDE, SIDE), np.uint8)
            points = mesh.points
        return paint_regions(crop, points[:, :2], self._model.segment(crop))

    def teardown(self) -> None:
        """Free the models."""
        if hasattr(self, "_model"):
            self._model.close()


def _sized(crop: np.ndarray) -> np.ndarray:
    """A crop (S, S, 3) uint8 at 512 px; those of 1024 px as they are."""
    if len(crop) in (SIDE, 2 * SIDE):
        return crop
    how = cv2.INTER_AREA if len(crop) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=how))


def _free(labels: np.ndarray, crop: np.ndarray, points: np.ndarray, occluded: np.ndarray) -> np.ndarray:
    """Labels without what stands before the face; worked out at 512 px."""
    if not occluded.any():
        return labels
    scale = SIDE / len(crop)
    small = crop if scale == 1 else cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    placed = np.column_stack([(points[:, :2] + 0.5) * scale - 0.5, points[:, 2] * scale])
    return parsing.without_occluders(labels, small, placed, occluded)


class ParseFilesOptions(Options):
    """Where the label maps are."""

    path: Path | None = Field(
        None,
        description="a label map for all frames, or a folder of them named by frame (000012.png); none: off",
    )
    order: Literal["regions", "bisenet", "celebamask"] = Field(
        "celebamask", description="what its numbers mean: E4S's 12 regions, or one of the two orders of 19 classes"
    )
    only: bool = Field(False, description="leave out faces in frames without a label map of their own: they stay")


_OF_A_FRAME = re.compile(r"(\d+)\.(png|bmp|tif|tiff)$", re.IGNORECASE)


class ParseFiles(Operator[ParseFilesOptions]):
    """Label maps drawn by somebody, as what faces shall look like: `driven_regions`.

    They belong to the aligned square of the face, of which `vidswap edit-regions --write-label-maps` writes one to
    begin from. Frames without a map of their own keep the parser's. Sources are left alone.
    """

    kind = "parse"
    needs = ("regions",)
    gives = ("driven_regions",)
    Options = ParseFilesOptions

    def files(self) -> list[Path]:
        """The label maps. Raises InputError for a path that is not there."""
        path = self.options.path
        if path is None:
            return []
        if not path.exists():
            raise InputError(f"{path}: there is no such label map, nor a folder of them")
        return sorted(self._by_frame(path).values()) if path.is_dir() else [path]

    def setup(self, setting: Setting) -> None:
        """Read the map that is for all frames; find those of single ones. Raises InputError."""
        self._always: np.ndarray | None = None
        self._found: dict[int, Path] = {}
        self._first = 0 if setting.video is None else setting.video.first
        path = self.options.path
        if path is None or setting.video is None:
            return
        if path.is_dir():
            self._found = self._by_frame(path)
            self._check(setting.video)
        else:
            self._always = self._read(path)

    def _check(self, video: VideoIndex) -> None:
        """Frames are counted from the beginning of the file, whatever part of it is asked for."""
        count = (video.whole or video).frame_count
        for frame, path in sorted(self._found.items()):
            if frame >= count:
                raise InputError(f"{path}: is a label map for frame {frame}, but there are frames 0..{count - 1} alone")
        first, last = video.first, video.first + video.frame_count - 1
        if not any(first <= frame <= last for frame in self._found):
            raise InputError(f"{self.options.path}: holds no label map for frames {first}..{last}, which are asked for")

    def __call__(self, batch: Batch) -> Batch:
        """Adds driven_regions: the drawn map where there is one, else the row's own regions."""
        if self.options.only and self._found:
            batch = batch.take(np.isin(batch["frame"] + self._first, list(self._found)))
        made = [self._of(int(f), own) for f, own in zip(batch["frame"], batch["regions"], strict=True)]
        return batch.with_columns(driven_regions=object_column(made))

    def _of(self, frame: int, own: np.ndarray) -> np.ndarray:
        path = self._found.get(self._first + frame)
        if path is not None:
            return label_maps.resized(self._read(path), len(own))
        return own if self._always is None else label_maps.resized(self._always, len(own))

    def _read(self, path: Path) -> np.ndarray:
        return label_maps.read_label_map(path, self.options.order, SIDE)

    @staticmethod
    def _by_frame(folder: Path) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for path in sorted(folder.iterdir()):
            match = _OF_A_FRAME.match(path.name)
            if match is None:
                continue
            frame = int(match[1])
            if frame in found:
                raise InputError(f"{folder}: {found[frame].name} and {path.name} are both for frame {frame}")
            found[frame] = path
        if not found:
            raise InputError(f"{folder}: holds no label maps named by frame, such as 000012.png")
        return found
