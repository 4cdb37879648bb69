import cv2
import numpy as np
import pytest

from vidswap.metrics import seam


@pytest.fixture
def target():
    return np.full((160, 200), 100, np.uint8)


@pytest.fixture
def face():
    mask = np.zeros((160, 200), np.uint8)
    cv2.circle(mask, (100, 80), 30, 1, -1)
    return mask > 0


def pasted(target, change, feather):
    """A disc of radius 40, `change` grey levels lighter, that fades out over `feather` pixels."""
    y, x = np.mgrid[: target.shape[0], : target.shape[1]]
    inside = np.clip((40 - np.hypot(x - 100, y - 80)) / feather, 0, 1)
    return np.round(target + change * inside).astype(np.uint8)


def test_a_hard_edge_shows_all_that_it_changes(target, face):
    apart = seam.difference(target, pasted(target, 30, 1e-3))
    region = seam.changed_region(apart, face, 0.0)
    assert region.sum() == pytest.approx(np.pi * 40**2, rel=0.02)
    assert seam.seam(apart, region, 3) == pytest.approx(30)


def test_a_soft_edge_shows_little(target, face):
    apart = seam.difference(target, pasted(target, 30, 20))
    region = seam.changed_region(apart, face, 0.0)
    assert 0 < seam.seam(apart, region, 3) < 5


def test_nothing_changed_has_no_seam(target, face):
    apart = seam.difference(target, target)
    region = seam.changed_region(apart, face, 0.0)
    assert not region.any() and seam.seam(apart, region, 3) is None


def test_what_is_changed_away_from_the_face_is_no_part_of_the_region(target, face):
    result = pasted(target, 30, 5)
    result[:10, :10] = 0
    region = seam.changed_region(seam.difference(target, result), face, 0.0)
    assert region[80, 100] and not region[:20, :20].any()


def test_coding_noise_is_told_from_change(target, face):
    noise = np.random.default_rng(0).integers(-3, 4, target.shape)
    result = np.clip(pasted(target, 30, 1e-3) + noise, 0, 255).astype(np.uint8)
    apart = seam.difference(target, result)
    outside = np.hypot(*(np.mgrid[:160, :200] - np.array([[[80]], [[100]]]))) > 60
    region = seam.changed_region(apart, face, seam.visible(apart, outside))
    assert region.sum() == pytest.approx(np.pi * 40**2, rel=0.1)
    assert seam.visible(np.zeros((9, 9), np.float32), np.ones((9, 9), bool)) == 1.5


def test_the_edge_of_the_picture_is_no_border(target):
    region = np.zeros(target.shape, bool)
    region[:, :50] = True
    band = seam.border_band(region, 2)
    assert band[:, 48:50].all() and band.sum() == 2 * 160


def test_differences_are_told_in_grey_levels_of_255_at_any_depth():
    apart = seam.difference(np.array([[1023]], np.uint16), np.array([[0]], np.uint16), bits=10)
    assert apart[0, 0] == pytest.approx(255.0)
