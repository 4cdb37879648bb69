"""What a name asks to be written: a container with streams, an animated picture, or a sequence of images."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from vidswap.graph.errors import InputError

from .containers import CONTAINERS
from .image_sequences import is_pattern, natural_key, numbered_name, numbers_of


class OutputKind(Enum):
    """How the frames are kept."""

    CONTAINER = "container"
    ANIMATION = "animation"
    IMAGES = "images"


ANIMATIONS = (".gif", ".apng", ".png", ".webp")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
TAKE_QUALITY = (".webp", ".jpg", ".jpeg")
_SINGLE = (".jpg", ".jpeg", ".tif", ".tiff")
FOLDER_PATTERN = "%06d.png"
NOTES_FILE = "vidswap.json"
INTERMEDIATE = "ffv1"
"""The encoder of segments that are decoded again to be written as pictures."""
_CODECS = {".webm": "libvpx-vp9"}
USUAL_CODEC = "libx264"


@dataclass(frozen=True)
class Output:
    """An output by its name.

    Attributes:
        kind: how frames are kept.
        suffix: with the dot, in lower case; that of the pictures for a sequence.
        folder: the name is that of a folder which is written whole.
        single: one picture, not a sequence.
    """

    path: Path
    kind: OutputKind
    suffix: str
    folder: bool = False
    single: bool = False

    @property
    def codec(self) -> str:
        """The encoder of segments where the user names none."""
        if self.kind is not OutputKind.CONTAINER:
            return INTERMEDIATE
        return _CODECS.get(self.suffix, USUAL_CODEC)


def output_of(path: Path) -> Output:
    """What `path` asks for. Raises InputError, naming all that is written, for another extension."""
    suffix = path.suffix.lower()
    if is_pattern(path):
        if suffix not in IMAGES:
            raise InputError(f"cannot write {path.name}: pictures are written as {', '.join(IMAGES)}")
        return Output(path, OutputKind.IMAGES, suffix)
    if not suffix or path.is_dir():
        return Output(path, OutputKind.IMAGES, ".png", folder=True)
    if suffix in CONTAINERS:
        return Output(path, OutputKind.CONTAINER, suffix)
    if suffix in ANIMATIONS:
        return Output(path, OutputKind.ANIMATION, suffix)
    if suffix in _SINGLE:
        return Output(path, OutputKind.IMAGES, suffix, single=True)
    raise InputError(
        f"cannot write {path.name}: the extension {path.suffix} is not one of "
        f"{', '.join(sorted({*CONTAINERS, *ANIMATIONS}))}; pictures go to a folder or to a pattern such as %06d.jpg"
    )


def is_file_name(path: Path) -> bool:
    """True when the suffix is that of a file with all frames in it."""
    return path.suffix.lower() in (*CONTAINERS, *ANIMATIONS)


def is_image_output(path: Path) -> bool:
    """True when `path` names more than one file: a folder of pictures, or a pattern."""
    return is_pattern(path) or path.is_dir() or not path.suffix


def check_image_output(path: Path, overwrite: bool) -> None:
    """Raise InputError when a sequence must not be written there.

    A folder may hold nothing, or with `overwrite` a sequence of numbered pictures and its note; what else lies in it
    would be lost. Of a pattern the files that it matches count.
    """
    if is_pattern(path):
        numbers = numbers_of(path)
        if numbers and not overwrite:
            raise InputError(f"{path} matches {len(numbers)} files that exist; --overwrite replaces them")
        return
    if not path.is_dir():
        return
    there = sorted((p for p in path.iterdir()), key=lambda p: natural_key(p.name))
    foreign = [p.name for p in there if not (p.is_file() and _is_of_sequence(p))]
    if foreign:
        raise InputError(
            f"the output {path} is a folder that holds other files ({foreign[0]}); give a new folder for pictures, or "
            f"a file name such as {path / 'swapped.mp4'}"
        )
    if there and not overwrite:
        raise InputError(f"{path} holds {len(there)} pictures; --overwrite replaces them")


def occupied(path: Path) -> bool:
    """True when something lies where the output would go."""
    if is_pattern(path):
        return bool(numbers_of(path))
    return any(path.iterdir()) if path.is_dir() else path.exists()


def standing_for(path: Path) -> Path:
    """What tells whether an output is still the one that was written: itself, of numbered pictures the first."""
    return numbered_name(path, 1) if is_pattern(path) else path


def _is_of_sequence(path: Path) -> bool:
    return path.name == NOTES_FILE or (path.suffix.lower() in IMAGES and path.stem.isdecimal())
