"""A video that is a number of frames, and the pipeline that a cluster which does not exist runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.graph import InputError, NoOptions, Operator


@dataclass
class SimulatedVideo:
    """A number of frames."""

    path: Path
    frame_count: int
    keyframes: Sequence[int] = ()
    width: int = 1920
    height: int = 1080

    @property
    def pts(self) -> np.ndarray:
        return np.arange(self.frame_count)

    @property
    def content_hash(self) -> str:
        return f"simulated-{self.frame_count}"


class Decode(Operator[NoOptions]):
    kind, each = "decode", "frame"

    def probe(self, path: Path) -> SimulatedVideo:
        if not path.read_text().isdigit():
            raise InputError(f"{path} is no simulated video")
        return SimulatedVideo(path, int(path.read_text()))

    def take_warnings(self) -> list[str]:
        return []


class Detect(Operator[NoOptions]):
    kind, each, yields = "detect", "frame", "face"
    needs, gives = ("picture",), ("box",)


class Track(Operator[NoOptions]):
    kind, ordered = "detect", True
    needs, gives = ("box",), ("track",)


class Smooth(Operator[NoOptions]):
    kind, context = "smooth", 12
    needs, gives = ("box", "track"), ("matrix",)


class Generate(Operator[NoOptions]):
    kind = "generate"
    needs, gives = ("picture", "matrix"), ("picture",)


class Encode(Operator[NoOptions]):
    kind, each = "encode", "frame"
    extension = ".txt"

    def check(self, video: Any, output: Path) -> None:
        pass

    def why_not_copied(self, video: Any, output: Path) -> str:
        return "simulated"

    def join(self, video: Any, segments: Sequence[Path], output: Path, notes: Any, copied: Any = ()) -> list[str]:
        output.write_text(str(len(segments)))
        return []

    def can_copy(self, video: Any, output: Path) -> bool:
        return False


def simulated_pipeline() -> dict[str, Any]:
    """Analysis, a scan, compositing: the shape of a swap."""
    operators = (Decode, Detect, Track, Smooth, Generate, Encode)
    stages = [{"use": f"{o.__module__}:{o.__name__}", "name": o.__name__.lower()} for o in operators]
    return {"name": "simulated", "stages": stages}
