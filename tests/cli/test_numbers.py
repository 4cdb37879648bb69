"""Lists of numbers as a user writes them."""

from __future__ import annotations

import pytest

from vidswap.cli.numbers import numbers, shares
from vidswap.graph.errors import InputError


@pytest.mark.parametrize(
    ("text", "found"),
    [("7", [7]), ("0-3,9", [0, 1, 2, 3, 9]), (" 4 , 2-2", [4, 2]), ("5,5", [5, 5])],
)
def test_single_ones_and_ranges(text, found):
    assert numbers(text, "--seeds", most=10, example="0-31") == found


def test_a_range_ends_at_the_last_there_is_and_a_single_one_is_kept_to_be_refused():
    assert numbers("3-99,99", "--at", most=10, example="0", last=5) == [3, 4, 5, 99]
    assert numbers("8-99", "--at", most=10, example="0", last=5) == [8]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "--seeds '': write numbers with commas between, such as 0-31,40"),
        ("1,,2", "write numbers with commas"),
        ("-3", "write numbers with commas"),
        ("1-", "write numbers with commas"),
        ("1.5", "write numbers with commas"),
        ("9-3", "9-3 runs backwards; write 3-9"),
        ("0-10", "these are more than 10; give fewer"),
        ("0-999999999999", "these are more than 10"),
    ],
)
def test_what_is_no_list_is_told_in_one_line(text, says):
    with pytest.raises(InputError) as told:
        numbers(text, "--seeds", most=10, example="0-31,40")
    assert says in str(told.value) and "\n" not in str(told.value)


def test_shares_lie_between_their_limits():
    assert shares("0.3, 1,-1", "--truncation", low=-1, high=1) == [0.3, 1, -1]
    for text in ("1.01", "nan", "0,inf"):
        with pytest.raises(InputError, match="is not between 0 and 1"):
            shares(text, "--truncation", low=0, high=1)
    for text in ("", "a", "1;2"):
        with pytest.raises(InputError, match="write numbers with commas between, such as"):
            shares(text, "--truncation", low=0, high=1)
