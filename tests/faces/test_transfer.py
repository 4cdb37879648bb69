import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop, with_mouth

from vidswap.faces import look, texture, topology, transfer
from vidswap.faces.actor import REGIONS, Actor
from vidswap.faces.regions import HAIR
from vidswap.faces.transfer import Target


@pytest.fixture(scope="module")
def target(grace_hopper, face_model):
    return face_row(grace_hopper, face_model)


@pytest.fixture(scope="module")
def source(astronaut, face_model):
    return face_row(astronaut, face_model)


def actor_of(row, regions=REGIONS):
    made = texture.build_texture(row["crop"][0], in_crop(row), row["regions"][0], row["person"][0])
    return Actor(*made, regions)


def performed(actor, row, shape=None, points=None):
    own = in_crop(row)
    points = own if points is None else points
    shape = points if shape is None else shape
    target = Target(row["crop"][0], points, row["regions"][0], row["person"][0])
    return transfer.perform(actor, target, shape)


def test_a_shot_out_of_focus_gets_no_sharp_edges(source, target):
    actor, points = actor_of(source), in_crop(target)
    crop, labels, person = (target[name][0] for name in ("crop", "regions", "person"))
    closed = labels.copy()
    closed[: int(points[topology.FOREHEAD, 1] + 0.3 * np.ptp(points[:, 1]))] = HAIR
    steepest = []
    for shot in (crop, cv2.GaussianBlur(crop, (0, 0), 5)):
        _, alpha = transfer.perform(actor, Target(shot, points, closed, person), points)
        steepest.append(np.abs(np.diff(alpha, axis=0)).max())
    assert steepest[1] < 0.8 * steepest[0]


@pytest.mark.parametrize("who", ["source", "target"])
def test_a_face_swapped_with_itself_is_itself(who, request):
    row = request.getfixturevalue(who)
    image, alpha = performed(actor_of(row), row)
    difference = np.abs(image.astype(float) - row["crop"][0])[alpha > 0.5]
    assert difference.mean() < 4
    assert np.percentile(difference, 95) < 14


def test_shapes_and_types(source, target):
    image, alpha = performed(actor_of(source), target)
    assert image.shape == target["crop"][0].shape and image.dtype == np.uint8
    assert alpha.shape == image.shape[:2] and alpha.dtype == np.float32
    assert 0 <= alpha.min() and alpha.max() <= 1 and alpha.max() > 0.95


def test_alpha_is_zero_on_and_outside_the_outline(source, target):
    _, alpha = performed(actor_of(source), target)
    points = in_crop(target)
    for i in topology.FACE_OVAL:
        x, y = np.rint(points[i, :2]).astype(int)
        if 0 <= x < 256 and 0 <= y < 256:
            assert alpha[y, x] < 0.1
    assert (alpha[:, :3] == 0).all() and (alpha[:, -3:] == 0).all()
    assert alpha[tuple(np.rint(points[topology.NOSE_TIP, 1::-1]).astype(int))] > 0.95


def test_an_open_mouth_shows_the_targets_inside(source, target):
    row = target.with_columns(crop=target["crop"].copy())
    points = with_mouth(in_crop(target), 16.0)
    crop = row["crop"][0].copy()
    x, y = np.rint(points[[13, 14], :2].mean(0)).astype(int)
    crop[y - 5 : y + 6, x - 14 : x + 15] = (20, 200, 20)
    row["crop"][0] = crop
    image, alpha = performed(actor_of(source), row, points=points)
    assert np.abs(image[y, x].astype(int) - (20, 200, 20)).max() < 12 and alpha[y, x] > 0.9


def test_closed_lips_show_nothing_of_the_inside(source, target):
    points = with_mouth(in_crop(target), 0.0)
    closed, _ = performed(actor_of(source), target, points=points)
    row = target.with_columns(crop=target["crop"].copy())
    crop = row["crop"][0].copy()
    x, y = np.rint(points[13, :2]).astype(int)
    crop[y - 2 : y + 3, x - 6 : x + 7] = (20, 200, 20)
    row["crop"][0] = crop
    painted, _ = performed(actor_of(source), row, points=points)
    lip = (slice(y - 4, y - 1), slice(x - 4, x + 5))
    assert np.abs(painted[lip].astype(int) - closed[lip]).mean() < 25


def test_hairs_that_give_way_do_not_show_through_beside_the_mouth_of_a_portrait_that_smiles(source, target):
    actor, points = actor_of(source), in_crop(target)
    own = Target(target["crop"][0], points, target["regions"][0], target["person"][0])
    bearded = np.full(len(look.cells().index), 0, np.uint8)
    inside = np.zeros((look.GRID, look.GRID), np.uint8)
    zone = texture.atlas_points(look.GRID)[[57, 164, 287, 273, 200, 43]]
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(zone).astype(np.int32)), 1)
    bearded[inside.ravel()[look.cells().index] > 0] = 255
    beside = np.rint(points[[57, 287], :2]).astype(int)
    plain, shaved = (transfer.perform(actor, own, points, transfer.Told(beard=beard))[1] for beard in (None, bearded))
    before, after = (alpha[beside[:, 1], beside[:, 0]] for alpha in (plain, shaved))
    assert before.min() < 0.8 and after.min() > 0.95
    assert np.array_equal(plain[: int(points[topology.NOSE_TIP, 1])], shaved[: int(points[topology.NOSE_TIP, 1])])


def test_chosen_regions_alone_are_replaced(source, target):
    points = in_crop(target)
    _, alpha = performed(actor_of(source, ("nose",)), target)
    nose = tuple(np.rint(points[topology.NOSE_TIP, 1::-1]).astype(int))
    cheek = tuple(np.rint(points[205, 1::-1]).astype(int))
    eye = tuple(np.rint(points[468, 1::-1]).astype(int))
    assert alpha[nose] > 0.9 and alpha[cheek] < 0.05 and alpha[eye] < 0.05


def test_a_face_outside_of_the_crop_is_left_alone(source, target):
    away = in_crop(target) + (900, 0, 0)
    image, alpha = performed(actor_of(source), target, points=away)
    assert np.array_equal(image, target["crop"][0]) and not alpha.any()


def test_the_far_side_of_a_turned_face_is_not_painted_over_its_outline(source, target):
    points = in_crop(target)
    middle = points[[234, 454]].mean(0)
    c, s = np.cos(np.radians(50)), np.sin(np.radians(50))
    turned = points - middle
    turned = np.stack([c * turned[:, 0] + s * turned[:, 2], turned[:, 1], c * turned[:, 2] - s * turned[:, 0]], 1)
    turned += middle
    _, alpha = performed(actor_of(source), target, points=turned)
    _, x = np.nonzero(alpha > 0.05)
    assert x.min() >= turned[:, 0].min() - 1 and x.max() <= turned[:, 0].max() + 1


def test_grooves_beside_the_nose_show_no_hard_line_and_the_rest_stays(target):
    points, crop = in_crop(target), target["crop"][0]
    size = len(crop)
    hard, line = np.full((size, size, 3), 150, np.uint8), np.zeros((size, size), np.uint8)
    for groove in ((49, 102, 129, 64, 98), (279, 331, 358, 294, 327)):
        cv2.polylines(line, [np.rint(points[list(groove), :2]).astype(np.int32)], False, 1, 1)
    hard[line > 0] = 90
    soft = hard.copy()
    transfer.soften_grooves(soft, points, 1)
    # A line as wide as a pixel is spread over several; nothing but its surroundings changes.
    assert soft[line > 0].mean() > 125
    assert soft[line == 0].min() > 90
    far = cv2.dilate(line, np.ones((61, 61), np.uint8)) == 0
    assert (soft[far] == 150).all() and far.mean() > 0.5
    beyond = soft.copy()
    transfer.soften_grooves(beyond, points + 10_000.0, 1)
    assert np.array_equal(beyond, soft)
