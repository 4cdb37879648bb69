import cv2
import numpy as np
import occluders
import pytest
import torch
from conftest import ArrayPicture

from vidswap.demo import portrait
from vidswap.faces import alignment, covering, evidence, look, topology
from vidswap.faces.detection import find_faces

FRAMES = 48
CELLS = len(look.cells().index)


@pytest.fixture(scope="module", params=["grace_hopper", "astronaut"])
def face(face_model, request):
    """Crop (192, 192, 3) of a portrait, its landmarks in it."""
    image = np.ascontiguousarray(cv2.imread(str(portrait(request.param)))[:, :, ::-1])
    landmarks = find_faces(ArrayPicture(image), face_model).landmarks[0]
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), 192)
    return ArrayPicture(image).crop(matrix, (192, 192)), alignment.transform(matrix, landmarks)


def before(crop, points, name, sway=0.0):
    """The crop with something before the face, and its cover."""
    if name == "mask":
        return occluders.surgical_mask(crop, points)
    if name == "fringe":
        return occluders.fringe(crop, points)
    if name in ("beard", "stubble", "moustache"):
        return occluders.beard(crop, points, 0.35 if name == "stubble" else 1.0, whole=name != "moustache")
    skin = crop[np.rint(points[205, 1]).astype(int), np.rint(points[205, 0]).astype(int)]
    thing = occluders.hand(skin * 0.95) if name == "hand" else getattr(occluders, name)()
    at = points[topology.CHIN, :2] * 0.8 + points[topology.NOSE_TIP, :2] * 0.2 + (sway, 0)
    return occluders.put(crop, thing, tuple(at), np.ptp(points[:, 0]) * thing.width)


def filmed(face, name=None, model=None, stop=FRAMES):
    """Looks (48, K, 6) of a face with something before it in all frames up to `stop`, and its cover of each cell."""
    rng = np.random.default_rng(0)
    crop, points = face
    looks, covers = [], []
    of = look.cells()
    places = (points[of.corners][..., :2] * of.shares[..., None]).sum(1).astype(np.float32)
    for frame in range(FRAMES):
        shown, cover = crop, np.zeros(crop.shape[:2], np.float32)
        if name is not None and frame < stop:
            shown, cover = before(crop, points, name, sway=2 * np.sin(frame / 5))
        shown = np.clip(shown + rng.normal(0, 2, crop.shape), 0, 255).astype(np.uint8)
        hands = model.hands(shown) if name == "hand" and frame % look.HANDS_EVERY == 0 else None
        looks.append(look.look_of_crop(shown, points + rng.normal(0, 0.4, points.shape), hands))
        covers.append(cv2.remap(cv2.blur(cover, (5, 5)), places[None], None, cv2.INTER_LINEAR).ravel())
    return np.stack(looks), np.stack(covers)


@pytest.mark.parametrize(
    ("name", "share"),
    [("mask", 0.8), ("fringe", 0.8), ("microphone", 0.8), ("paper", 0.75), ("cup", 0.75), ("hand", 0.68)],
)
def test_what_is_before_a_face_all_along_is_seen(face, face_model, name, share):
    looks, covers = filmed(face, name, face_model)
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    seen = looks[..., 4] > 100
    covered, bare = (covers > 0.9) & seen, (covers < 0.02) & seen
    assert covered.sum(1).min() > 20
    assert found[covered].mean() > share
    assert found[bare].mean() < 0.03
    # Of the whole face.
    assert (((1 - found) * covered).sum(1) / seen.sum(1)).max() < 0.06


def test_before_a_bare_face_nothing_is_seen(face):
    looks, _ = filmed(face)
    assert occluders.occluded(np.arange(FRAMES), looks).max() == 0


def test_a_beard_that_hides_the_skin_is_hair_and_stubble_is_none(face):
    looks, covers = filmed(face, "beard")
    seen = looks[..., 4] > 100
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    assert found[(covers > 0.9) & seen].mean() > 0.8
    assert found[(covers < 0.02) & seen].mean() < 0.03
    things, hair = evidence.in_a_picture(looks[0])
    assert things.mean() < 0.02 and hair[(covers[0] > 0.9) & seen[0]].mean() > 0.8
    assert occluders.occluded(np.arange(FRAMES), filmed(face, "stubble")[0]).max() == 0


@pytest.mark.parametrize(("name", "keep"), [("beard", False), ("moustache", True)])
def test_a_beard_that_gives_way_is_told_for_it_is_no_skin(face, name, keep):
    looks, covers = filmed(face, name)
    seen = looks[..., 4] > 100
    standing, beard = (told / 255 for told in evidence.occluded_and_beard(np.arange(FRAMES), looks, keep=keep))
    hair = (covers > 0.9) & seen
    assert standing[hair].mean() < 0.1 and beard[hair].mean() > 0.5
    assert beard[(covers < 0.02) & seen].mean() < 0.03


def test_a_full_beard_that_is_kept_does_not_give_way(face):
    looks, _ = filmed(face, "beard")
    standing, beard = evidence.occluded_and_beard(np.arange(FRAMES), looks)
    assert np.array_equal(standing, occluders.occluded(np.arange(FRAMES), looks))
    assert (standing.astype(int) + beard).max() <= 255 and beard.mean() < 0.05 * 255
    rows = np.zeros(FRAMES, bool)
    rows[10:14] = True
    for kept in (True, False):
        whole = evidence.occluded_and_beard(np.arange(FRAMES), looks, None, kept)
        some = evidence.occluded_and_beard(np.arange(FRAMES), looks, rows, kept)
        for one, other in zip(whole, some, strict=True):
            assert np.array_equal(one[rows], other[rows]) and not other[~rows].any()


def test_a_moustache_gives_way(face):
    looks, covers = filmed(face, "moustache")
    assert evidence.in_a_picture(looks[0])[1][covers[0] > 0.9].mean() > 0.5
    assert occluders.occluded(np.arange(FRAMES), looks)[covers > 0.5].mean() < 0.1 * 255


def test_when_a_thing_leaves_the_face_is_seen(face):
    looks, covers = filmed(face, "mask", stop=36)
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    covered = covers[0] > 0.9
    assert found[:30, covered].mean() > 0.75
    # Where it was some cells are in doubt.
    assert found[42:].mean() < 0.08


def test_parts_of_a_video_tell_what_the_whole_tells(face):
    looks, _ = filmed(face, "microphone")
    frames = np.arange(4 * FRAMES)
    looks = np.concatenate([looks, looks[::-1]] * 2)
    whole = occluders.occluded(frames, looks)
    assert whole.max() == 255
    for low, high in ((0, 17), (50, 51), (90, 192)):
        near = (frames >= low - look.REACH) & (frames < high + look.REACH)
        inner = (frames[near] >= low) & (frames[near] < high)
        assert np.array_equal(occluders.occluded(frames[near], looks[near])[inner], whole[low:high])


def some_look(seed=0):
    rng = np.random.default_rng(seed)
    middle = np.stack([rng.uniform(-5, 200, CELLS), *rng.uniform(110, 160, (2, CELLS)), rng.uniform(2, 5, CELLS)])
    spread = rng.uniform(0.5, 9, (4, CELLS))
    seen = np.where(rng.random(CELLS) < 0.2, 0, rng.random(CELLS))
    spread[:, seen == 0] = 1e3
    return [v.astype(np.float32) for v in (middle, spread, rng.random(CELLS), seen)]


def test_features_are_finite_and_of_unit_size_whatever_a_look_is():
    for given in (some_look(), [v * 0 for v in some_look()], [*some_look()[:3], np.zeros(CELLS, np.float32)]):
        with np.errstate(divide="ignore"):
            planes = covering.features(*given)
        assert planes.shape == (covering.FEATURES, look.GRID, look.GRID)
        assert np.abs(planes).max() <= 4


def test_planes_that_change_sign_in_a_mirror_are_those_that_are_named():
    mirrored = covering.places()[..., ::-1]
    for number, (plane, other) in enumerate(zip(covering.places(), mirrored, strict=True), covering.FACE):
        sign = -1 if number in covering.SIDED else 1
        assert np.corrcoef(plane.ravel(), sign * other.ravel())[0, 1] > 0.85, number


@pytest.mark.parametrize("network", [0, 1])
def test_the_networks_are_those_of_the_plain_formulation(network):
    given = some_look(1)
    with np.load(covering.WEIGHTS[network], allow_pickle=False) as stored:
        weights = {name: torch.from_numpy(stored[name].astype(np.float32)) for name in stored.files}

    def layer(name, planes, dilation=1):
        made = torch.nn.functional.conv2d(
            planes, weights[name], weights[f"{name}_bias"], padding=dilation, dilation=dilation
        )
        return torch.relu(made)

    def up(planes):
        return torch.nn.functional.interpolate(planes, scale_factor=2)

    pool = torch.nn.functional.avg_pool2d
    fine = layer("fine", torch.from_numpy(covering.features(*given))[None])
    half = layer("middle2", layer("middle", pool(fine, 2)))
    quarter = layer("coarse3", layer("coarse2", layer("coarse", pool(half, 2)), 2))
    half = layer("middle_up", torch.cat([half, up(quarter)], 1))
    fine = layer("fine_up", torch.cat([fine, up(half)], 1))
    odds = torch.nn.functional.conv2d(fine, weights["out"], weights["out_bias"]).numpy().ravel()[look.cells().index]
    seen = given[3] > 0.3
    told = covering.standing(*given)[network]
    np.testing.assert_allclose(told[seen], odds[seen].clip(-20, 20), rtol=1e-3, atol=1e-3)
    assert (told[~seen] == -20).all()
