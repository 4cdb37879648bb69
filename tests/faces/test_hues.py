import cv2
import numpy as np
import pytest

from vidswap.faces.covering import LIPS, places
from vidswap.faces.hues import of_one_colour
from vidswap.faces.look import CHANNELS, GRID, cells


def lab(rgb):
    return cv2.cvtColor(np.uint8([[rgb]]), cv2.COLOR_RGB2LAB)[0, 0]


LIPS_MIDDLE = tuple(np.argwhere(places()[LIPS] > 0).mean(0)[::-1])
SKIN = lab((200, 150, 125))


def look_of(blobs):
    """A look (K, 6) of skin with blobs of (middle, radius, colour) in cells, and where each lies (K,)."""
    index = cells().index
    across, down = index % GRID, index // GRID
    look = np.zeros((len(index), CHANNELS), np.uint8)
    look[:, :3], look[:, 4] = SKIN, 255
    where = []
    for (x, y), radius, colour in blobs:
        inside = np.hypot(across - x, down - y) < radius
        look[inside, :3] = lab(colour)
        where.append(inside)
    return look, where


def half(inside):
    """Marks (K,) on the left half of what is inside."""
    across = cells().index % GRID
    return (inside & (across <= np.median(across[inside]))).astype(np.float32)


@pytest.mark.parametrize("colour", [(60, 120, 50), (90, 70, 150), (40, 110, 190), (230, 210, 60)])
def test_the_rest_of_a_thing_is_found_by_its_colour_and_no_skin(colour):
    look, (inside,) = look_of([((12, 16), 5, colour)])
    marks = half(inside)
    added = of_one_colour(look, marks)
    assert (added[inside & (marks == 0)] > 0.9).all()
    assert added[~inside].max() == 0 and added[marks > 0].max() == 0


def test_what_does_not_touch_it_is_another_thing():
    look, (one, other) = look_of([((9, 14), 4, (60, 120, 50)), ((23, 14), 4, (60, 120, 50))])
    assert not of_one_colour(look, half(one))[other].any()


@pytest.mark.parametrize("colour", [(120, 78, 58), (160, 112, 90), (215, 175, 155)])
def test_colours_that_faces_have_tell_nothing(colour):
    look, (inside,) = look_of([((12, 16), 5, colour)])
    assert not of_one_colour(look, half(inside)).any()


@pytest.mark.parametrize("grey", [30, 120, 240])
def test_a_grey_thing_on_a_cheek_is_found_unless_the_picture_is_grey(grey):
    look, (inside,) = look_of([((10, 18), 4, (grey, grey, grey))])
    marks, plain = half(inside), cells().plain
    added = of_one_colour(look, marks)
    assert (added[inside & plain & (marks == 0)] > 0.9).all() and not added[~(inside & plain)].any()
    look[:, 1:3] = 128
    assert not of_one_colour(look, marks).any()


def test_of_two_grey_things_one_is_not_the_other():
    look, (black, white) = look_of([((10, 18), 4, (20, 20, 20)), ((17, 22), 3, (240, 240, 240))])
    assert not of_one_colour(look, (black & ~white).astype(np.float32))[white].any()


def test_lips_of_any_red_are_lips():
    lips = np.array(LIPS_MIDDLE)
    look, (inside,) = look_of([(lips, 2.6, (190, 30, 70))])
    inside = inside & (np.abs(cells().index // GRID - lips[1]) < 1.5)
    assert not of_one_colour(look, half(inside)).any()


def test_nothing_is_said_of_specks_of_cells_that_are_not_seen_and_of_faces_without_bare_skin():
    look, (inside,) = look_of([((12, 16), 5, (60, 120, 50))])
    speck = np.zeros(len(look), np.float32)
    speck[np.flatnonzero(inside)[:3]] = 1
    assert not of_one_colour(look, speck).any()
    marks, unseen = half(inside), look.copy()
    unseen[inside & (marks == 0), 4] = 0
    assert not of_one_colour(unseen, marks).any()
    assert not of_one_colour(look, np.where(inside & (marks == 0), 0, 1).astype(np.float32)).any()
