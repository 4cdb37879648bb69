import numpy as np
import pytest

from vidswap.metrics.frames import FrameComparison, filled


def planes(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(60, 180, shape, np.uint8) for shape in ((120, 160), (60, 80), (60, 80))]


def ring(x, y, radius=15):
    angle = np.linspace(0, 2 * np.pi, 30)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def test_equal_frames_differ_nowhere():
    found = FrameComparison(planes(), planes(), [ring(60, 60)], 8)
    assert (found.noise, found.seams, found.changes) == (0.0, [None], [0.0])
    assert (found.background_error, found.background_samples) == (0.0, 120 * 160 + 2 * 60 * 80)


def test_a_lossless_change_of_one_face_leaves_the_background_exact():
    target, result = planes(), planes()
    inside = filled(ring(60, 60, 18), (120, 160))
    result[0][inside] += 20
    result[1][inside[::2, ::2]] += 9
    found = FrameComparison(target, result, [ring(60, 60), ring(120, 60)], 8)
    assert found.changes == [20.0, 0.0]
    assert found.seams[0] == pytest.approx(20, abs=1) and found.seams[1] is None
    assert found.background_error == 0.0
    assert 120 * 160 * 1.5 * 0.8 < found.background_samples < 120 * 160 * 1.5


def test_a_change_elsewhere_counts_as_error_of_the_background():
    target, result = planes(), planes()
    result[0][5, 5] += 3
    result[2][55, 70] += 4
    found = FrameComparison(target, result, [ring(60, 60)], 8)
    assert found.background_error == 9.0 + 16.0


def test_without_a_face_all_is_background():
    target, result = planes(), planes()
    result[0] += 2
    found = FrameComparison(target, result, [], 8)
    assert (found.noise, found.seams) == (2.0, [])
    assert found.background_error == 4.0 * 120 * 160


def test_a_face_beyond_the_edge_and_one_that_fills_the_frame_are_borne():
    target, result = planes(), planes(1)
    for face in (ring(0, 0, 10), ring(159, 119, 30), ring(80, 60, 300)):
        found = FrameComparison(target, result, [face], 8)
        assert np.isfinite(found.changes[0]) and found.background_error >= 0
