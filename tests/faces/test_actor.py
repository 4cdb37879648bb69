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
