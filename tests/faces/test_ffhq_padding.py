"""What is shown of a face beyond the edge of its picture."""

import numpy as np
import pytest

from vidswap.faces import alignment, ffhq_padding


def square(x, y, side):
    return alignment.matrix_of_axes(np.array([[x, y], [side / 2, 0], [0, side / 2]]), 64)


def test_a_square_within_the_picture_needs_no_padding():
    assert ffhq_padding.patch(square(200, 200, 100), 64, 400, 400) is None
    assert ffhq_padding.patch(square(40, 200, 100), 64, 400, 400) is not None
    # Four pixels of room are still enough.
    assert ffhq_padding.patch(square(56, 200, 100), 64, 400, 400) is None
    assert ffhq_padding.patch(square(53, 200, 100), 64, 400, 400) is not None


def test_a_large_picture_is_made_smaller_first_by_a_whole_number():
    assert ffhq_padding.patch(square(0, 0, 600), 64, 4000, 3000).shrink == 4
    assert ffhq_padding.patch(square(0, 0, 60), 64, 400, 300).shrink == 1


def test_within_the_picture_pixels_stay_and_far_beyond_they_are_its_median():
    image = np.random.default_rng(1).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    where = ffhq_padding.patch(square(30, 150, 200), 64, 300, 300)
    part = image[where.top : where.bottom, where.left : where.right]
    made = ffhq_padding.padded(part, where)
    left, top, right, bottom = where.padding
    assert left == 0.1 * 200 + 70 and top == right == bottom == 60
    inner = made[top:-bottom, left:-right]
    assert inner.shape == part.shape
    assert np.array_equal(inner[60:-60, 60:-60], part[60:-60, 60:-60])
    outer = made[:, 0]
    assert np.abs(outer - np.median(outer, axis=0)).max() < 1
    assert made[top + 50, left - 1] == pytest.approx(made[top + 50, left], abs=60)


def test_a_square_outside_the_picture_is_left_to_who_cuts_it():
    assert ffhq_padding.patch(square(-500, 50, 100), 64, 400, 400) is None
