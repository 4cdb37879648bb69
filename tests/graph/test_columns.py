"""Columns: what values of a column look like, and one line where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from vidswap.graph.columns import STANDARD_COLUMNS, Column

SQUARE = Column("square", ("S", "S", 3), "uint8", "a square picture")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (SQUARE, np.zeros((0, 4, 4, 3), np.uint8)),
        (SQUARE, np.zeros((5, 7, 7, 3), np.uint8)),
        (Column("any", (2,), "any", ""), np.zeros((3, 2), np.float16)),
        (Column("ragged", ("S", "S"), "uint8", "", ragged=True), np.empty(3, object)),
        (STANDARD_COLUMNS["picture"], np.empty(2, object)),
        (STANDARD_COLUMNS["tuned"], np.array(["a", "b"], "<U64")),
    ],
)
def test_values_that_fit(column, values):
    assert column.check(values) is None


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        (SQUARE, np.zeros((5, 7, 7, 3), np.int8), "column square is uint8, got int8"),
        (SQUARE, np.zeros((5, 7, 8, 3), np.uint8), "has rows of shape ('S', 'S', 3), got (7, 8, 3)"),
        (SQUARE, np.zeros((5, 7, 7, 4), np.uint8), "got (7, 7, 4)"),
        (SQUARE, np.zeros((7, 7, 3), np.uint8), "got (7, 3)"),
        (STANDARD_COLUMNS["box"], np.zeros((2, 5), np.float32), "has rows of shape (4,), got (5,)"),
        (STANDARD_COLUMNS["frame"], np.zeros(2, np.int32), "is int64, got int32"),
        (STANDARD_COLUMNS["crop"], np.zeros((2, 4, 4, 3), np.uint8), "holds one object per row, got uint8"),
        (STANDARD_COLUMNS["picture"], np.empty((2, 2), object), "holds one object per row"),
    ],
)
def test_values_that_do_not_fit_are_told_in_one_line(column, values, says):
    told = column.check(values)
    assert told is not None and says in told and "\n" not in told


def test_columns_of_one_worker_are_those_that_hold_pixels_or_objects_of_their_own_size():
    for name, column in STANDARD_COLUMNS.items():
        assert column.name == name and column.meaning
        if column.ragged or column.dtype == "object":
            assert column.transient, f"{name} could be stored"
