"""`vidswap preview`: a contact sheet of source, target, result and mask, or of what every stage makes of a face."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE

if TYPE_CHECKING:
    import numpy as np

    from vidswap.runtime.preview import PreviewFrame

CELL_HEIGHT = 360
FACE_SHARE = 0.35
"""Cells show the neighbourhood of the faces where those are a smaller share of the frame's height than this."""
LABEL_HEIGHT = 24
MOST_FRAMES = 128


def preview(
    *,
    source: list[str] | None,
    target: Path,
    output: Path,
    options: list[str] | None,
    frames: int,
    at: str | None,
    stages: str | None,
    pipeline: str,
    face: str | None,
    face_like: Path | None,
    face_map: list[str] | None,
    source_face: str | None,
    regions: str | None,
    strength: float | None,
    blend: str | None,
    input_rate: str | None,
    video_stream: int | None,
    overwrite: bool,
) -> None:
    """Check, render the frames and write the sheet."""
    from vidswap.api import Pipeline
    from vidswap.graph import InputError
    from vidswap.runtime.checks import check_output, check_place, check_sources_stay, files_read
    from vidswap.runtime.settings import RunSettings

    from .running import bind_sources, chosen_faces

    check_place(output)
    if output.suffix.lower() != ".png":
        raise InputError(f"the sheet is a PNG; give -o {output.with_suffix('.png')}")
    face, source = chosen_faces(face, face_like, face_map or [], source or [])
    shared = {"face": face, "regions": regions, "strength": strength, "blend": blend}
    shared |= {"input_rate": input_rate, "video_stream": video_stream}
    ready = Pipeline.prepared(pipeline, overrides=options or [], shared=shared)
    sources = bind_sources(source, ready.sources)
    shown = None
    if stages is not None:
        from .stages import stages_named, stages_of

        shown = stages_named(stages, stages_of(ready))
    check_output(output, target, overwrite)
    check_sources_stay(output, files_read(ready, sources))
    decoder: Any = ready.decoder.make()
    count = decoder.probe(target).frame_count
    wanted = frame_list(at, count) if at else spread_frames(frames, count)
    settings = RunSettings(source_face=source_face)
    written = write_sheet(ready, target, wanted, sources, settings, output, shown)
    VOICE.result({"sheet": str(output), "frames": written}, [f"{output}: frames {', '.join(map(str, written))}"])


def write_sheet(
    pipeline: Any,
    target: Path,
    frames: list[int],
    sources: dict[str, Path],
    settings: Any,
    output: Path,
    stages: list[str] | None = None,
) -> list[int]:
    """Render the frames, write the PNG whole or not at all, and return the frames that it shows.

    With `stages` there is a row for each face, with what each of those stages makes of it.
    """
    import cv2

    from vidswap.files import written_whole
    from vidswap.graph import VidswapError
    from vidswap.runtime.preview import render_frames

    portraits = [(name, _source_picture(pipeline, path)) for name, path in sources.items()]
    rows, shown = [], []
    for rendered in render_frames(pipeline, target, frames, sources, settings):
        rows += _stage_rows(rendered, stages) if stages else [_row(portraits, rendered)]
        shown.append(rendered.frame)
    drawn, content = cv2.imencode(output.suffix, _stack(rows)[..., ::-1])
    if not drawn:
        raise VidswapError(f"{output}: so large a sheet cannot be written as {output.suffix}; ask for fewer frames")
    with written_whole(output) as temporary:
        temporary.write_bytes(content.tobytes())
    return shown


def frame_list(text: str, count: int) -> list[int]:
    """Indices from `10,50-53,99`. Raises InputError for what is no number, beyond the end, or too much for a sheet."""
    from vidswap.graph import InputError

    from .numbers import numbers

    frames = numbers(text, "--at", most=MOST_FRAMES, example="10,50,90-99", last=count)
    beyond = [f for f in frames if not 0 <= f < count]
    if beyond:
        raise InputError(f"--at: the video has frames 0 to {count - 1}, not {beyond[0]}")
    return frames


def spread_frames(wanted: int, count: int) -> list[int]:
    """Evenly spread frames, none at the very ends.

    >>> spread_frames(3, 90)
    [15, 45, 75]
    """
    return sorted({min(count - 1, (2 * i + 1) * count // (2 * wanted)) for i in range(wanted)})


def _source_picture(pipeline: Any, path: Path) -> np.ndarray:
    decoder = pipeline.decoder.make()
    picture = next(iter(decoder.read(decoder.probe(path), 0, 1)))
    return _whole(picture)


def _whole(picture: Any) -> np.ndarray:
    width = max(1, round(picture.width * CELL_HEIGHT / picture.height))
    return picture.rgb(width, CELL_HEIGHT)


def _row(portraits: list[tuple[str, np.ndarray]], rendered: PreviewFrame) -> list[tuple[str, np.ndarray]]:
    view = _view(rendered)
    size = (CELL_HEIGHT, CELL_HEIGHT) if view is not None else None

    def seen(picture: Any) -> np.ndarray:
        return _whole(picture) if view is None else picture.crop(view, size)

    row = list(portraits)
    row.append((f"target, frame {rendered.frame}", seen(rendered.target)))
    row.append(("result", seen(rendered.result)))
    if "alpha" in rendered.faces:
        row.append(("mask", _mask(rendered, seen(rendered.target), view)))
    return row


def _stage_rows(rendered: PreviewFrame, stages: list[str]) -> list[list[tuple[str, np.ndarray]]]:
    """A row for each face; for a frame without one, the frame itself before and after."""
    from .stages import face_cells

    if "matrix" not in rendered.faces or not len(rendered.faces):
        label = f"frame {rendered.frame}: no face"
        return [[(label, _whole(rendered.target)), ("result", _whole(rendered.result))]]
    return [face_cells(rendered, i, stages, CELL_HEIGHT) for i in range(len(rendered.faces))]


def _view(rendered: PreviewFrame) -> np.ndarray | None:
    """(2, 3) matrix from frame to cell that shows the faces large, or None where the whole frame does."""
    import numpy as np

    if "box" not in rendered.faces or not len(rendered.faces):
        return None
    boxes = rendered.faces["box"].astype(np.float64)
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = 2.0 * float((high - low).max())
    if (high - low)[1] > FACE_SHARE * rendered.target.height or side > rendered.target.height:
        return None
    scale = CELL_HEIGHT / side
    left, top = (low + high) / 2 - side / 2
    return np.array([[scale, 0.0, -scale * left], [0.0, scale, -scale * top]])


def _mask(rendered: PreviewFrame, seen: np.ndarray, view: np.ndarray | None) -> np.ndarray:
    """Where the frame was changed: the alpha of all its faces, white on the darkened target."""
    import cv2
    import numpy as np

    base = seen.astype(np.float32) * 0.3
    height, width = base.shape[:2]
    if view is None:
        view = np.array([[width / rendered.target.width, 0, 0], [0, height / rendered.target.height, 0]])
    to_cell = np.vstack([view, [0, 0, 1]])
    for row in rendered.faces.rows():
        inverse = cv2.invertAffineTransform(row["matrix"])
        placing = (to_cell @ np.vstack([inverse, [0, 0, 1]]))[:2]
        placed = cv2.warpAffine(row["alpha"], placing, (width, height), flags=cv2.INTER_LINEAR)
        base += placed[..., None] * (255.0 - base)
    return np.clip(base, 0, 255).astype(np.uint8)


def _stack(rows: Iterable[list[tuple[str, np.ndarray]]]) -> np.ndarray:
    import cv2
    import numpy as np

    lines = []
    for row in rows:
        cells = []
        for label, image in row:
            head = np.full((LABEL_HEIGHT, image.shape[1], 3), 24, np.uint8)
            cv2.putText(head, label, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
            cells.append(np.vstack([head, image]))
        lines.append(np.hstack(cells))
    width = max((line.shape[1] for line in lines), default=1)
    padded = [np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))) for line in lines]
    return np.vstack(padded) if padded else np.zeros((1, 1, 3), np.uint8)
