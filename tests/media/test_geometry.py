"""Stored and displayed pixels: eight ways to turn, square pixels, and maps that lead back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.geometry import Orientation, compose, invert, square_size, stored_from_displayed

EIGHT = [
    Orientation(*turn)
    for turn in (
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (-1, 0, 0, -1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, 1, 0),
        (0, -1, -1, 0),
        (0, 1, -1, 0),
    )
]
numbers = st.floats(-50, 50)
maps = st.tuples(*[numbers] * 6).map(lambda v: np.array(v).reshape(2, 3))


@given(maps, maps, st.tuples(numbers, numbers))
def test_a_composed_map_is_one_after_the_other(outer, inner, point):
    middle = inner @ [*point, 1]
    np.testing.assert_allclose(compose(outer, inner) @ [*point, 1], outer @ [*middle, 1], rtol=1e-9, atol=1e-6)


@given(maps, st.tuples(numbers, numbers))
def test_an_inverse_leads_back(affine, point):
    if abs(np.linalg.det(affine[:, :2])) < 1e-2:
        return
    there = affine @ [*point, 1]
    np.testing.assert_allclose(invert(affine) @ [*there, 1], point, atol=1e-5 * np.abs(affine).max() ** 2 + 1e-6)


@pytest.mark.parametrize("flat", [np.zeros((2, 3)), np.array([[1.0, 2, 3], [2, 4, 6]]), np.full((2, 3), np.nan)])
def test_a_map_that_flattens_the_plane_has_no_inverse(flat):
    with pytest.raises(ValueError, match="has no inverse"):
        invert(flat)


@pytest.mark.parametrize("turn", EIGHT, ids=lambda turn: turn.name)
def test_pixels_go_where_the_map_says(turn):
    image = np.arange(15).reshape(3, 5)
    turned, affine = turn.apply(image), turn.affine(5, 3)
    assert turned.shape == ((5, 3) if turn.swaps else (3, 5)) and turned.flags.c_contiguous
    for y, x in np.ndindex(image.shape):
        across, down = (affine @ [x, y, 1]).astype(int)
        assert turned[down, across] == image[y, x]


@pytest.mark.parametrize("turn", EIGHT, ids=lambda turn: turn.name)
def test_a_display_matrix_says_the_turn_and_rounds_to_the_nearest(turn):
    assert Orientation.from_display_matrix(turn.display_matrix) == turn
    slanted = list(turn.display_matrix)
    slanted[1] += 9000
    assert Orientation.from_display_matrix(slanted) == turn


def test_exif_names_each_turn_once():
    assert {Orientation.from_exif(value) for value in range(1, 9)} == set(EIGHT)
    assert Orientation.from_exif(0) == Orientation.from_exif(99) == Orientation()
    # 6 is how a phone held upright writes its pictures: to be turned by a quarter, clockwise.
    assert (Orientation.from_exif(6).name, Orientation.from_exif(8).name) == ("rotated 90", "rotated 270")


def test_a_quarter_clockwise_brings_the_left_edge_up():
    image = np.array([[1, 2], [3, 4]])
    assert Orientation.from_exif(6).apply(image).tolist() == [[3, 1], [4, 2]]


@pytest.mark.parametrize(
    ("size", "ratio", "square"),
    [
        ((720, 576), Fraction(16, 15), (768, 576)),
        ((640, 480), Fraction(1), (640, 480)),
        ((3, 9), Fraction(1, 9), (1, 9)),
    ],
)
def test_square_pixels_keep_the_height(size, ratio, square):
    assert square_size(*size, ratio) == square


@pytest.mark.parametrize("turn", EIGHT, ids=lambda turn: turn.name)
def test_the_middle_stays_the_middle(turn):
    ratio = Fraction(16, 15)
    square = square_size(720, 576, ratio)
    shown = square[::-1] if turn.swaps else square
    affine = stored_from_displayed(720, 576, ratio, turn)
    np.testing.assert_allclose(affine @ [(shown[0] - 1) / 2, (shown[1] - 1) / 2, 1], [359.5, 287.5])
    # Edges of the pictures, half a pixel beyond the outermost centres, lie on one another.
    corner = affine @ [-0.5, -0.5, 1]
    assert min(abs(corner[0] + 0.5), abs(corner[0] - 719.5)) < 1e-9
    assert min(abs(corner[1] + 0.5), abs(corner[1] - 575.5)) < 1e-9
