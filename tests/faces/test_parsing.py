import numpy as np
import occluders
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import look, parsing
from vidswap.faces.regions import BACKGROUND, EYES, SKIN, paint_regions


def test_a_face_needs_skin_and_something_in_it():
    labels = np.zeros((64, 64), np.uint8)
    assert not parsing.shows_face(labels)
    labels[10:50, 20:44] = SKIN
    assert not parsing.shows_face(labels)
    labels[20, 25] = EYES
    assert parsing.shows_face(labels)


def test_a_face_that_landmarks_outline_is_seen(astronaut, astronaut_landmarks, face_model):
    labels = paint_regions(astronaut, astronaut_landmarks, face_model.segment(astronaut))
    assert parsing.shows_face(labels)


def test_what_came_before_the_face_is_background(astronaut, astronaut_landmarks, face_model):
    labels = paint_regions(astronaut, astronaut_landmarks, face_model.segment(astronaut))
    nothing = np.zeros(len(look.cells().index), np.uint8)
    assert np.array_equal(parsing.without_occluders(labels, astronaut, astronaut_landmarks, nothing), labels)
    column = np.where(look.cells().index // look.GRID > look.GRID // 2, 255, 0).astype(np.uint8)
    found = parsing.without_occluders(labels, astronaut, astronaut_landmarks, column)
    x, y = astronaut_landmarks[152, :2].astype(int)  # chin
    top = astronaut_landmarks[10, :2].astype(int)
    assert found[y - 4, x] == BACKGROUND
    assert found[top[1] + 8, top[0]] == labels[top[1] + 8, top[0]] == SKIN
    assert (found != labels).sum() > 500


def test_a_portraits_beard_hides_nothing(grace_hopper, face_model):
    row = face_row(grace_hopper, face_model)
    bearded, _ = occluders.beard(row["crop"][0], in_crop(row))
    assert parsing.things_and_beard(bearded, in_crop(row))[0].mean() < 0.01


@pytest.mark.parametrize(("name", "share"), [("surgical_mask", 0.8), ("hand", 0.45), ("microphone", 0.8)])
def test_what_hides_a_portraits_face_is_seen(grace_hopper, face_model, name, share):
    row = face_row(grace_hopper, face_model)
    crop, points = row["crop"][0], in_crop(row)
    assert not np.any(parsing.things_and_beard(crop, points))
    if name == "surgical_mask":
        shown, cover = occluders.surgical_mask(crop, points)
    else:
        thing = occluders.hand((190, 140, 115)) if name == "hand" else occluders.microphone()
        shown, cover = occluders.put(crop, thing, tuple(points[205, :2]), np.ptp(points[:, 0]) * thing.width)
    found, _ = parsing.things_and_beard(shown, points)
    oval = parsing.before_face(crop, points, np.full(len(look.cells().index), 255, np.uint8)) > 0.5
    assert found[(cover > 0.95) & oval].mean() > share
    assert found[(cover < 0.01) & oval].mean() < 0.15
