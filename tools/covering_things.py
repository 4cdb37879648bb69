"""Things of any shape, colour and texture before a face, and what may be taken for one: beards, shadows, make-up.

All is drawn on aligned crops (S, S, 3) float32 0..255 with landmarks (478, 3) in their pixels, from a seeded generator.
Places are told in the face's own axes: x in distances of the pupils from its middle, y from the root of the nose (0) to
the chin (1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.faces import topology

KINDS = ("mask", "blob", "stick", "hand", "strands", "fringe", "hat", "line")
_OFTEN = np.array([1, 2, 1, 2, 1, 1, 1, 1]) / 10
_HAIR = ((22, 18, 16), (50, 35, 25), (80, 55, 35), (130, 90, 50), (185, 150, 100), (150, 145, 140), (120, 55, 30))
_JAW = (323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93)
_CHEEKS = (137, 177, 147, 187, 207, 206, 203, 98, 97, 2, 326, 327, 423, 426, 427, 411, 376, 401, 366)
_MOUSTACHE = (61, 206, 203, 98, 97, 2, 326, 327, 423, 426, 291, 0)
_CHIN = (61, 212, 210, 169, 170, 140, 171, 175, 396, 369, 395, 394, 430, 432, 291, 405, 17, 181)
"""Landmarks around parts of beards."""

Picture = np.ndarray
Hand = tuple[np.ndarray, np.ndarray]
"""A picture (h, w, 3) float32 of a hand and its cover (h, w) float32 0..1."""


@dataclass(frozen=True)
class Axes:
    """Where a face is in its crop: origin, and what a unit across and a unit down it are, (2,) each."""

    origin: np.ndarray
    across: np.ndarray
    down: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) pixels of points (N, 2) in the face's axes."""
        points = np.asarray(points, np.float64).reshape(-1, 2)
        return self.origin + points[:, :1] * self.across + points[:, 1:] * self.down


def axes_of(points: np.ndarray) -> Axes:
    """The axes of a face with landmarks (478, 2 or 3); of one that is turned they are as long as from the front."""
    right, left, root, chin = (points[i, :2] for i in (468, 473, 168, 152))
    length = float(np.linalg.norm(chin - root))
    down = (chin - root) / length
    across = np.array([down[1], -down[0]])
    across = across if across @ (left - right) > 0 else -across
    return Axes(root, across * max(float(np.linalg.norm(left - right)), 0.5 * length), down * length)


@dataclass(frozen=True)
class Thing:
    """Something before a face: draw(axes, side) gives its picture (S, S, 3) and its cover (S, S) 0..1; worn: whether it
    moves with the face.
    """

    kind: str
    worn: bool
    draw: Callable[[Axes, int], tuple[np.ndarray, np.ndarray]]


def make(rng: np.random.Generator, skin: np.ndarray, hands: list[Hand]) -> Thing:
    """Some thing, before a face whose skin has a colour (3,)."""
    kind = str(rng.choice(KINDS, p=_OFTEN))
    hair = np.array(_HAIR[rng.integers(len(_HAIR))], float) * rng.uniform(0.8, 1.2)
    if kind == "hand":
        return _hand(rng, skin, hands)
    shapes, worn = _SHAPES[kind](rng)
    strands = kind in ("strands", "fringe")
    colour = hair if strands and rng.random() < 0.8 else _colour(rng, skin, hair)
    seed = int(rng.integers(1 << 30))

    def draw(axes: Axes, side: int) -> tuple[np.ndarray, np.ndarray]:
        again = np.random.default_rng(seed)
        cover = np.zeros((side, side), np.float32)
        for shape in shapes:
            cover = np.maximum(cover, filled(axes.place(shape), side))
        image = _textured(again, side, colour)
        if strands:
            image = image * (0.7 + 0.6 * again.random((1, side, 1)).astype(np.float32))
        return _shaded(again, cover, image), cover

    return Thing(kind, worn, draw)


def filled(points: np.ndarray, side: int) -> np.ndarray:
    """(S, S) float32 0..1: a polygon."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.asarray(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _ellipse(x: float, y: float, count: int = 40) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x * np.cos(turn), y * np.sin(turn)], 1)


def _mask(rng: np.random.Generator) -> tuple[list[np.ndarray], bool]:
    top, wide, drop = rng.uniform(0.12, 0.62), rng.uniform(0.9, 1.4), rng.uniform(0, 0.25)
    low, peak = rng.uniform(0.95, 1.35), rng.uniform(0, 0.2)
    half = [(0, top - peak), (0.15, top - 0.3 * peak), (0.5 * wide, top + 0.5 * drop), (wide, top + drop)]
    half += [(0.85 * wide, 0.8 * low), (0.5 * wide, low)]
    return [np.array(half + [(-x, y) for x, y in half[:0:-1]])], rng.random() < 0.85


def _blob(rng: np.random.Generator, stick: bool = False) -> tuple[list[np.ndarray], bool]:
    size = rng.uniform(0.15, 0.4) if stick else rng.uniform(0.15, 0.75)
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    form = rng.random()
    if form < 0.25:
        outline = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float) * [1, rng.uniform(0.4, 1.6)]
    elif form < 0.5:
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        outline = rng.uniform(0.5, 1, len(corners))[:, None] * np.stack([np.cos(corners), np.sin(corners)], 1)
    else:
        waves = sum(rng.normal(0, 0.25 / (k + 1)) * np.cos(k * turn + rng.uniform(0, 6)) for k in range(1, 5))
        outline = np.clip(1 + waves, 0.3, 2)[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    angle = rng.uniform(0, np.pi)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    where = np.array([rng.uniform(-1, 1), rng.uniform(-0.5, 1.1) if rng.random() < 0.3 else rng.uniform(0.35, 1.1)])
    shapes = [outline @ turned.T * size * [1, 0.52] + where]
    if stick or rng.random() < 0.4:
        away = where - [0, 0.3]
        away = away / max(float(np.linalg.norm(away)), 0.2) + rng.normal(0, 0.3, 2)
        away /= np.linalg.norm(away)
        beside = np.array([-away[1], away[0]]) * size * rng.uniform(0.2, 0.7) * [1, 0.52]
        shapes.append(np.array([where - beside, where + beside, where + beside + 3 * away, where - beside + 3 * away]))
    return shapes, rng.random() < 0.5


def _strands(rng: np.random.Generator, fringe: bool = False) -> tuple[list[np.ndarray], bool]:
    count = int(rng.integers(20, 80)) if fringe else int(rng.integers(3, 40))
    wide, bend, begin, spread = (
        rng.uniform(0.01, 0.05),
        rng.uniform(-0.8, 0.8),
        rng.uniform(-1, 1),
        rng.uniform(0.03, 0.25),
    )
    length, end = rng.uniform(0.5, 1.9), rng.uniform(-0.35, 0.12)
    along = np.linspace(0, 1, 10)
    shapes = []
    for i in range(count):
        if fringe:
            x = 2.3 * i / (count - 1) - 1.15 + rng.normal(0, 0.02)
            reach, bow = 0.9 + end + rng.uniform(-0.12, 0.12) + 0.15 * abs(x), 0.3 * bend * along**1.5
        else:
            x, reach, bow = begin + rng.normal(0, spread), length * rng.uniform(0.8, 1.1), bend * along**1.7
        line = np.stack([x + bow, (-0.9 if fringe else -0.75) + along * reach], 1)
        beside = wide * rng.uniform(0.6, 1.4) * np.linspace(1, 0.3, 10)[:, None] * [1, 0]
        shapes.append(np.vstack([line - beside, (line + beside)[::-1]]))
    return shapes, True


def _hat(rng: np.random.Generator) -> tuple[list[np.ndarray], bool]:
    y, wide = rng.uniform(-0.6, -0.08), rng.uniform(1.0, 1.7)
    crown = [[-0.8 * wide, y], [-0.75 * wide, -2], [0.75 * wide, -2], [0.8 * wide, y]]
    return [_ellipse(wide, rng.uniform(0.05, 0.2)) + [0, y], np.array(crown)], True


def _line(rng: np.random.Generator) -> tuple[list[np.ndarray], bool]:
    begin = np.array([rng.uniform(-0.9, 0.9), rng.uniform(-0.3, 1)])
    end = (
        begin + rng.normal(0, 0.5, 2)
        if rng.random() < 0.3
        else np.array([rng.choice([-1.3, 1.3]), rng.uniform(-0.3, 1.2)])
    )
    wide = rng.uniform(0.015, 0.06)
    along = (end - begin) / max(float(np.linalg.norm(end - begin)), 1e-3)
    beside = np.array([-along[1], along[0]]) * wide
    shapes = [np.array([begin - beside, begin + beside, end + beside, end - beside])]
    if rng.random() < 0.5:
        shapes.append(begin + _ellipse(2.5 * wide, 1.6 * wide, 20))
    return shapes, rng.random() < 0.6


_SHAPES: dict[str, Callable[[np.random.Generator], tuple[list[np.ndarray], bool]]] = {
    "mask": _mask,
    "blob": _blob,
    "stick": lambda rng: _blob(rng, stick=True),
    "strands": _strands,
    "fringe": lambda rng: _strands(rng, fringe=True),
    "hat": _hat,
    "line": _line,
}


def _hand(rng: np.random.Generator, skin: np.ndarray, hands: list[Hand]) -> Thing:
    image, cover = hands[rng.integers(len(hands))]
    if rng.random() < 0.5:
        image, cover = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(cover[:, ::-1])
    own = image[cover > 0.8].mean(0)
    wanted = (
        skin * rng.uniform(0.7, 1.2) * rng.uniform(0.95, 1.05, 3)
        if rng.random() < 0.75
        else own * rng.uniform(0.2, 1.1)
    )
    image = np.clip(image * (wanted / np.maximum(own, 1)), 0, 255).astype(np.float32)
    where = (rng.uniform(-1, 1), rng.uniform(0.45, 1.15) if rng.random() < 0.8 else rng.uniform(-0.6, 0.6))
    wide, turn = rng.uniform(0.8, 1.9), rng.uniform(-180, 180)
    middle = np.array(image.shape[1::-1]) / 2

    def draw(axes: Axes, side: int) -> tuple[np.ndarray, np.ndarray]:
        scale = wide * float(np.linalg.norm(axes.across)) / image.shape[1]
        matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, scale)
        matrix[:, 2] += axes.place(np.array(where))[0] - middle
        there = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        return there, cv2.warpAffine(cover, matrix, (side, side), flags=cv2.INTER_LINEAR)

    return Thing("hand", bool(rng.random() < 0.5), draw)


def _colour(rng: np.random.Generator, skin: np.ndarray, hair: np.ndarray) -> np.ndarray:
    kind = rng.integers(8)
    if kind <= 1:
        return rng.uniform(8, 245) * rng.uniform(0.93, 1.07, 3)
    if kind <= 3:
        hsv = [rng.integers(180), int(rng.uniform(60, 255)), int(rng.uniform(25, 250))]
        return cv2.cvtColor(np.array([[hsv]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].astype(float)
    if kind == 4:
        return skin * rng.uniform(0.45, 1.25) * rng.uniform(0.9, 1.1, 3)
    if kind == 5:
        return hair
    return (
        rng.uniform(10, 60) * rng.uniform(0.9, 1.1, 3)
        if kind == 6
        else rng.uniform(190, 250) * rng.uniform(0.93, 1.05, 3)
    )


def _noise(rng: np.random.Generator, side: int, grain: float, how: int = cv2.INTER_CUBIC) -> np.ndarray:
    few = max(2, int(side / grain))
    return cv2.resize(rng.normal(0, 1, (few, few)).astype(np.float32), (side, side), interpolation=how)


def _textured(rng: np.random.Generator, side: int, colour: np.ndarray) -> np.ndarray:
    kind = rng.integers(6)
    down, across = np.mgrid[:side, :side].astype(np.float32)
    light = np.ones((side, side), np.float32)
    if kind == 1:
        angle = rng.uniform(0, np.pi)
        waves = (across * np.cos(angle) + down * np.sin(angle)) * 2 * np.pi / rng.uniform(4, 24)
        light += rng.uniform(0.05, 0.4) * np.sin(waves)
    elif kind in (2, 3):
        light += rng.uniform(0.05, 0.3) * _noise(rng, side, rng.uniform(2, 20) if kind == 2 else 1.2)
    elif kind == 4:
        check = rng.uniform(5, 20)
        light = np.where((across // check + down // check) % 2 > 0, 1, rng.uniform(0.4, 0.9)).astype(np.float32)
    image = np.asarray(colour, np.float32) * light[..., None]
    if kind == 5:
        spots = _noise(rng, side, rng.uniform(6, 30), cv2.INTER_NEAREST) > rng.uniform(-0.5, 1)
        image = np.where(spots[..., None], rng.uniform(0, 255, 3), image)
    return np.asarray(image, np.float32)


def _shaded(rng: np.random.Generator, cover: np.ndarray, image: np.ndarray) -> np.ndarray:
    if rng.random() < 0.6:
        deep = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        least = rng.uniform(0.5, 0.9)
        round_ = np.sqrt(np.clip(deep / max(float(deep.max()), 1) / rng.uniform(0.3, 1), 0, 1))
        image = image * (least + (1 - least) * round_)[..., None]
    if rng.random() < 0.5:
        image = image * (1 + rng.uniform(0, 0.5) * _slope(rng, len(cover)))[..., None]
    return np.asarray(image, np.float32)


def _slope(rng: np.random.Generator, side: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    down, across = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    return np.asarray(across * np.cos(angle) + down * np.sin(angle), np.float32)


def beard(rng: np.random.Generator, image: Picture, points: np.ndarray) -> tuple[Picture, np.ndarray]:
    """The face with a beard, a goatee, a moustache or a strip along the jaw, and its cover (S, S) 0..1: how much of the
    skin hairs hide, from stubble to dense ones.
    """
    side, flat = len(image), points[:, :2]
    kind = rng.choice(("full", "jaw", "goatee", "moustache", "strip"), p=(0.5, 0.1, 0.17, 0.13, 0.1))
    mouth = flat[[13, 14]].mean(0)
    jaw = flat[list(_JAW)]
    line = flat[list(_CHEEKS)]
    # From the line of the cheeks down to that of the jaw, which hair may hang over.
    low = np.linspace(jaw[0], jaw[-1], len(line)) * 0.5 + 0.5 * mouth
    line = line + rng.uniform(-0.15, 0.45) * (low - line)
    full = np.vstack([mouth + (jaw - mouth) * (1 + rng.uniform(0, 0.35)), line])
    parts = {
        "full": [full, flat[list(_MOUSTACHE)]],
        "jaw": [full],
        "goatee": [flat[list(_CHIN)]] + ([flat[list(_MOUSTACHE)]] if rng.random() < 0.8 else []),
        "moustache": [flat[list(_MOUSTACHE)]],
        "strip": [full],
    }[str(kind)]
    width = float(np.ptp(jaw[:, 0]))
    cover = np.max([filled(part + rng.normal(0, 0.012 * width, part.shape), side) for part in parts], 0)
    if kind == "strip":
        inner = mouth + (full - mouth) * rng.uniform(0.65, 0.85) - [0, rng.uniform(0, 0.1) * width]
        cover = cover * (1 - filled(inner, side))
    lips = filled(flat[list(topology.LIPS_OUTER)], side)
    cover = cv2.GaussianBlur(cover * (1 - lips), (0, 0), rng.uniform(0.01, 0.05) * width) * (1 - 0.9 * lips)
    dense = rng.uniform(0.8, 1.05) if rng.random() < 0.6 else rng.uniform(0.1, 0.8)
    hairs = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 0.6, sigmaY=rng.uniform(0.8, 3))
    hairs /= hairs.std()
    patches = _noise(rng, side, rng.uniform(8, 40))
    cover = np.clip(cover * dense * (1 + rng.uniform(0, 0.2) * patches + rng.uniform(0, 0.12) * hairs), 0, 1)
    colour = np.array([*_HAIR, (215, 212, 208)][rng.integers(len(_HAIR) + 1)], float) * rng.uniform(0.7, 1.2)
    if rng.random() < 0.25:
        grey = np.clip(rng.normal(0.3, 0.3) + 0.3 * patches, 0, 1)[..., None]
        colour = colour + grey * (rng.uniform(140, 205) - colour)
    light = cv2.GaussianBlur(image.mean(2), (0, 0), side / 15)
    usual = float((light * cover).sum() / max(float(cover.sum()), 1e-3))
    light = light / max(usual, 1) * (0.4 + 0.6 * usual / 150)
    strands = colour * ((1 + rng.uniform(0.03, 0.2) * np.clip(hairs, -2, 2)) * light)[..., None]
    return image + cover[..., None] * (np.clip(strands, 0, 255) - image), cover


def shadow(rng: np.random.Generator, image: Picture, points: np.ndarray) -> Picture:
    """The face with a hard shadow, of a brim or of something beside it."""
    side, axes, kind = len(image), axes_of(points), rng.integers(3)
    if kind == 0:
        outline = axes.place(np.array([[rng.uniform(-0.8, 0.8), rng.uniform(-0.3, 1)]]))[0] / side - 0.5
        slope = _slope(rng, side)
        at = np.clip(outline, -0.49, 0.49)
        cover = (slope > slope[int((at[1] + 0.5) * side), int((at[0] + 0.5) * side)]).astype(np.float32)
    elif kind == 1:
        cover = filled(axes.place(_blob(rng)[0][0] * 1.3), side)
    else:
        y = rng.uniform(-0.5, 0.3)
        edge = [(-1.6, y + rng.uniform(-0.1, 0.1)), (0, y), (1.6, y + rng.uniform(-0.1, 0.1)), (1.6, -2), (-1.6, -2)]
        cover = filled(axes.place(np.array(edge)), side)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 8))
    return image * (1 + cover[..., None] * (rng.uniform(0.35, 0.85) * rng.uniform(0.92, 1.08, 3) - 1))


def make_up(rng: np.random.Generator, image: Picture, points: np.ndarray) -> Picture:
    """The face with other lips, cheeks or eyelids."""
    side, axes, kind = len(image), axes_of(points), rng.integers(3)
    if kind == 0:
        outer, inner = (filled(points[list(ring), :2], side) for ring in (topology.LIPS_OUTER, topology.LIPS_INNER))
        cover, colour = np.clip(outer - inner, 0, 1), rng.uniform((60, 10, 20), (220, 90, 110))
    else:
        form, (x, y) = (_ellipse(0.3, 0.14), (0.55, 0.3)) if kind == 1 else (_ellipse(0.3, 0.1), (0.5, -0.02))
        both = filled(axes.place(form + [x, y]), side) + filled(axes.place(form + [-x, y]), side)
        cover = cv2.GaussianBlur(both, (0, 0), side / (25 if kind == 1 else 50))
        colour = np.array([220, 110, 100]) if kind == 1 else rng.uniform((20, 20, 20), (160, 120, 170))
    return image + (rng.uniform(0.1, 0.6) * cover)[..., None] * (colour - image)


def light(rng: np.random.Generator, side: int) -> Callable[[Picture, np.random.Generator], np.ndarray]:
    """Light and camera of one take: changes pictures (S, S, 3) to uint8, by a generator of each frame's noise."""
    gamma, gain = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
    haze = rng.uniform(-15, 30) if rng.random() < 0.3 else 0
    colour = 0.0 if rng.random() < 0.06 else rng.uniform(0.2, 1.6) if rng.random() < 0.4 else 1.0
    slope = np.ones((1, 1, 3))
    if rng.random() < 0.45:
        across = np.clip(_slope(rng, side) / rng.uniform(0.05, 0.5), -1, 1)[..., None]
        strong = rng.uniform(0, 0.5) + rng.normal(0, 0.15 if rng.random() < 0.6 else 0.35, 3)
        slope = np.clip(1 + across * strong / 2, 0.15, 2)
    tint = np.exp(rng.normal(0, 0.25, 3)) if rng.random() < 0.15 else np.ones(3)
    blur = rng.uniform(0.5, 3) if rng.random() < 0.25 else 0
    grain = rng.uniform(1, 14) if rng.random() < 0.3 else 0
    quality = int(rng.integers(8, 60)) if rng.random() < 0.25 else 0

    def taken(image: Picture, frame: np.random.Generator) -> np.ndarray:
        seen = ((np.clip(image, 0, 255) / 255) ** gamma * gain * tint * 255 + haze) * slope
        grey = seen.mean(2, keepdims=True)
        seen = grey + (seen - grey) * colour
        if blur:
            seen = cv2.GaussianBlur(seen, (0, 0), blur)
        seen = np.clip(np.rint(seen + frame.normal(0, 1, seen.shape) * grain), 0, 255).astype(np.uint8)
        if quality:
            seen = cv2.imdecode(cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        return seen

    return taken
