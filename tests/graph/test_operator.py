"""A wrongly written stage fails when its class is made, with the fix in the message."""

import pytest

from vidswap.graph import Operator


def test_an_unknown_kind_is_refused():
    with pytest.raises(TypeError, match=r"Bad.kind is 'swap'; it must be one of decode, detect"):

        class Bad(Operator):
            kind = "swap"


def test_a_string_where_a_tuple_belongs_is_refused():
    with pytest.raises(TypeError, match=r"Bad.needs is a string; write a tuple: \('picture',\)"):

        class Bad(Operator):
            kind = "blend"
            needs = "picture"


def test_an_ordered_stage_must_not_touch_pixels():
    with pytest.raises(TypeError, match="a scan works on small columns alone"):

        class Bad(Operator):
            kind, ordered, needs = "detect", True, ("picture",)
