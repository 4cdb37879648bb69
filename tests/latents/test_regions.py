import numpy as np
import pytest

from vidswap.faces.regions import BELOWFACE, EARS, EYE_GLASS, EYEBROWS, EYES, HAIR, LIP, MOUTH, NOSE, SKIN
from vidswap.graph.errors import InputError
from vidswap.latents import regions


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "fixtures" / "e4s" / "golden_style_exchange.npz")


@pytest.fixture
def faces():
    """Target and driven vectors (3, 12, 5) that show every region."""
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((3, 12, 5)).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize(
    ("driven", "wanted", "options"),
    [
        ("driven", "out", {"rule": "code"}),
        ("driven_noear_noteeth", "out_noear_noteeth", {"rule": "code"}),
        ("driven", "out_neck_interp", {"rule": "code", "is_neck_mixed": True}),
        ("driven", "v2_out", {"rule": "video"}),
        ("driven_noear_noteeth", "v2_out_noear_noteeth", {"rule": "video"}),
        ("driven", "out", {}),
    ],
)
def test_the_exchange_equals_the_released_programs(golden, driven, wanted, options):
    found = regions.exchanged(golden["target"], golden[driven], **options)
    assert np.array_equal(found, golden[wanted])


@pytest.mark.parametrize("region", regions.SWAPPED)
def test_what_the_driven_face_lacks_is_the_targets(faces, region):
    target, driven = faces
    driven[1, region] = 0
    found = regions.exchanged(target, driven)
    assert np.array_equal(found[1, region], target[1, region])
    assert np.array_equal(found[0, region], driven[0, region])


def test_only_chosen_regions_change(faces):
    target, driven = faces
    found = regions.exchanged(target, driven, regions=regions.named("eyes,mouth"))
    changed = (found != target).any((0, 2))
    assert set(np.flatnonzero(changed)) == {EYES, LIP, MOUTH}


def test_strength_lies_between(faces):
    target, driven = faces
    half = regions.exchanged(target, driven, strength=0.5)
    np.testing.assert_allclose(half[:, NOSE], (target[:, NOSE] + driven[:, NOSE]) / 2, rtol=1e-6)
    assert np.array_equal(half[:, HAIR], target[:, HAIR])
    assert np.array_equal(regions.exchanged(target, driven, strength=0.0), target)


def test_a_region_that_only_the_source_shows_is_never_halved(faces):
    target, driven = faces
    target[:, MOUTH] = 0
    found = regions.exchanged(target, driven, strength=0.25)
    assert np.array_equal(found[:, MOUTH], driven[:, MOUTH])


@pytest.mark.parametrize(("skin", "share"), [("source", 1.0), ("target", 0.0), ("mix", 0.5)])
def test_the_colour_of_the_skin_can_stay(faces, skin, share):
    target, driven = faces
    found = regions.exchanged(target, driven, skin=skin)
    for region in (SKIN, NOSE, EARS, BELOWFACE):
        wanted = (1 - share) * target[:, region] + share * driven[:, region]
        np.testing.assert_allclose(found[:, region], wanted, rtol=1e-5, atol=1e-6)
    assert np.array_equal(found[:, EYES], driven[:, EYES])


def test_rows_do_not_hang_on_one_another(faces):
    target, driven = faces
    driven[1, EARS] = target[2, MOUTH] = 0
    whole = regions.exchanged(target, driven, strength=0.7, skin="mix")
    alone = [regions.exchanged(target[i : i + 1], driven[i : i + 1], strength=0.7, skin="mix") for i in range(3)]
    assert np.array_equal(whole, np.concatenate(alone))


def test_the_mean_of_pictures_counts_only_those_that_show_a_region(faces):
    vectors, _ = faces
    vectors[0, MOUTH] = 0
    vectors[:, EYE_GLASS] = 0
    found = regions.averaged(vectors)
    np.testing.assert_allclose(found[MOUTH], vectors[1:, MOUTH].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[NOSE], vectors[:, NOSE].mean(0), rtol=1e-6)
    assert not found[EYE_GLASS].any()


def test_a_painted_region_that_nobody_shows_takes_the_sources_or_the_skins(faces):
    vectors, other = faces
    vectors[:, EYEBROWS] = vectors[:, EYE_GLASS] = 0
    source = other[0].copy()
    source[EYE_GLASS] = 0
    shown = np.zeros((3, 12), bool)
    shown[1:, [EYEBROWS, EYE_GLASS]] = True
    found = regions.completed(vectors, source, shown)
    assert np.array_equal(found[1, EYEBROWS], source[EYEBROWS])
    assert np.array_equal(found[2, EYE_GLASS], vectors[2, SKIN])
    assert not found[0, EYEBROWS].any()


def test_smoothing_keeps_what_is_steady_and_reaches_no_further_than_said():
    frames = np.arange(40)
    vectors = np.ones((40, 12, 3), np.float32)
    vectors[:, EARS] = 0
    vectors[10:14, MOUTH] = 0
    np.testing.assert_allclose(regions.smoothed(frames, vectors, 1.5), vectors, atol=1e-6)
    pulse = vectors.copy()
    pulse[20] *= 3
    changed = np.abs(regions.smoothed(frames, pulse, 1.5) - vectors).max((1, 2)) > 1e-6
    assert regions.reach_of(1.5) == 6
    assert set(np.flatnonzero(changed)) == set(range(14, 27))


def test_smoothing_gives_the_same_bits_from_a_part_of_the_frames():
    rng = np.random.default_rng(3)
    frames = np.arange(30)
    vectors = rng.standard_normal((30, 12, 4)).astype(np.float32)
    vectors[rng.random((30, 12)) < 0.2] = 0
    whole = regions.smoothed(frames, vectors, 1.0)
    part = regions.smoothed(frames[6:20], vectors[6:20], 1.0)
    assert np.array_equal(part[4:-4], whole[10:16])


def test_names_of_regions_are_checked():
    assert regions.named("all") == tuple(sorted(regions.SWAPPED))
    assert regions.named("mouth") == (LIP, MOUTH)
    with pytest.raises(InputError, match="'all' or some of brows"):
        regions.named("chin")
    with pytest.raises(InputError, match="must be"):
        regions.named(",")


def test_a_region_that_no_picture_of_the_source_shows_is_one_line(faces):
    source = faces[0][0]
    source[EYE_GLASS] = 0
    regions.check_source(source, "nose,eyes")
    regions.check_source(source, "all")
    with pytest.raises(InputError, match="the source's pictures show no eye_glass"):
        regions.check_source(source, "eyes,glasses")


def test_regions_of_label_maps_are_found():
    labels = [np.zeros((4, 4), np.uint8), np.full((4, 4), 11, np.uint8)]
    assert np.flatnonzero(regions.regions_of(labels)[1]).tolist() == [11]
    assert np.flatnonzero(regions.regions_of(labels)[0]).tolist() == [0]
