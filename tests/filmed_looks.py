"""Looks of a face that is filmed for some seconds, with things before it at times."""

import cv2
import numpy as np
import occluders
from conftest import ArrayPicture

from vidswap.demo import portrait
from vidswap.faces import alignment, look, topology
from vidswap.faces.detection import find_faces

FRAMES = 70
AWAY = range(30, 48)


def face_in_crop(face_model):
    """Crop (192, 192, 3) of a portrait, its landmarks in it."""
    image = np.ascontiguousarray(cv2.imread(str(portrait("grace_hopper")))[:, :, ::-1])
    landmarks = find_faces(ArrayPicture(image), face_model).landmarks[0]
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), 192)
    return ArrayPicture(image).crop(matrix, (192, 192)), alignment.transform(matrix, landmarks)


def held(crop, points, thing, at=454, along=0.5):
    """The crop with a thing that comes in from below or beside, towards a landmark, and its cover."""
    width = np.ptp(points[:, 0]) * thing.width
    middle = points[topology.NOSE_TIP, :2] * (1 - along) + points[at, :2] * along
    return occluders.put(crop, thing, tuple(middle), width)


def filmed(face, thing=None, model=None, seed=0, light=0.1, colour=None):
    """Looks (70, K, 6) of a face under light that comes and goes, with a thing before it in `AWAY`; and covers.

    colour: from the number of a frame to the colour (3,) of its light.
    """
    rng = np.random.default_rng(seed)
    crop, points = face
    looks, covers = [], []
    for frame in range(FRAMES):
        shown, cover = (crop, np.zeros(crop.shape[:2], np.float32))
        if thing is not None and frame in AWAY:
            shown, cover = held(crop, points, thing)
        gain = 1 + light * np.sin(frame / 6) + 0.1 * light * rng.normal()
        if colour is not None:
            gain = gain * np.asarray(colour(frame))
        shown = np.clip(shown * gain + rng.normal(0, 2, crop.shape), 0, 255).astype(np.uint8)
        noisy = points + rng.normal(0, 0.4, points.shape)
        hands = model.hands(shown) if model is not None and frame % look.HANDS_EVERY == 0 else None
        looks.append(look.look_of_crop(shown, noisy, hands))
        covers.append(on_cells(points, cover))
    return np.stack(looks), np.stack(covers)


def on_cells(points, cover):
    cells = look.cells()
    places = (points[cells.corners][..., :2] * cells.shares[..., None]).sum(1).astype(np.float32)
    return cv2.remap(cv2.blur(cover, (5, 5)), places[None], None, cv2.INTER_LINEAR).ravel()
