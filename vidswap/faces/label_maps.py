"""Label maps of faces: the orders in which parsers and people number regions, reading, checking and keeping them.

A label map is (S, S) uint8 of an upright, FFHQ-aligned square. Everything within vidswap is in the order `REGIONS` of
`vidswap.faces.regions` (that of E4S, 0..11). Two orders of 19 classes are in use outside: BiSeNet's, as the released
parser numbers them, and that of the CelebAMask-HQ data set, in which people draw masks. They are not the same.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from vidswap.graph.errors import InputError, first_line

from .regions import REGIONS

Order = Literal["regions", "bisenet", "celebamask"]
ORDERS: tuple[Order, ...] = ("regions", "bisenet", "celebamask")

# fmt: off
BISENET = (
    "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose", "mouth",
    "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat",
)
"""Classes of the BiSeNet face parser, by number."""

CELEBAMASK = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
    "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)
"""Classes of CelebAMask-HQ, by number."""

_REGION_OF_CLASS = {
    "background": "background", "neck_l": "background", "cloth": "background", "hat": "background",
    "u_lip": "lip", "l_lip": "lip", "l_brow": "eyebrows", "r_brow": "eyebrows", "l_eye": "eyes", "r_eye": "eyes",
    "hair": "hair", "nose": "nose", "skin": "skin", "l_ear": "ears", "r_ear": "ears", "neck": "belowface",
    "mouth": "mouth", "eye_g": "eye_glass", "ear_r": "ear_rings",
}
# fmt: on

_TABLES: dict[Order, np.ndarray] = {
    "regions": np.arange(len(REGIONS), dtype=np.uint8),
    "bisenet": np.array([REGIONS.index(_REGION_OF_CLASS[name]) for name in BISENET], np.uint8),
    "celebamask": np.array([REGIONS.index(_REGION_OF_CLASS[name]) for name in CELEBAMASK], np.uint8),
}
_LARGEST = 4096


def to_regions(labels: np.ndarray, order: Order) -> np.ndarray:
    """Labels (..., H, W) of an order as regions 0..11, uint8. Raises InputError for values that the order has not."""
    if order not in _TABLES:
        raise InputError(f"label order is {order!r}; it must be one of {', '.join(ORDERS)}")
    table = _TABLES[order]
    highest, lowest = int(labels.max(initial=0)), int(labels.min(initial=0))
    if lowest < 0 or highest >= len(table):
        wrong = lowest if lowest < 0 else highest
        hint = "; colours are no labels" if highest > 32 else ""
        raise InputError(f"label {wrong} is none of 0..{len(table) - 1}, which the order {order} has{hint}")
    return table[labels]


def read_label_map(path: str | Path, order: Order, size: int) -> np.ndarray:
    """(size, size) uint8 regions 0..11 from a picture whose grey values, or palette indices, are labels of an order.

    Larger and smaller squares are brought to `size` by nearest neighbour, sampled as E4S does (top left of each cell).
    Raises InputError, one line, for what cannot be read, is not square, has colours, or labels that the order has not.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    try:
        with Image.open(path) as opened:
            if opened.mode not in ("L", "P", "1", "I", "I;16"):
                image = np.asarray(opened.convert("RGB"))
                if (image != image[..., :1]).any():
                    raise InputError(f"{path}: is a coloured picture; a label map has one number 0..18 per pixel")
                labels = image[..., 0]
            else:
                labels = np.asarray(opened).astype(np.int64)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such label map") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be read as a label map: {first_line(error)}") from None
    height, width = labels.shape
    if height != width or not 16 <= height <= _LARGEST:
        raise InputError(
            f"{path}: is {width}x{height} pixels; a label map is the aligned square of a face, 16 to {_LARGEST} a side"
        )
    try:
        regions = to_regions(labels, order)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return resized(regions, size)


def write_label_map(path: str | Path, labels: np.ndarray) -> None:
    """Write regions (S, S) uint8 0..11 as a PNG with a palette, so that an editor shows colours and keeps numbers."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(labels, np.uint8), "P")
    image.putpalette(PALETTE.astype(np.uint8).tobytes())
    image.save(path)


# fmt: off
PALETTE = np.array([
    (0, 0, 0), (220, 40, 70), (120, 200, 60), (60, 170, 255), (110, 70, 30), (255, 210, 60),
    (240, 170, 140), (200, 100, 200), (160, 140, 110), (150, 0, 30), (0, 220, 220), (255, 255, 255),
], np.uint8)
"""(12, 3) colours of the regions, for people to look at."""
# fmt: on


def resized(labels: np.ndarray, size: int) -> np.ndarray:
    """(size, size) of labels (S, S), nearest neighbour: the pixel at floor(i S / size)."""
    if len(labels) == size:
        return labels
    at = np.arange(size) * len(labels) // size
    return np.ascontiguousarray(labels[at[:, None], at])


def checked(labels: np.ndarray, size: int | None = None) -> np.ndarray:
    """The label map itself, if it is one: (S, S) uint8 with values 0..11. Raises InputError otherwise."""
    if labels.ndim != 2 or labels.shape[0] != labels.shape[1] or labels.dtype != np.uint8:
        raise InputError(f"a label map is square and uint8, got {labels.dtype} of shape {labels.shape}")
    if size is not None and len(labels) != size:
        raise InputError(f"a label map of {size} pixels a side was expected, got {len(labels)}")
    if labels.max(initial=0) >= len(REGIONS):
        raise InputError(f"label {int(labels.max())} is none of 0..{len(REGIONS) - 1}")
    return labels


_END = b"\x01"


def packed(labels: np.ndarray, hole: np.ndarray) -> bytes:
    """A label map (S, S) and its holes (S, S) bool as a few kilobytes, for keeping; never ends in a zero byte."""
    marked = labels + hole * np.uint8(len(REGIONS))
    return np.uint16(len(labels)).tobytes() + zlib.compress(np.ascontiguousarray(marked).tobytes(), 1) + _END


def unpacked(kept: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Label map (S, S) uint8 and holes (S, S) bool of `packed`."""
    size = int(np.frombuffer(kept[:2], np.uint16)[0])
    marked = np.frombuffer(zlib.decompress(kept[2:-1]), np.uint8).reshape(size, size)
    hole = marked >= len(REGIONS)
    return np.where(hole, marked - np.uint8(len(REGIONS)), marked), hole
