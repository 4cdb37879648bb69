"""Colour: tags and what is guessed without them, and the way from code values to RGB and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.colour import HD_COLOUR, LUMA_WEIGHTS, Colour, codes_from_rgb, rgb_from_codes

matrices = st.sampled_from(sorted(LUMA_WEIGHTS))
depths = st.sampled_from([8, 10, 12])
channel = st.floats(0, 255)


@given(matrices, st.booleans(), depths, st.tuples(channel, channel, channel))
def test_codes_lead_back_to_the_colour(matrix, full, bits, rgb):
    codes = codes_from_rgb(matrix, full, bits) @ [*rgb, 1]
    np.testing.assert_allclose(rgb_from_codes(matrix, full, bits) @ [*codes, 1], rgb, atol=1e-6)
    step = 2 ** (bits - 8)
    low, high = (0, 2**bits - 1) if full else (16 * step, 235 * step)
    assert low - 1e-6 <= codes[0] <= high + 1e-6


@given(matrices, st.booleans(), depths, channel)
def test_grey_has_no_chroma(matrix, full, bits, level):
    _, *chroma = codes_from_rgb(matrix, full, bits) @ [level, level, level, 1]
    np.testing.assert_allclose(chroma, 2 ** (bits - 1))


def test_black_white_and_red_are_those_of_the_standards():
    limited, full = codes_from_rgb(1, False, 8), codes_from_rgb(5, True, 8)
    np.testing.assert_allclose(limited @ [0, 0, 0, 1], [16, 128, 128])
    np.testing.assert_allclose(limited @ [255, 255, 255, 1], [235, 128, 128])
    # BT.709 and JFIF, as FFmpeg writes them.
    np.testing.assert_allclose(limited @ [255, 0, 0, 1], [62.56, 102.34, 240], atol=0.01)
    np.testing.assert_allclose(full @ [255, 0, 0, 1], [76.24, 84.97, 255.5], atol=0.01)


@pytest.mark.parametrize(
    ("colour", "size", "matrix"),
    [
        (Colour(), (1280, 540), 1),
        (Colour(), (720, 577), 1),
        (Colour(), (1279, 576), 6),
        (Colour(matrix=9), (640, 360), 9),
        # A matrix that is none, of RGB, is guessed like an untagged one.
        (Colour(matrix=0), (640, 360), 6),
    ],
)
def test_the_matrix_is_the_tagged_one_or_what_players_guess(colour, size, matrix):
    assert colour.matrix_in_use(*size) == matrix


def test_chroma_stands_where_the_tag_says_and_left_without_one():
    assert Colour().chroma_offset() == Colour(chroma_location="left").chroma_offset() == (-0.5, 0.0)
    assert Colour(chroma_location="center").chroma_offset() == (0, 0)
    assert Colour(chroma_location="topleft").chroma_offset() == (-0.5, -0.5)
    assert Colour(chroma_location="bottom").chroma_offset() == (0, 0.5)


def test_tags_are_told_in_ffmpegs_words():
    assert HD_COLOUR.names() == {
        "range": "limited",
        "primaries": "bt709",
        "transfer": "bt709",
        "matrix": "bt709",
        "chroma_location": "left",
    }
    assert Colour(transfer=99).names()["transfer"] == "99"
