import cv2
import numpy as np
import pytest

from vidswap.faces import complexion

LUMA = np.array([0.299, 0.587, 0.114])
PLAIN = np.full((96, 96, 3), (180, 150, 130), np.float32)
EVERYWHERE = np.ones((96, 96), np.float32)
SKIN = EVERYWHERE * (np.abs(np.indices((96, 96))[0] - 45) < 25)


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


def with_lips(image):
    """The image with a red patch and a dark one beside what is `SKIN`, which make it one of several tones."""
    row, column = np.indices((96, 96))[..., None]
    image = np.where(row > 80, np.float32((170, 90, 90)), image)
    return np.where((row < 10) & (column < 50), np.float32((60, 70, 80)), image).astype(np.float32)


@pytest.mark.parametrize("parts", [(1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (0.5, 0.4)])
def test_blotches_are_no_stronger_than_those_of_the_skin_they_come_to(parts):
    mixing = complexion.mixing(with_lips(blotchy(4 * parts[0], 5 * parts[1])), blotchy(4, 5), SKIN)
    assert np.allclose(shares(mixing), parts, atol=0.06)


def test_even_skin_is_left_alone():
    grey = np.repeat((blotchy(4, 5) @ LUMA)[..., None], 3, 2)
    colourful = with_lips(grey + 1.1 * (blotchy(4, 5) - grey))
    assert np.array_equal(complexion.mixing(colourful, blotchy(3, 2), SKIN), np.eye(3))
    assert np.array_equal(complexion.mixing(with_lips(PLAIN), PLAIN, SKIN), np.eye(3))


def test_something_of_the_colours_always_stays():
    mixing = complexion.mixing(with_lips(PLAIN), blotchy(8, 8), SKIN)
    assert np.allclose(shares(mixing), (0.3, 0.2), atol=0.03)


@pytest.mark.parametrize("tint", [(1, 1, 1), (1.1, 1.0, 0.8)])
def test_footage_of_one_tone_gets_a_face_of_one_tone(tint):
    grey = np.repeat((blotchy(4, 4) @ LUMA)[..., None], 3, 2).astype(np.float32)
    mixing = complexion.mixing(grey * np.float32(tint), blotchy(4, 4), EVERYWHERE)
    assert np.abs(shares(mixing)).max() < 0.01


def test_footage_of_half_the_colour_gets_a_face_of_half_the_colour():
    grey = np.repeat((PLAIN @ LUMA)[..., None], 3, 2).astype(np.float32)
    half = grey + (blotchy(4, 4) - grey) / 2
    assert np.allclose(shares(complexion.mixing(with_lips(half), blotchy(4, 4), SKIN)), 0.5, atol=0.03)


def test_luma_and_grey_stay():
    mixing = complexion.mixing(PLAIN, blotchy(8, 8), EVERYWHERE)
    assert np.allclose(mixing @ np.ones(3), 1, atol=1e-5)
    assert np.allclose(LUMA @ mixing, LUMA, atol=1e-5)


def test_a_face_of_which_nothing_is_seen_has_a_mixing():
    assert np.isfinite(complexion.mixing(PLAIN, PLAIN, np.zeros((96, 96), np.float32))).all()
