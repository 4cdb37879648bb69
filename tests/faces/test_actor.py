"""What of a portrait an actor shows."""

from __future__ import annotations

import numpy as np

from vidswap.faces import actor, texture


def test_of_a_portrait_with_a_mask_nose_and_mouth_are_not_known_and_of_another_they_are():
    size = 256
    mouth, forehead = (tuple(np.rint(texture.atlas_points(size)[i]).astype(int)[::-1]) for i in (13, 151))
    alpha = np.ones((size, size), np.float32)
    assert actor.known(alpha).min() == 1
    # Bared teeth hide the corners of a mouth.
    alpha[mouth[0] - 8 : mouth[0] + 8, mouth[1] - 30 : mouth[1] + 30] = 0
    assert actor.known(alpha)[mouth] > 0.9
    alpha[size // 2 :] = 0
    assert actor.known(alpha)[mouth] == 0
    assert actor.known(alpha)[forehead] == 1


def test_a_face_that_is_white_is_told_from_a_pale_one():
    pale, alpha = np.full((128, 128, 3), (250, 235, 225), np.uint8), np.ones((128, 128), np.float32)
    half = np.where(np.arange(128)[:, None, None] < 64, np.uint8(255), pale)
    assert actor.share_white(pale, alpha) == 0
    assert 0.2 < actor.share_white(half, alpha) < 0.8
    assert actor.share_white(half, alpha * (np.arange(128) >= 64)[:, None]) == 0
