"""What each stage makes of a face, as labelled pictures: landmarks, regions, mesh, generated crop, cover, result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vidswap.faces import topology
from vidswap.faces.alignment import transform
from vidswap.faces.label_maps import PALETTE, unpacked
from vidswap.graph import InputError
from vidswap.graph.columns import STANDARD_COLUMNS

if TYPE_CHECKING:
    from vidswap.runtime.preview import PreviewFrame

Cells = list[tuple[str, np.ndarray]]

STAGES = ("target", "landmarks", "crop", "regions", "person", "mesh", "generated", "alpha", "result")
"""What `--stages` knows, in the order in which it happens. Image-like columns of other stages go by their own names."""

_COLUMN_OF = {
    "landmarks": "landmarks",
    "crop": "crop",
    "regions": "regions",
    "person": "person",
    "mesh": "shape",
    "generated": "image",
    "alpha": "alpha",
}
_LINES = (
    (topology.FACE_OVAL, (255, 255, 255)),
    (topology.LIPS_OUTER, (255, 90, 110)),
    (topology.LIPS_INNER, (255, 170, 90)),
    (topology.RIGHT_EYE, (90, 220, 255)),
    (topology.LEFT_EYE, (90, 220, 255)),
    (topology.RIGHT_BROW, (140, 255, 120)),
    (topology.LEFT_BROW, (140, 255, 120)),
    (topology.NOSE, (255, 230, 90)),
    (topology.RIGHT_IRIS[1:], (190, 140, 255)),
    (topology.LEFT_IRIS[1:], (190, 140, 255)),
)


def stages_named(text: str, there: Sequence[str]) -> list[str]:
    """Stages from `all` or `landmarks,alpha`; `there` are those of this pipeline. Raises InputError for others."""
    if text.strip() == "all":
        return list(there)
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in there]
    if wrong or not names:
        raise InputError(f"--stages {text!r}: write all, or some of {', '.join(there)}")
    return names


def stages_of(pipeline: Any) -> list[str]:
    """The stages of which a pipeline can show something: those whose columns its operators give, and unknown ones."""
    given = [name for stage in pipeline.stages for name in stage.operator.gives]
    known = [s for s in STAGES if s in ("target", "result") or _COLUMN_OF[s] in given]
    shown = set(_COLUMN_OF.values())
    own = [
        name
        for name in dict.fromkeys(given)
        if name not in shown and (name not in STANDARD_COLUMNS or STANDARD_COLUMNS[name].ragged)
    ]
    return [*known[:-1], *own, known[-1]]


def face_cells(rendered: PreviewFrame, face: int, stages: Sequence[str], side: int) -> Cells:
    """Labelled pictures (side, side, 3) uint8 RGB of one face of a frame, one for each stage that shows something.

    Raises KeyError for a frame whose faces have no `matrix`: without it nobody knows where the crop lies.
    """
    row = {name: values[face] for name, values in rendered.faces.to_dict().items()}
    crop_side = next((len(row[name]) for name in ("crop", "image", "alpha") if name in row), side)
    zoom = side / crop_side
    shift = np.array([[zoom, 0.0, 0.5 * zoom - 0.5], [0.0, zoom, 0.5 * zoom - 0.5]])
    to_cell = shift[:, :2] @ row["matrix"]
    to_cell[:, 2] += shift[:, 2]
    seen = rendered.target.crop(to_cell, (side, side))
    drawn: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "landmarks": lambda v: _lines(seen, transform(to_cell, v[:, :2])),
        "regions": lambda v: _labels(seen, v, side),
        "driven_regions": lambda v: _labels(seen, v, side),
        "label_map": lambda v: _labels(seen, unpacked(bytes(v))[0], side),
        "mesh": lambda v: _wires(seen, transform(to_cell, v[:, :2])),
        "person": lambda v: _shade(seen, v, side),
        "alpha": lambda v: _shade(seen, v, side),
    }
    cells: Cells = []
    for stage in stages:
        if stage in ("target", "result"):
            image = seen if stage == "target" else rendered.result.crop(to_cell, (side, side))
        else:
            column = _COLUMN_OF.get(stage, stage)
            if column not in row:
                continue
            picture = drawn.get(stage, lambda v: _any(seen, v, side))(row[column])
            if picture is None:
                continue
            image = picture
        cells.append((stage, image))
    cells = cells or [("target", seen)]
    # Not the track: frames that are far apart are analysed by themselves, and begin new ones.
    which = f", face {face}" if len(rendered.faces) > 1 else ""
    return [(f"frame {rendered.frame}{which}: {cells[0][0]}", cells[0][1]), *cells[1:]]


def _lines(seen: np.ndarray, points: np.ndarray) -> np.ndarray:
    image = (seen * 0.6).astype(np.uint8)
    for x, y in points[:468]:
        cv2.circle(image, _at((x, y)), 3, (150, 150, 150), -1, cv2.LINE_AA, 3)
    for ring, colour in _LINES:
        corners = np.round(points[list(ring)] * 8).astype(np.int32)
        cv2.polylines(image, [corners], True, colour, 1, cv2.LINE_AA, 3)
    return image


def _wires(seen: np.ndarray, points: np.ndarray) -> np.ndarray:
    image = (seen * 0.6).astype(np.uint8)
    corners = np.round(points[topology.triangles()] * 8).astype(np.int32)
    cv2.polylines(image, list(corners), True, (120, 220, 255), 1, cv2.LINE_AA, 3)
    return image


def _shade(seen: np.ndarray, cover: np.ndarray, side: int) -> np.ndarray:
    """White where `cover` (0..1) is 1, the darkened picture where it is 0."""
    weight = _resized(np.asarray(cover, np.float32), side)[..., None]
    return np.clip(seen * 0.3 * (1 - weight) + 255 * weight, 0, 255).astype(np.uint8)


def _any(seen: np.ndarray, values: np.ndarray, side: int) -> np.ndarray | None:
    """A column nobody here knows, if it is a picture: RGB as it is, floats as a cover, labels as colours."""
    values = np.asarray(values)
    if values.ndim == 3 and values.shape[2] == 3:
        return _resized(np.clip(values, 0, 255).astype(np.uint8), side)
    if values.ndim != 2 or min(values.shape) < 16:
        return None
    if values.dtype.kind == "f" or values.dtype == bool:
        return _shade(seen, np.clip(values, 0, 1), side)
    return _resized(np.repeat(values.astype(np.uint8)[..., None], 3, 2), side, cv2.INTER_NEAREST)


def _labels(seen: np.ndarray, labels: np.ndarray, side: int) -> np.ndarray:
    return _mixed(seen, _resized(PALETTE[np.minimum(labels, 11)], side, cv2.INTER_NEAREST), 0.6)


def _mixed(seen: np.ndarray, colours: np.ndarray, share: float) -> np.ndarray:
    return cv2.addWeighted(seen, 1 - share, colours, share, 0)


def _resized(image: np.ndarray, side: int, how: int | None = None) -> np.ndarray:
    if how is None:
        how = cv2.INTER_AREA if len(image) > side else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=how)


def _at(point: tuple[float, float]) -> tuple[int, int]:
    """Fixed point with three bits, as OpenCV draws between pixels."""
    return round(point[0] * 8), round(point[1] * 8)
