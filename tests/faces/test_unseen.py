import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import texture, topology, transfer, unseen
from vidswap.faces.actor import Actor
from vidswap.faces.pose import rotation_of
from vidswap.faces.transfer import Target

NOSTRIL = (239, 20, 459, 250)


def turned(pitch: float, yaw: float = 0.0) -> np.ndarray:
    return topology.canonical().astype(np.float64) @ rotation_of(yaw, pitch, 0.0).T


def test_a_portrait_that_looks_up_shows_more_of_the_nose_than_one_that_looks_down():
    down, up = (unseen.unseen(turned(pitch)[None]) for pitch in (-20.0, 25.0))
    assert up.sum() < 0.8 * down.sum() and up[94] < down[94] == 1
    assert 0 <= down.min() and down.max() == 1


def test_what_one_of_several_portraits_shows_is_seen():
    one, other = turned(-20.0)[None], turned(25.0)[None]
    both = unseen.unseen(np.concatenate([one, other]))
    np.testing.assert_array_equal(both, np.minimum(unseen.unseen(one), unseen.unseen(other)))


def test_what_one_half_shows_is_seen_of_the_other():
    weights = unseen.unseen(turned(-10.0, yaw=35.0)[None])
    np.testing.assert_array_equal(weights, weights[topology.mirror()])


def test_nothing_but_the_nose_below_and_beside_is_borrowed_and_nostrils_always():
    weights = unseen.unseen(turned(25.0)[None])
    assert set(np.flatnonzero(weights)) <= {*unseen.UNDERSIDE, *unseen.WINGS}
    assert (weights[list(unseen.NOSTRILS)] == 1).all()
    assert weights[topology.NOSE_TIP] < 0.6


def test_lips_are_borrowed_where_teeth_were_bared_and_nowhere_else():
    alpha = np.ones((256, 256), np.float32)
    assert not unseen.unseen_lips(alpha).any()
    places = texture.atlas_points(256)
    opening = np.rint(places[list(topology.LIPS_INNER)] * 16).astype(np.int32)
    cv2.polylines(alpha, [opening], True, 0.0, 7, shift=4)
    weights = unseen.unseen_lips(alpha)
    assert (weights[list(topology.LIPS_INNER)] > 0.9).all()
    assert not weights[[topology.NOSE_TIP, topology.CHIN, 0, 17, 205, 425]].any()
    assert not unseen.unseen_lips(np.where(np.arange(256)[:, None] < 100, 0, np.ones_like(alpha))).any()


def test_brows_and_lids_are_borrowed_where_they_were_hidden_and_nowhere_else():
    alpha = np.ones((256, 256), np.float32)
    assert unseen.unseen_eyes(alpha).max() == 0
    places = texture.atlas_points(256)
    top, bottom = places[list(topology.BROWS), 1].min(), places[list(topology.EYES), 1].max()
    alpha[int(top) - 12 : int(bottom) + 12] = 0
    weights = unseen.unseen_eyes(alpha)
    assert weights[[*topology.BROWS, *topology.EYES]].min() > 0.99
    assert weights[[*topology.LIPS_OUTER, topology.NOSE_TIP, topology.CHIN, 205, 425]].max() == 0


def over_glasses(size: int = 256) -> np.ndarray:
    """(T, T) float32: skin was grown from the brows down to the cheeks."""
    places = texture.atlas_points(size)
    grown = np.zeros((size, size), np.float32)
    grown[int(places[list(topology.BROWS), 1].min()) : int(places[list(topology.EYES), 1].max()) + 20] = 1
    return grown


def test_lids_are_borrowed_where_glasses_hid_them_but_not_lashes_and_brows():
    assert not unseen.grown_around_eyes(np.zeros((256, 256), np.float32)).any()
    weights = unseen.grown_around_eyes(over_glasses())
    lids, beside = [27, 257, 28, 258], [193, 417]
    assert weights[lids].min() > 0.9 and weights[beside].min() > 0.5
    kept = [
        *topology.EYES,
        *topology.BROWS,
        *topology.IRISES,
        *topology.LIPS_OUTER,
        topology.NOSE_TIP,
        topology.FOREHEAD,
    ]
    assert not weights[kept].any()


@pytest.fixture(scope="module")
def target(grace_hopper, face_model):
    return face_row(grace_hopper, face_model, size=320)


def looking_up(row, pitch=20.0):
    """Landmarks of the crop as if the face were raised by so many degrees."""
    points = in_crop(row)
    middle = points.mean(0)
    return (points - middle) @ rotation_of(0.0, pitch, 0.0).T + middle


def performed(row, crop, hidden, points, colour=(150, 110, 90)):
    atlas = np.full((256, 256, 3), colour, np.uint8)
    actor = Actor(atlas, np.ones((256, 256), np.float32), hidden=hidden)
    return transfer.perform(actor, Target(crop, points, row["regions"][0], row["person"][0]), points)[0]


def marked(row, points):
    """The crop, blurred, with dark nostrils, and (S, S) bool, the underside of the nose."""
    crop = cv2.GaussianBlur(row["crop"][0], (0, 0), 6)
    for x, y in points[list(NOSTRIL), :2]:
        cv2.circle(crop, (round(float(x)), round(float(y))), 4, (25, 12, 10), -1)
    below = np.zeros(crop.shape[:2], np.uint8)
    hull = cv2.convexHull(points[[*unseen.UNDERSIDE, *unseen.WINGS], :2].astype(np.float32))
    cv2.fillPoly(below, [np.rint(hull).astype(np.int32)], 1)
    return crop, below


def test_nostrils_of_the_target_are_dark_on_a_portrait_that_has_none(target):
    points = looking_up(target)
    crop, below = marked(target, points)
    with_them = performed(target, crop, unseen.unseen(turned(-15.0)[None]), points).max(2)[below > 0]
    without = performed(target, crop, None, points).max(2)[below > 0]
    assert (without > 90).all() and (with_them < 70).sum() > 20


def test_beside_the_nose_nothing_changes_and_what_is_borrowed_has_the_colours_around(target):
    points = looking_up(target)
    crop, below = marked(target, points)
    crop = cv2.GaussianBlur(crop, (0, 0), 12)
    changed, plain = (performed(target, crop, hidden, points) for hidden in (unseen.unseen(turned(-15.0)[None]), None))
    away = cv2.dilate(below, np.ones((25, 25), np.uint8)) == 0
    np.testing.assert_array_equal(changed[away], plain[away])
    apart = np.abs(changed.astype(int) - plain)[below > 0]
    assert 0 < apart.mean() < 12


def test_of_a_target_that_hides_its_nostrils_none_are_taken(target):
    facing = [unseen.nostrils_facing(turned(pitch)) for pitch in np.arange(-30.0, 31.0, 2.0)]
    assert facing[0] < 0.1 and facing[-1] > 0.4 and (np.diff(facing) > 0).all()
    points = looking_up(target, -15.0)
    crop, _ = marked(target, points)
    hidden = unseen.unseen(turned(-15.0)[None])
    assert hidden[list(NOSTRIL)].all()
    np.testing.assert_array_equal(*(performed(target, crop, h, points) for h in (hidden, None)))


def test_a_face_that_lies_beyond_the_crop_is_left_alone(target):
    points = looking_up(target)
    crop, _ = marked(target, points)
    before = crop.copy()
    points = points + (0, 250, 0)
    actor = Actor(
        np.full((128, 128, 3), 128, np.uint8), np.ones((128, 128), np.float32), hidden=unseen.unseen(turned(0.0)[None])
    )
    image, alpha = transfer.perform(actor, Target(crop, points, target["regions"][0], target["person"][0]), points)
    assert image.shape == before.shape and alpha.max() <= 1


def test_a_target_with_glasses_lends_no_lids(target):
    points, crop = in_crop(target), target["crop"][0]
    atlas, alpha = np.full((256, 256, 3), (150, 110, 90), np.uint8), np.ones((256, 256), np.float32)
    none = np.zeros(topology.POINTS)
    grown = unseen.grown_around_eyes(over_glasses())
    own = Target(crop, points, target["regions"][0], target["person"][0])
    plain, lent, worn = (
        transfer.perform(Actor(atlas, alpha, hidden=none, grown=g), own, points, transfer.Told(worn=w))[0]
        for g, w in ((None, 0.0), (grown, 0.0), (grown, 1.0))
    )
    shut, _ = transfer.perform(Actor(atlas, alpha), own, points, transfer.Told(worn=1.0))
    np.testing.assert_array_equal(worn, shut)
    changed = np.abs(lent.astype(int) - plain).max(2) > 2
    rows = np.flatnonzero(changed.any(1))
    assert changed.sum() > 200 and points[105, 1] - 5 < rows[0] and rows[-1] < points[topology.NOSE_TIP, 1]
