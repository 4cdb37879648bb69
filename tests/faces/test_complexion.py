import cv2
import numpy as np
import pytest

from vidswap.faces import complexion

LUMA = np.array([0.299, 0.587, 0.114])
PLAIN = np.full((96, 96, 3), (180, 150, 130), np.float32)
EVERYWHERE = np.ones((96, 96), np.float32)


def unit(colour):
    """A direction of colours, freed of what it has of luma."""
    flat = np.array(colour, float) - np.array(colour, float) @ LUMA
    return flat / np.linalg.norm(flat)


HUE = unit((180, 150, 130))
BESIDE = np.cross(LUMA / np.linalg.norm(LUMA), HUE)


def blotchy(along, across):
    """Skin with blotches that go so many levels along its hue, and across it."""
    random = np.random.default_rng(3)
    fields = [cv2.GaussianBlur(random.normal(0, 1, (96, 96)).astype(np.float32), (0, 0), 4) for _ in range(2)]
    one, other = (field / field.std() for field in fields)
    return (PLAIN + one[..., None] * along * HUE + other[..., None] * across * BESIDE).astype(np.float32)


def shares(mixing):
    """How far a mixing keeps what lies along the hue of skin, and across."""
    return HUE @ mixing @ HUE, BESIDE @ mixing @ BESIDE


@pytest.mark.parametrize("parts", [(1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (0.5, 0.4)])
def test_blotches_are_no_stronger_than_those_of_the_skin_they_come_to(parts):
    mixing = complexion.mixing(blotchy(4 * parts[0], 5 * parts[1]), blotchy(4, 5), EVERYWHERE)
    assert np.allclose(shares(mixing), parts, atol=0.06)


def test_even_skin_is_left_alone():
    assert np.array_equal(complexion.mixing(blotchy(4, 5), blotchy(3, 2), EVERYWHERE), np.eye(3))
    assert np.array_equal(complexion.mixing(PLAIN, PLAIN, EVERYWHERE), np.eye(3))


def test_something_of_the_colours_always_stays():
    assert np.allclose(shares(complexion.mixing(PLAIN, blotchy(8, 8), EVERYWHERE)), (0.3, 0.2), atol=0.03)


def test_footage_without_colour_gets_a_face_of_little_colour():
    grey = np.repeat((PLAIN @ LUMA)[..., None], 3, 2).astype(np.float32)
    assert np.allclose(shares(complexion.mixing(grey, blotchy(4, 4), EVERYWHERE)), (0.3, 0.2), atol=0.03)
    half = grey + (blotchy(4, 4) - grey) / 2
    along, across = shares(complexion.mixing(half, blotchy(4, 4), EVERYWHERE))
    assert abs(along - 0.5) < 0.03 and abs(across - 0.5) < 0.03


def test_luma_and_grey_stay():
    mixing = complexion.mixing(PLAIN, blotchy(8, 8), EVERYWHERE)
    assert np.allclose(mixing @ np.ones(3), 1, atol=1e-5)
    assert np.allclose(LUMA @ mixing, LUMA, atol=1e-5)


def test_a_face_of_which_nothing_is_seen_has_a_mixing():
    assert np.isfinite(complexion.mixing(PLAIN, PLAIN, np.zeros((96, 96), np.float32))).all()
