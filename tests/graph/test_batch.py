"""Batch and the standard columns."""

import numpy as np
import pytest

from vidswap.graph import STANDARD_COLUMNS, Batch, object_column


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equal lengths, got {'a': 2, 'b': 3}"):
        Batch(a=np.zeros(2), b=np.zeros(3))


def test_concat_skips_batches_without_rows_whatever_their_columns():
    joined = Batch.concat([Batch(frame=np.zeros(0)), Batch(frame=np.ones(2), x=np.ones(2)), Batch()])
    assert len(joined) == 2 and joined.names == ("frame", "x")


def test_concat_of_different_columns_is_refused():
    with pytest.raises(ValueError, match="differ in columns"):
        Batch.concat([Batch(a=np.ones(1)), Batch(b=np.ones(1))])


def test_object_column_keeps_arrays_of_equal_shape_apart():
    column = object_column([np.zeros((2, 2)), np.zeros((2, 2))])
    assert column.shape == (2,) and column[0].shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("box", np.zeros((3, 4), np.float64), "column box is float32, got float64"),
        ("box", np.zeros((3, 5), np.float32), "rows of shape (4,), got (5,)"),
        ("matrix", np.zeros((3, 6)), "rows of shape (2, 3), got (6,)"),
        ("texture", np.zeros((1, 8, 9, 3), np.uint8), "rows of shape ('T', 'T', 3), got (8, 9, 3)"),
        ("image", np.zeros((1, 8, 8, 3), np.uint8), "holds one object per row"),
    ],
)
def test_standard_columns_say_how_values_differ(name, values, says):
    assert says in STANDARD_COLUMNS[name].check(values)


def test_standard_columns_accept_what_fits():
    assert STANDARD_COLUMNS["wplus"].check(np.zeros((2, 18, 512), np.float32)) is None
    assert STANDARD_COLUMNS["image"].check(object_column([np.zeros((4, 4, 3))])) is None
