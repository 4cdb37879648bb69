"""A wrongly written stage fails when its class is made, with the fix in the message."""

import numpy as np
import pytest

from vidswap.graph import Batch, Operator, Setting


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


def test_people_are_told_apart_by_the_names_of_their_pictures():
    def picture(value):
        return Batch(value=np.array([value]))

    bound = {"source2": picture(3), "source.2": picture(2), "source": picture(1), "driver": picture(9)}
    people = Setting(sources=bound).people()
    assert [person["value"].tolist() for person in people] == [[1, 2], [3]]
    assert Setting(sources=bound).people("driver")[0]["value"].tolist() == [9]
