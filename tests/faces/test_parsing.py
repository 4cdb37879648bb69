import numpy as np

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
