import numpy as np
import pytest

from vidswap.metrics.flow import dense_flow, occluded, warping_error
from vidswap.metrics.identity import IdentityOverTime, cosine, temporal_identity
from vidswap.metrics.installed import ARCFACE_POINTS, RECOGNISERS, aligning, find
from vidswap.metrics.landmarks import angles_apart, interocular, normalised_mean_error
from vidswap.metrics.light import mean_luma


def test_interocular_distance_counts_depth():
    points = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    assert interocular(points, 0, 1) == 5.0
    assert interocular(points[:, :2], 0, 1) == 3.0


def test_nme_is_the_mean_distance_in_the_image_over_the_size():
    a = np.zeros((4, 3), np.float32)
    b = a + np.array([3.0, 4.0, 100.0], np.float32)
    assert normalised_mean_error(a, b, 50.0) == pytest.approx(0.1)


def test_angles_are_apart_the_short_way_round():
    assert angles_apart(np.array([170.0, 10.0, 0.0]), np.array([-170.0, -10.0, 0.0])).tolist() == [20.0, 20.0, 0.0]


def test_mean_luma_weighs_green_most():
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0] = (0, 255, 0)
    where = np.array([[True, True], [False, False]])
    assert mean_luma(rgb, where) == pytest.approx(0.587 * 255 / 2)
    assert mean_luma(rgb, np.zeros((2, 2), bool)) is None


def test_a_shift_is_seen_as_flow_and_leaves_no_warping_error():
    rng = np.random.default_rng(4)
    import cv2

    wide = cv2.GaussianBlur(rng.integers(0, 256, (80, 90), np.uint8), (0, 0), 2)
    first, second = wide[:, :80], wide[:, 3:83]
    forward, backward = dense_flow(first, second), dense_flow(second, first)
    assert np.median(forward[..., 0]) == pytest.approx(-3, abs=0.2)
    hidden = occluded(forward, backward)
    assert hidden.mean() < 0.5
    still = np.zeros_like(forward)
    plain = warping_error(first / 255, second / 255, still, hidden)
    assert warping_error(first / 255, second / 255, forward, hidden) < 0.1 * plain
    assert warping_error(first, second, forward, np.ones_like(hidden)) is None


def test_identity_over_all_pairs_is_that_of_the_plain_sum():
    clip = np.random.default_rng(6).normal(size=(7, 16))
    over_time = IdentityOverTime()
    for embedding in clip:
        over_time.add(embedding)
    pairs = [cosine(clip[i], clip[j]) for i in range(7) for j in range(i)]
    near = [cosine(clip[i], clip[i - 1]) for i in range(1, 7)]
    assert over_time.overall == pytest.approx(np.mean(pairs))
    assert over_time.local == pytest.approx(np.mean(near))
    with pytest.raises(ValueError, match="two frames or more were expected, got 1"):
        temporal_identity(clip[:1], clip[:1])


def test_five_points_are_aligned_where_recognisers_expect_them():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]]) * 3
    matrix = aligning(ARCFACE_POINTS @ turn.T + np.array([40.0, -7.0]))
    back = (ARCFACE_POINTS @ turn.T + np.array([40.0, -7.0])) @ matrix[:, :2].T + matrix[:, 2]
    assert back == pytest.approx(ARCFACE_POINTS)


def test_a_recogniser_that_is_not_installed_is_told_to_be_missing():
    found, told = find(RECOGNISERS + ".of.nobody")
    assert found is None
    assert told == "no weights installed: no package offers an entry point vidswap.recognisers.of.nobody"
