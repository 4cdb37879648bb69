"""Walks through codes: by every key, smooth, closed where asked for."""

import pytest
import torch

from vidswap.latents import walks

KEYS = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))


def test_the_frames_of_a_loop_can_be_repeated_and_those_of_an_open_way_end_at_its_end():
    assert walks.times(8, 4, loop=True).tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert walks.times(7, 4, loop=False).tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert walks.times(1, 4, loop=False).tolist() == [0]


@pytest.mark.parametrize("way", [walks.spline, walks.great_circles])
@pytest.mark.parametrize("loop", [True, False])
def test_a_way_goes_by_every_key_without_a_jump(way, loop):
    places = walks.times(501, 5, loop=loop) if loop else walks.times(401, 5, loop=False)
    codes = way(KEYS, places, loop=loop)
    for number, key in enumerate(KEYS):
        nearest = int((places - number).abs().argmin())
        assert (codes[nearest] - key).abs().max() < 0.05
    steps = codes.diff(dim=0).norm(dim=1)
    assert steps.max() < 0.1
    if loop:
        assert (codes[0] - codes[-1]).norm() < 0.1


def test_a_spline_has_no_kink_at_a_key_and_reproduces_straight_lines():
    def speed(at, aside):
        near = torch.tensor([at, at + aside], dtype=torch.float64)
        ends = walks.spline(KEYS.double(), near, loop=True)
        return (ends[1] - ends[0]) / aside

    for number in (1, 2, 4):
        assert (speed(number, 1e-5) - speed(number, -1e-5)).abs().max() < 1e-3
    line = torch.arange(4, dtype=torch.float64)[:, None] * torch.ones(1, 3)
    places = walks.times(31, 4, loop=False)
    assert (walks.spline(line, places, loop=False) - places[:, None]).abs().max() < 1e-9


def test_great_circles_keep_the_length_of_codes():
    same = KEYS / KEYS.norm(dim=1, keepdim=True) * 3
    codes = walks.great_circles(same, walks.times(50, 5, loop=True), loop=True)
    assert (codes.norm(dim=1) - 3).abs().max() < 1e-4
    twice = walks.great_circles(same[[0, 0]], walks.times(5, 2, loop=False), loop=False)
    assert (twice - same[0]).abs().max() < 1e-5
