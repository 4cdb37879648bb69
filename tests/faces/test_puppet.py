"""The puppet: a smooth field without folds, still at the border; lids and jaw move only what they should."""

import cv2
import numpy as np
import pytest

from vidswap.demo import portrait
from vidswap.demo.clip import _landmarks, _read
from vidswap.faces.puppet import _GRID, LARGEST_ANGLES, Pose, Puppet
from vidswap.graph.errors import InputError


@pytest.fixture(scope="module", params=["astronaut", "grace_hopper"])
def puppet(request):
    image = _read(portrait(request.param))
    return Puppet(image, _landmarks(portrait(request.param), image))


def test_at_rest_nothing_moves(puppet):
    image, field = puppet.posed(Pose())
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    assert image is puppet.image
    np.testing.assert_allclose(field, np.stack([x, y], -1), atol=1e-4)


@pytest.mark.parametrize("yaw", [-1, 0, 1])
@pytest.mark.parametrize("pitch", [-1, 1])
@pytest.mark.parametrize("roll", [-1, 1])
def test_the_field_does_not_fold_within_the_largest_angles(puppet, yaw, pitch, roll):
    angles = np.array(LARGEST_ANGLES) * (yaw, pitch, roll)
    forward = puppet._relief.forward(Pose(*angles, sway=(0.1 * yaw, 0.05 * pitch)), puppet.unit)
    (xy, yy), (xx, yx) = (np.moveaxis(g, -1, 0) for g in np.gradient(forward, _GRID, axis=(0, 1)))
    assert ((1 + xx) * (1 + yy) - xy * yx).min() > 0.02


def test_the_border_of_the_picture_stays_where_it_is(puppet):
    field = puppet.field(Pose(yaw=20, pitch=5, roll=5, sway=(0.1, 0.05)))
    height, width = field.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    still = np.stack([x, y], -1)
    for edge in (np.s_[0], np.s_[-3:], np.s_[:, 0], np.s_[:, -3:]):
        np.testing.assert_allclose(field[edge], still[edge], atol=0.1)


def test_the_nose_goes_where_the_turn_takes_it(puppet):
    nose = np.rint(puppet.to_pixels(puppet.own[1])).astype(int)
    ears = puppet.to_pixels(puppet.own[[234, 454]])
    spot = np.zeros(puppet.image.shape[:2], np.float32)
    cv2.circle(spot, tuple(int(v) for v in nose), 2, 1.0, -1)
    moved = cv2.remap(spot, puppet.field(Pose(yaw=15)), None, cv2.INTER_LINEAR)
    x = np.arange(spot.shape[1])
    went = (moved * x).sum() / moved.sum() - nose[0]
    # The tip of the nose lies about half a face's width before the ears.
    assert went == pytest.approx(np.sin(np.radians(15)) * 0.5 * abs(ears[1, 0] - ears[0, 0]), rel=0.5)


def test_a_blink_changes_nothing_below_the_eyes(puppet):
    changed = (puppet.expression(Pose(blink=1.0)) != puppet.image).any(-1)
    rows = np.flatnonzero(changed.any(1))
    eyes = puppet.to_pixels(puppet.own[[33, 263, 145, 374, 159, 386]])[:, 1]
    assert changed.sum() > 20
    assert rows.min() > eyes.min() - 0.5 * puppet.unit
    assert rows.max() < eyes.max() + 0.15 * puppet.unit


def test_an_open_mouth_leaves_the_upper_lip_and_is_dark_inside(puppet):
    opened = puppet.expression(Pose(jaw=0.3))
    upper, lower = (np.rint(puppet.to_pixels(puppet.own[i])).astype(int) for i in (0, 14))
    np.testing.assert_array_equal(opened[: upper[1]], puppet.image[: upper[1]])
    inside = opened[int(lower[1] + 0.2 * puppet.unit), lower[0]]
    assert inside.mean() < 100
    assert inside[0] > inside[2]


def test_a_tiny_face_is_refused():
    points = np.random.default_rng(0).random((478, 3)) * 4
    with pytest.raises(InputError, match="too small"):
        Puppet(np.zeros((16, 16, 3), np.uint8), points)
