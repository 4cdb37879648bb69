"""What `vidswap generate` does: from seeds to codes, pictures, grids and films, with their provenance."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np
    from torch import Tensor

    from vidswap.latents.generators import Painter
    from vidswap.nets.devices import Precision

NOTES_FILE = "vidswap.json"
GRID_FILE = "index.png"
LARGEST_GRID = 8192
"""Pixels a side of a grid at most; cells become smaller before it becomes larger."""
_AT_ONCE = 16
_LABEL = 0.045  # height of capitals, in heights of the cell


@dataclass(frozen=True)
class How:
    """Which generator, and how it runs. `family` is for random weights: stylegan2, stylegan3-t or stylegan3-r.

    translate, rotate: how a StyleGAN3's picture is moved, in its widths, and turned, in degrees.
    """

    weights: str
    family: str | None
    noise: str
    device: str
    precision: Precision
    batch: int
    translate: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0


@dataclass(frozen=True)
class Shot:
    """One picture: its W+ is made of `seed`, and of `other` in some rows; its file's name, and what its label says."""

    name: str
    label: str
    seed: int
    psi: float
    cutoff: int | None = None
    other: int | None = None


class Studio:
    """A generator at work: codes of seeds, each by itself, so that a seed's picture is the same in every list."""

    def __init__(self, how: How) -> None:
        from vidswap.latents.generators import Painter, load_generator, with_noise, with_view
        from vidswap.latents.spaces import mean_latent
        from vidswap.nets.devices import chosen_device

        from .weights import terms_of

        device = chosen_device(how.device)
        terms, self.origin = terms_of(how.weights)
        for line in terms:
            VOICE.say(line)
        family, _, variant = (how.family or "").partition("-")
        wanted: Any = family or None
        loaded = load_generator(how.weights, wanted, variant=variant.upper() or "T")
        with_noise(loaded.net, how.noise)
        with_view(loaded.net, how.translate, how.rotate)
        self.how, self.net, self.title = how, loaded.net, loaded.title
        self.painter: Painter = Painter(loaded, device=device, precision=how.precision, batch=how.batch)
        if not bool(self.net.mapping.w_avg.any()):
            self.painter.warnings.append(f"{self.title}: has no mean code of its own; that of 10,000 codes is taken")
        self.mean = mean_latent(self.net)
        self._known: dict[int, Tensor] = {}

    @property
    def rows(self) -> int:
        """Rows of W+."""
        return self.net.config.num_ws

    def check_cutoff(self, cutoff: int | None) -> None:
        """Raises InputError for a cutoff that the generator has not the rows for."""
        from vidswap.graph import InputError

        if cutoff is not None and cutoff > self.rows:
            raise InputError(f"--cutoff {cutoff}: {self.title} has {self.rows} rows")

    def mapped(self, z: Tensor) -> Tensor:
        """z (N, D) -> w (N, D), row by row, whose bits do not depend on the others."""
        import torch

        with torch.no_grad():
            return torch.cat([self.net.mapping(row[None].to(self.painter.device)) for row in z])

    def w(self, seed: int) -> Tensor:
        """(1, D): the code of a seed, untruncated."""
        from vidswap.latents.spaces import seeded_z

        if seed not in self._known:
            if len(self._known) >= 4096:
                self._known.clear()
            self._known[seed] = self.mapped(seeded_z([seed], self.net.config.z_dim))
        return self._known[seed]

    def wplus(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w (N, D) -> W+ (N, L, D), truncated."""
        from vidswap.latents import spaces

        return spaces.truncated(spaces.broadcast(self.net, w), self.mean, psi, cutoff)

    def pictures(self, shots: Iterable[Shot], layers: list[int] | None = None) -> Iterator[tuple[Shot, np.ndarray]]:
        """Each shot with its picture (R, R, 3) uint8; `layers` are the rows that come from the other seed."""
        import torch

        from vidswap.latents import spaces

        waiting: list[Shot] = []

        def painted() -> Iterator[tuple[Shot, np.ndarray]]:
            codes = []
            for shot in waiting:
                own = self.wplus(self.w(shot.seed), shot.psi, shot.cutoff)
                if shot.other is not None:
                    own = spaces.mixed(own, self.wplus(self.w(shot.other), shot.psi, shot.cutoff), layers or [])
                codes.append(own)
            made = self.painter.pictures(torch.cat(codes))
            yield from zip(waiting, made, strict=True)

        for shot in shots:
            waiting.append(shot)
            if len(waiting) == _AT_ONCE:
                yield from painted()
                waiting.clear()
        if waiting:
            yield from painted()

    def notes(self, what: str, settings: Mapping[str, Any]) -> dict[str, str]:
        """What the files say of themselves: `comment` for people, `vidswap` as JSON for machines."""
        from vidswap import __version__

        facts = {
            "version": __version__,
            "command": f"generate {what}",
            "generator": self.title,
            "weights": self.origin,
            "noise": self.how.noise,
            "translate": self.how.translate,
            "rotate": self.how.rotate,
            "precision": self.painter.precision,
            **settings,
        }
        comment = f"Made by a generator (vidswap {__version__}, {self.title}): whoever is seen does not exist."
        return {"comment": comment, "vidswap": json.dumps(facts, sort_keys=True)}

    def tell(self, output: Path, lines: list[str], **facts: Any) -> None:
        """Say what came of it."""
        for warning in self.painter.warnings:
            VOICE.warn(warning)
        told = {
            "output": str(output),
            "generator": self.title,
            "weights": self.origin,
            "device": str(self.painter.device),
            "precision": self.painter.precision,
            "resolution": self.painter.loaded.resolution,
            "warnings": self.painter.warnings,
        }
        VOICE.result({**told, **facts}, lines)


class Grid:
    """A sheet of pictures in rows and columns, smaller than they are where they would not fit."""

    def __init__(self, rows: int, columns: int, side: int, cell: int | None) -> None:
        import numpy as np

        self.cell = max(1, min(cell or min(side, 256), LARGEST_GRID // max(rows, columns)))
        self.image = np.zeros((rows * self.cell, columns * self.cell, 3), np.uint8)

    def put(self, row: int, column: int, picture: np.ndarray, label: str) -> None:
        """Lay a picture into a cell, with its label."""
        import cv2

        from vidswap.faces.compositing import lettering

        side = self.cell
        shown = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) if side != len(picture) else picture
        part = self.image[row * side : (row + 1) * side, column * side : (column + 1) * side]
        part[:] = shown
        if label and side >= 96:
            letters, alpha = lettering(label, max(9, round(_LABEL * side)), side, side // 3)
            corner = part[: letters.shape[0], : letters.shape[1]]
            corner[...] = (corner + alpha[..., None] * (letters - corner.astype("f4"))).round()


@contextlib.contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside `output` that takes its place on success and is removed on failure."""
    from vidswap.files import replace_folder

    temporary = output.with_name(f".{output.name[:40]}.{os.getpid()}.tmp")
    old = output.with_name(f".{output.name[:40]}.{os.getpid()}.old")
    try:
        temporary.mkdir()
        yield temporary
        replace_folder(temporary, output, old)
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)


def check_folder(output: Path, overwrite: bool) -> None:
    """Raises InputError where pictures must not be written into this folder: something lies there, or it has no
    parent. With `overwrite` a folder of pictures that an earlier `generate` made may be replaced."""
    from vidswap.graph import InputError
    from vidswap.runtime.checks import check_place

    check_place(output)
    parent = output.absolute().parent
    if not parent.is_dir():
        raise InputError(f"the output folder {parent} does not exist; make it first")
    if not os.access(parent, os.W_OK):
        raise InputError(f"the output folder {parent} is not writable")
    if not output.exists():
        return
    if not output.is_dir():
        raise InputError(f"{output} exists and is no folder; give another name with -o")
    there = sorted(path.name for path in output.iterdir())
    foreign = [name for name in there if name != NOTES_FILE and not name.endswith(".png")]
    if foreign or (there and NOTES_FILE not in there):
        raise InputError(
            f"the output {output} is a folder that holds other files ({(foreign or there)[0]}); give a new one"
        )
    if there and not overwrite:
        raise InputError(f"{output} holds {len(there) - 1} pictures; --overwrite replaces them")


def check_file(output: Path, overwrite: bool) -> None:
    """Raises InputError where a file must not be written there."""
    from vidswap.runtime.checks import check_output

    check_output(output, None, overwrite)


def write_pictures(
    studio: Studio,
    output: Path,
    shots: list[Shot],
    notes: dict[str, str],
    *,
    layers: list[int] | None = None,
    grid: Grid | None = None,
    place: Callable[[int], tuple[int, int]] = lambda number: (number, 0),
) -> int:
    """Write shots as PNG into a folder, with a grid where one is given, or all into one PNG; returns how many files.

    place: row and column of a shot in the grid, by its number. Nothing is there until all of it is.
    """
    from vidswap.files import written_whole
    from vidswap.media.image_writing import still_png

    from .progress import counted

    is_one = output.suffix.lower() == ".png"
    names: list[str] = []
    with contextlib.ExitStack() as stack:
        done = stack.enter_context(counted("generate", shown=VOICE.shows_progress))
        folder = stack.enter_context(written_whole(output)) if is_one else stack.enter_context(whole_folder(output))
        single: np.ndarray | None = None
        for number, (shot, picture) in enumerate(studio.pictures(shots, layers)):
            if grid is not None:
                grid.put(*place(number), picture, shot.label)
            elif is_one:
                single = picture
            if not is_one and shot.name:
                names.append(f"{shot.name}.png")
                (folder / names[-1]).write_bytes(still_png(picture, notes))
            done(number + 1, len(shots))
        if is_one:
            sheet = single if grid is None else grid.image
            assert sheet is not None
            folder.write_bytes(still_png(sheet, notes))
            return 1
        if grid is not None:
            names.append(GRID_FILE)
            (folder / GRID_FILE).write_bytes(still_png(grid.image, notes))
        told = {**notes, "vidswap": json.loads(notes["vidswap"]), "files": names}
        (folder / NOTES_FILE).write_text(json.dumps(told, indent=1) + "\n")
    return len(names)


def film_encoder(output: Path, codec: str | None, crf: float | None) -> Any:
    """The house's encoder for a film of this name. Raises InputError for a codec or suffix that does not go."""
    from vidswap.graph import Pipeline
    from vidswap.media.outputs import OutputKind, output_of

    wanted = output_of(output)
    given: dict[str, Any] = {name: value for name, value in (("codec", codec), ("crf", crf)) if value is not None}
    chosen = codec or wanted.codec
    if wanted.kind is OutputKind.CONTAINER and chosen in ("libx264", "libx265", "libvpx-vp9"):
        # What every player shows; pictures are RGB, of which these would make 4:4:4.
        given["pixel_format"] = "yuv420p"
    encode = {"name": "encode", "use": "encode.pyav", "options": {"smart_copy": False, **given}}
    decode = {"name": "decode", "use": "decode.pyav"}
    pipeline = Pipeline.from_mapping({"name": "generate", "stages": [decode, encode]})
    return pipeline.for_output(output).encoder.make()


def write_film(
    studio: Studio,
    output: Path,
    codes: Callable[[int, int], Tensor],
    count: int,
    rate: Fraction,
    encoder: Any,
    notes: dict[str, str],
) -> None:
    """`count` pictures of W+ codes as a film; `codes(a, b)` gives those of frames [a, b), (b - a, L, D).

    What the encoder has to tell is added to the warnings.
    """
    import tempfile

    import av
    import numpy as np

    from vidswap.files import written_whole
    from vidswap.media.made import made_index
    from vidswap.media.picture import PictureKind

    from .progress import counted

    side = studio.painter.loaded.resolution
    with contextlib.ExitStack() as stack:
        done = stack.enter_context(counted("generate", shown=VOICE.shows_progress))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=".vidswap-generate-", dir=output.parent))
        segment = Path(scratch) / f"film{encoder.extension}"
        index = made_index(segment, frames=count, rate=rate, width=side, height=side)
        studio.painter.warnings += encoder.check(index, output)
        kind = PictureKind(index)
        encoder.begin(segment, index, 0)
        try:
            for begin in range(0, count, _AT_ONCE):
                shown = studio.painter.pictures(codes(begin, min(begin + _AT_ONCE, count)))
                for number, image in enumerate(shown, begin):
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                    encoder.write(kind.picture(frame, number))
                    done(number + 1, count)
            encoder.finish()
        except BaseException:
            encoder.abort()
            raise
        with written_whole(output) as temporary:
            studio.painter.warnings += encoder.join(index, [segment], temporary, notes)


def columns_for(count: int) -> int:
    """Columns of a grid of so many pictures, about as wide as high."""
    return math.ceil(math.sqrt(count))
