"""Sampling of planes: what is written by hand for speed is held against OpenCV's own warp."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.media.resample import sample

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def plane(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """(rows, columns) uint8: noise, smooth as a picture where it is large; nothing rings beyond what a byte holds."""
    noise = np.random.default_rng(seed).integers(60, 196, (rows, columns), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5) if min(rows, columns) > 8 else noise


def warped(given: np.ndarray, affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(given, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("scale", [0.4, 0.66, 1.0, 1.2])
def test_cubic_sampling_is_opencvs_to_within_a_level_or_two(scale):
    turn = np.array([[np.cos(0.05), -np.sin(0.05), 20.3], [np.sin(0.05), np.cos(0.05), 3.1]])
    affine = turn * np.array([scale, scale, 1.0])
    sampled = sample(plane(300, 400), affine, (200, 180), interpolation=cv2.INTER_CUBIC)
    difference = np.abs(sampled.astype(int) - warped(plane(300, 400), affine, (200, 180)))
    assert difference.max() <= 3
    assert difference.mean() < 0.5


@given(st.integers(1, 40), st.integers(1, 40), st.integers(-5, 5), st.integers(-5, 5))
def test_what_lies_on_samples_stays_as_it_is(rows, columns, right, down):
    given = plane(rows, columns, seed=7)
    shift = IDENTITY + np.array([[0.0, 0.0, right], [0.0, 0.0, down]])
    sampled = sample(given, shift, (columns, rows), interpolation=cv2.INTER_CUBIC)
    edge = np.pad(given, 5, mode="edge")
    assert np.array_equal(sampled, edge[5 + down : 5 + down + rows, 5 + right : 5 + right + columns])


@given(st.integers(1, 6), st.integers(1, 6))
def test_edges_go_on_in_planes_of_few_samples(rows, columns):
    given, half = plane(rows, columns, seed=3), IDENTITY * 0.5
    sampled = sample(given, half, (2 * columns, 2 * rows), interpolation=cv2.INTER_CUBIC)
    assert np.abs(sampled.astype(int) - warped(given, half, (2 * columns, 2 * rows))).max() <= 2


def test_a_step_rings_as_cubic_filters_do_and_stays_within_bytes():
    given = np.repeat(np.array([[0] * 6 + [255] * 6], np.uint8), 12, axis=0)
    sampled = sample(given, IDENTITY * 0.5, (24, 24), interpolation=cv2.INTER_CUBIC)
    assert sampled.min() == 0
    assert sampled.max() == 255
    assert sampled[12, 11] == 128
