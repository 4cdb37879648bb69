"""Things to put before faces, with exact masks: hands, microphones, cups, paper, glasses. For tests and measuring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidswap.faces import evidence


@dataclass(frozen=True)
class Thing:
    """A picture (h, w, 3) uint8 RGB with its cover (h, w) float32 0..1, as wide as `width` faces."""

    image: np.ndarray
    cover: np.ndarray
    width: float


def hand(colour: np.ndarray, seed: int = 0) -> Thing:
    """A drawn hand with fingers up, of a skin colour (3,) RGB, shaded round and lit from above."""
    side = 400
    cover = np.zeros((side, side), np.uint8)
    joints = [((150, 250), (110, 90)), ((185, 235), (180, 50)), ((222, 235), (240, 60)), ((255, 250), (295, 95))]
    joints += [((140, 330), (55, 230))]
    shade = np.zeros((side, side), np.float32)
    cv2.ellipse(cover, (200, 300), (78, 85), 0, 0, 360, 255, -1)
    cv2.rectangle(cover, (150, 320), (250, 399), 255, -1)
    for start, end in joints:
        one = np.zeros_like(cover)
        cv2.line(one, start, end, 255, 38, cv2.LINE_AA)
        shade = np.maximum(shade, _round(one))
        cover = np.maximum(cover, one)
    shade = np.maximum(shade, 0.8 * _round(cover))
    # Fingers are told apart by the dark between them.
    rng = np.random.default_rng(seed)
    skin = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 5) * 12
    light = 0.62 + 0.42 * shade + 0.1 * (0.5 - np.arange(side)[:, None] / side)
    image = np.asarray(colour, np.float32) * light[..., None] + skin[..., None]
    image[..., 0] += 6
    return Thing(np.clip(image, 0, 255).astype(np.uint8), cover.astype(np.float32) / 255, 0.95)


def microphone() -> Thing:
    """A dark microphone with a grey grille, held from below."""
    cover = np.zeros((400, 160), np.uint8)
    cv2.ellipse(cover, (80, 75), (62, 68), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.rectangle(cover, (48, 110), (112, 399), 255, -1)
    image = np.full((400, 160, 3), 28, np.uint8)
    grille = np.add.outer(np.arange(150), np.arange(160)) // 6 % 2
    image[:150] = np.where(grille[..., None] > 0, 95, 60)
    image[128:142] = 130
    shade = 0.5 + 0.6 * _round(cover)
    return Thing(np.clip(image * shade[..., None], 0, 255).astype(np.uint8), cover.astype(np.float32) / 255, 0.36)


def cup() -> Thing:
    """A white cup with a red stripe."""
    cover = np.zeros((260, 240), np.uint8)
    cv2.fillPoly(cover, [np.array([[20, 10], [220, 10], [195, 250], [45, 250]], np.int32)], 255, cv2.LINE_AA)
    image = np.full((260, 240, 3), 225, np.uint8)
    image[90:140] = (170, 40, 35)
    shade = 0.75 + 0.25 * np.cos((np.arange(240) - 100) / 90)[None, :, None]
    return Thing(np.clip(image * shade, 0, 255).astype(np.uint8), cover.astype(np.float32) / 255, 0.55)


def paper() -> Thing:
    """A white sheet with lines of writing."""
    image = np.full((300, 240, 3), 235, np.uint8)
    for y in range(30, 280, 22):
        cv2.line(image, (20, y), (120 + (y * 37) % 100, y), (60, 60, 70), 3)
    return Thing(image, np.ones((300, 240), np.float32), 0.8)


def cut_out(frame: np.ndarray, box: tuple[int, int, int, int], width: float) -> Thing:
    """What is skin-coloured and bright within a box x0, y0, x1, y1 of a frame: hands before dark clothes."""
    x0, y0, x1, y1 = box
    part = np.ascontiguousarray(frame[y0:y1, x0:x1])
    lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32)
    like = ((lab[..., 0] > 75) & (lab[..., 1] > 131)).astype(np.uint8)
    like = cv2.morphologyEx(like, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(like)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    cover = cv2.GaussianBlur((labels == largest).astype(np.float32), (0, 0), 0.8)
    return Thing(part, cover, width)


def put(
    frame: np.ndarray, thing: Thing, centre: tuple[float, float], width: float, turn: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The frame (h, w, 3) uint8 with a thing at `centre`, `width` pixels wide and turned by degrees, and its cover."""
    h, w = thing.cover.shape
    scale = width / w
    shrink = max(1, round(1 / max(scale, 1e-3)))
    image, cover = thing.image, thing.cover
    if shrink > 1:
        image = cv2.resize(image, (w // shrink, h // shrink), interpolation=cv2.INTER_AREA)
        cover = cv2.resize(cover, (w // shrink, h // shrink), interpolation=cv2.INTER_AREA)
    h, w = cover.shape
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), turn, width / w)
    matrix[:, 2] += np.array(centre) - ((w - 1) / 2, (h - 1) / 2)
    size = (frame.shape[1], frame.shape[0])
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR)
    mixed = frame + cover[..., None] * (image.astype(np.float32) - frame)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), cover


def glasses(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame with thin dark glasses worn on the face with landmarks (478, 2 or 3), and their cover."""
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    cover = np.zeros(frame.shape[:2], np.uint8)
    across = (points[473, :2] - points[468, :2]) / between
    down = np.array([-across[1], across[0]])
    thick = max(1, round(0.045 * between))
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    for iris in (468, 473):
        centre = points[iris, :2] + 0.06 * between * down
        axes = (0.38 * between, 0.27 * between)
        places = [tuple(np.rint(16 * np.array(p)).astype(int)) for p in (centre, axes)]
        ring = cv2.ellipse2Poly(*places, round(turn), 0, 360, 6)
        cv2.polylines(cover, [ring], True, 255, thick, cv2.LINE_AA, 4)
    inner = [points[468, :2] + 0.38 * between * across, points[473, :2] - 0.38 * between * across]
    line = np.rint(16 * (np.array(inner) + 0.02 * between * down)).astype(np.int32)
    cv2.polylines(cover, [line], False, 255, thick, cv2.LINE_AA, 4)
    share = cover.astype(np.float32)[..., None] / 255
    return np.rint(frame + share * (np.array([32, 30, 34], np.float32) - frame)).astype(np.uint8), share[..., 0]


def square_glasses(crop: np.ndarray, points: np.ndarray, thickness: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The crop with thin dark square glasses drawn on, and the mask of what was drawn."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    between = np.linalg.norm(points[468, :2] - points[473, :2])
    centres = [points[i, :2] + (0, 0.06 * between) for i in (468, 473)]
    for x, y in centres:
        box = (round(0.40 * between), round(0.26 * between))
        cv2.rectangle(
            mask, (round(x) - box[0], round(y) - box[1]), (round(x) + box[0], round(y) + box[1]), 1, thickness
        )
    (x0, y0), (x1, y1) = centres
    left, right = (x0 + 0.40 * between, y0), (x1 - 0.40 * between, y1)
    cv2.line(mask, tuple(np.rint(left).astype(int)), tuple(np.rint(right).astype(int)), 1, thickness)
    drawn = crop.copy()
    drawn[mask > 0] = (30, 28, 30)
    return drawn, mask > 0


# In distances of the pupils from a pupil, inwards and down: outline and opening of a frame of plastic.
_OUTLINE = ((-0.55, -0.3), (-0.2, -0.33), (0.42, -0.24), (0.41, 0.08), (0.3, 0.3), (-0.1, 0.42), (-0.42, 0.18))
_OPENING = ((-0.42, -0.19), (-0.1, -0.2), (0.32, -0.16), (0.31, 0.06), (0.2, 0.22), (-0.09, 0.32), (-0.33, 0.12))


def plastic_glasses(
    crop: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], lenses: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The crop with a frame of plastic worn, with lenses of its colour or none, and the mask of what was drawn."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    across = (points[473, :2] - points[468, :2]).astype(np.float64)
    down = np.array([-across[1], across[0]])

    def fill(pupil: int, side: int, outline: tuple[tuple[float, float], ...], value: int) -> None:
        places = points[pupil, :2] + np.array([side * x * across + y * down for x, y in outline])
        cv2.fillPoly(mask, [np.rint(places * 16).astype(np.int32)], value, shift=4)

    for pupil, side in ((468, 1), (473, -1)):
        fill(pupil, side, _OUTLINE, 1)
        if not lenses:
            fill(pupil, side, _OPENING, 0)
    fill(468, 1, ((0.35, -0.2), (0.65, -0.2), (0.65, -0.06), (0.35, -0.06)), 1)
    drawn = crop.copy()
    drawn[mask > 0] = colour
    return cv2.GaussianBlur(drawn, (0, 0), 0.6), mask > 0


def passing(start: float, stop: float, rest: float, low: float = 1.3) -> Callable[[float], float | None]:
    """A movement up before the face, a stay and down again: place below the rest (in faces) by time, None when away."""

    def place(time: float) -> float | None:
        if not start <= time <= stop:
            return None
        rise = min((time - start) / rest, (stop - time) / rest, 1.0)
        return low * (1 - (3 * rise**2 - 2 * rise**3))

    return place


def _round(mask: np.ndarray) -> np.ndarray:
    depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5)
    share = np.clip(depth / max(float(depth.max()), 1e-3), 0, 1)
    return np.sqrt(1 - (1 - share) ** 2).astype(np.float32)


def surgical_mask(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame with a pale blue mask worn on the face with landmarks (478, 2 or 3), and its cover (h, w) 0..1."""
    top = [234, 117, 118, 101, 197, 330, 347, 346, 454]
    low = [361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132]
    length = float(np.linalg.norm(points[152, :2] - points[168, :2]))
    cover = _painted(frame, points[top + low, :2])
    folds = 1 + 0.06 * np.sin(np.arange(len(frame)) * 36 / length)
    cloth = np.array([150, 185, 205]) * folds[:, None, None]
    return _laid(frame, cover, cloth), cover


def eye_bar(
    frame: np.ndarray, points: np.ndarray, colour: tuple[int, int, int] = (20, 20, 20)
) -> tuple[np.ndarray, np.ndarray]:
    """The frame with a bar over eyes and brows of the face with landmarks (478, 2 or 3), and its cover (h, w) 0..1."""
    (x0, y0), (x1, y1) = points[[70, 10], [0, 1]].astype(int) - 4, points[[300, 4], [0, 1]].astype(int) + 4
    cover = np.zeros(frame.shape[:2], np.float32)
    cover[y0 : y1 + 1, x0 : x1 + 1] = 1
    return _laid(frame, cover, np.array(colour)), cover


def fringe(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame with brown hair over the brows of the face with landmarks (478, 2 or 3), and its cover (h, w) 0..1."""
    right, left = points[468, :2], points[473, :2]
    across, down = (left - right) / 2, points[152, :2] - points[168, :2]
    rng = np.random.default_rng(0)
    begin = points[10, :2] - 0.25 * down
    cover = np.zeros(frame.shape[:2], np.float32)
    for x in np.linspace(-1.9, 1.9, 60):
        root, tip = begin + x * across, points[9, :2] + x * across + (0.02 + 0.06 * rng.random()) * down
        strand = [root - 0.07 * across, root + 0.07 * across, tip + 0.03 * across, tip - 0.03 * across]
        cover = np.maximum(cover, _painted(frame, np.array(strand)))
    hair = np.array([66, 46, 34]) * (0.7 + 0.6 * rng.random((1, frame.shape[1], 1)))
    return _laid(frame, cover, hair), cover


def beard(
    frame: np.ndarray, points: np.ndarray, dense: float = 1.0, whole: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The frame with a dark beard and a moustache on the face with landmarks (478, 2 or 3), and its cover (h, w) 0..1;
    little of dense is stubble; not whole: the moustache alone.
    """
    jaw = [361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132]
    cheeks = [177, 147, 187, 207, 206, 203, 97, 2, 326, 423, 426, 427, 411, 376, 401]
    lips = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
    moustache = [61, 206, 203, 97, 2, 326, 423, 426, 291, 0]
    cover = _painted(frame, points[jaw + cheeks if whole else moustache, :2])
    cover *= 1 - _painted(frame, points[lips, :2])
    cover = cv2.GaussianBlur(cover, (0, 0), 0.01 * float(np.ptp(points[:, 0]))) * np.float32(dense)
    streaks = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, frame.shape[:2]), (0, 0), 0.5, sigmaY=2)
    hairs = np.array([62, 45, 36]) * np.clip(1 + 0.6 * streaks, 0.4, 1.8)[..., None]
    return _laid(frame, cover, hairs), cover


def _painted(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    mask = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _laid(frame: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frame + cover[..., None] * (colour - frame)), 0, 255).astype(np.uint8)


def occluded(frames: np.ndarray, looks: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
    """(N, K) uint8: what stands before the face, a full beard with it, of looks (N, K, 6) at frames (N,)."""
    return evidence.occluded_and_beard(frames, looks, wanted)[0]
