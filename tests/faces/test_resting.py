"""How a face is at rest: what lasts is the person's, what passes is not, and turned heads say little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.faces import pose, resting, shape, topology


def face(seed: int = 1, size: float = 60.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mean = topology.canonical().astype(np.float64)
    return mean * (1 + generator.normal(0, 0.05, 3)) * size + (200, 150, 0)


def moved(points: np.ndarray, region: str, by: float, size: float = 60.0) -> np.ndarray:
    """The face, moved along the first direction of a region."""
    _, write = shape.motion()[shape.REGIONS.index(region)]
    return points + by * size * write[0].reshape(-1, 3)


def rests(frames: np.ndarray, landmarks: np.ndarray, reach: int) -> np.ndarray:
    return resting.at_rest(frames, np.array([resting.reading(points) for points in landmarks]), reach)


def test_a_reading_does_not_depend_on_where_how_large_and_how_tilted_a_face_is():
    points = face()
    there = 2.5 * points @ pose.rotation_of(0, 0, 25).T + (90, -40, 7)
    assert np.allclose(resting.reading(there), resting.reading(points), atol=1e-6)


def test_the_mean_face_reads_as_nothing_and_is_believed():
    told = resting.reading(topology.canonical() * 50.0)
    assert np.abs(told[:-1]).max() < 0.05 and told[-1] == 1


def test_a_blink_is_no_trait_and_brows_held_high_are():
    calm = face()
    frames = np.arange(200)
    still = np.repeat(calm[None], 200, axis=0)
    blinks = still.copy()
    blinks[98:102] = moved(calm, "eyes", 0.3)
    raised = np.repeat(moved(calm, "brows", 0.3)[None], 200, axis=0)
    none, some, all_ = (rests(frames, f, 60)[100] for f in (still, blinks, raised))
    lasting = np.linalg.norm((all_ - none)[:-1])
    assert np.linalg.norm((some - none)[:-1]) < 0.15 * np.linalg.norm(resting.reading(blinks[100]) - none)
    assert lasting == pytest.approx(np.linalg.norm(resting.reading(raised[0]) - resting.reading(calm)), rel=1e-3)


def test_heads_turned_away_say_nothing_and_leave_the_word_to_others():
    frames = np.arange(60)
    front, away = face(1), face(2) @ pose.rotation_of(60, 0, 0).T
    told = rests(frames, np.repeat(away[None], 60, axis=0), 30)
    assert not told.any()
    mixed = np.stack([front if i % 2 else away for i in frames])
    told = rests(frames, mixed, 30)
    assert np.allclose(told[:, :-1], resting.reading(front)[:-1], atol=1e-5) and (told[:, -1] > 0.4).all()


def test_a_single_picture_says_hardly_anything_and_a_whole_window_all():
    still = np.repeat(face()[None], 193, axis=0)
    assert rests(np.arange(1), still[:1], 96)[0, -1] < 0.1
    told = rests(np.arange(193), still, 96)[:, -1]
    assert told[96] == 1 and 0.7 < told[0] < 0.95 and (np.diff(told[:97]) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 79), max_size=6), reach=st.integers(1, 30), seed=st.integers(0, 99))
def test_pieces_with_their_neighbours_give_the_same_bits(cuts, reach, seed):
    generator = np.random.default_rng(seed)
    frames = np.flatnonzero(generator.random(80) > 0.2)
    landmarks = face() + generator.normal(0, 1, (len(frames), 478, 3))
    whole = rests(frames, landmarks, reach)
    edges = sorted({0, 80, *cuts})
    for start, stop in zip(edges, edges[1:], strict=False):
        near = (frames >= start - reach) & (frames < stop + reach)
        piece = rests(frames[near], landmarks[near], reach)
        own = (frames[near] >= start) & (frames[near] < stop)
        assert np.array_equal(piece[own], whole[(frames >= start) & (frames < stop)])
