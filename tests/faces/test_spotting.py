"""Spotting: a picture in which nothing has come since the last search is not searched again, and no face is missed."""

import cv2
import numpy as np
import pytest

from vidswap.faces.detection import DetectionOptions
from vidswap.faces.mediapipe_models import load_face_model
from vidswap.faces.spotting import Spotter

WIDTH, HEIGHT = 960, 540


class Still:
    """A picture that is an array; counts how often the detector has it cut up."""

    def __init__(self, image):
        self.image, self.crops = image, 0
        self.height, self.width = image.shape[:2]

    def rgb(self, width, height):
        return cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)

    def crop(self, matrix, size):
        self.crops += 1
        return cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def model():
    made = load_face_model(None)
    yield made
    made.close()


@pytest.fixture
def spotter(model):
    return Spotter(model, DetectionOptions(min_face=60, largest=True, refine=0))


@pytest.fixture(scope="module")
def room():
    random = np.random.default_rng(3)
    coarse = random.integers(60, 190, (6, 10, 3)).astype(np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def noisy(room, seed):
    noise = np.random.default_rng(seed).normal(0, 4, room.shape)
    return np.clip(room + noise, 0, 255).astype(np.uint8)


def with_face(room, astronaut, height):
    """The face of the portrait, so many pixels high, near a corner."""
    face = astronaut[60:220, 140:300]
    side = round(height * 160 / 120)
    made = room.copy()
    made[20 : 20 + side, 40 : 40 + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return made


def test_an_unchanged_picture_is_not_searched_again(spotter, room):
    first, second = Still(noisy(room, 1)), Still(noisy(room, 2))
    assert not spotter.sees(first)
    assert not spotter.sees(second)
    assert first.crops
    assert not second.crops


@pytest.mark.parametrize("height", [64, 100, 240])
def test_a_face_that_comes_is_seen(spotter, room, astronaut, height):
    assert not spotter.sees(Still(noisy(room, 1)))
    assert spotter.sees(Still(noisy(with_face(room, astronaut, height)[:, ::-1], 2)))


def test_a_large_face_is_seen_on_either_side(spotter, room, astronaut):
    for shown in (with_face(room, astronaut, 240), with_face(room, astronaut, 240)[:, ::-1]):
        spotter.begin()
        assert not spotter.sees(Still(noisy(room, 1)))
        assert spotter.sees(Still(noisy(shown, 2)))
        assert spotter.sees(Still(noisy(shown, 3)))


@pytest.mark.parametrize("height", [64, 100])
def test_a_small_face_in_a_tile_whose_turn_it_is_not_is_seen_in_the_next_picture(spotter, room, astronaut, height):
    shown = with_face(room, astronaut, height)
    assert not spotter.sees(Still(noisy(room, 1)))
    assert not spotter.sees(Still(noisy(shown, 2)))
    assert spotter.sees(Still(noisy(shown, 3)))
    assert spotter.searches(Still(noisy(shown, 2)))


def test_a_face_too_faint_to_be_passed_over_is_seen(spotter, room, astronaut):
    """A fifth of a face's contrast, in the colour of what is behind it: about the faintest that is found at all."""
    face = cv2.resize(astronaut[60:220, 140:300], (134, 134), interpolation=cv2.INTER_AREA).astype(float)
    y, x = (np.mgrid[:134, :134] - 67) / np.array([56, 48]).reshape(2, 1, 1)
    faint = room.astype(float)
    faint[20:154, 40:174] += 0.2 * np.exp(-(x**6 + y**6))[..., None] * (face - face.mean((0, 1)))
    shown = Still(np.clip(faint, 0, 255).astype(np.uint8))
    assert spotter.sees(shown)
    spotter.begin(Still(room))
    assert spotter.sees(shown)


def test_a_face_that_stays_is_seen_again(spotter, room, astronaut):
    assert spotter.sees(Still(with_face(room, astronaut, 200)))
    assert spotter.sees(Still(with_face(room, astronaut, 200)))


def test_slow_changes_are_compared_with_what_was_searched(spotter, room):
    crops = []
    for step in range(6):
        picture = Still(np.clip(room.astype(int) + 3 * step, 0, 255).astype(np.uint8))
        assert not spotter.sees(picture)
        crops.append(bool(picture.crops))
    assert crops == [True, False, False, True, True, False], "each half of the tiles once"


def test_a_new_beginning_searches(spotter, room):
    spotter.sees(Still(room))
    spotter.begin()
    again = Still(room)
    assert not spotter.sees(again)
    assert again.crops


def test_it_goes_on_from_a_picture_known_to_be_empty(spotter, room):
    spotter.begin(Still(room))
    again = Still(room)
    assert not spotter.sees(again)
    assert not again.crops


def test_where_small_faces_would_vanish_every_picture_is_searched(model, room):
    spotter = Spotter(model, DetectionOptions(min_face=10, largest=True, refine=0))
    spotter.sees(Still(room))
    again = Still(room)
    assert not spotter.sees(again)
    assert again.crops
