import numpy as np

from vidswap.faces.light import PATCHES, darkest_of_crop, light_of_crop, linear_of_srgb, sample_light


def test_linear_light_follows_the_standard():
    np.testing.assert_allclose(
        linear_of_srgb(np.array([0, 10, 188, 255], np.uint8)), [0, 0.00304, 0.5029, 1], atol=1e-4
    )


def test_there_is_a_colour_for_each_patch_and_it_is_that_of_skin(astronaut, astronaut_landmarks, as_picture):
    light = sample_light(as_picture(astronaut), astronaut_landmarks)
    assert light.shape == (len(PATCHES), 3) == (7, 3)
    assert light.dtype == np.float32
    assert (light[:, 0] > light[:, 1]).all()
    assert (light[:, 1] > light[:, 2]).all()


def test_half_the_light_is_half_the_light(astronaut, astronaut_landmarks, as_picture):
    linear = linear_of_srgb(astronaut) / 2
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    dim = sample_light(as_picture(np.round(255 * srgb).astype(np.uint8)), astronaut_landmarks)
    np.testing.assert_allclose(dim, sample_light(as_picture(astronaut), astronaut_landmarks) / 2, rtol=0.03)


def test_light_from_one_side_is_told_by_that_side(astronaut, astronaut_landmarks, as_picture):
    shadow = astronaut.copy()
    middle = int(astronaut_landmarks[4, 0])
    shadow[:, :middle] = shadow[:, :middle] // 2
    names = list(PATCHES)
    before = sample_light(as_picture(astronaut), astronaut_landmarks)
    after = sample_light(as_picture(shadow), astronaut_landmarks)
    ratio = (after / before).mean(1)
    assert ratio[names.index("right cheek")] < 0.4
    assert ratio[names.index("left cheek")] > 0.95


def test_highlights_and_specks_weigh_little(astronaut, astronaut_landmarks, as_picture):
    rng = np.random.default_rng(0)
    specked = astronaut.copy()
    specked[rng.random(specked.shape[:2]) < 0.05] = 255
    before = sample_light(as_picture(astronaut), astronaut_landmarks)
    after = sample_light(as_picture(specked), astronaut_landmarks)
    np.testing.assert_allclose(after, before, rtol=0.15)


def test_a_patch_turned_away_has_the_mean_of_the_others():
    crop = np.full((96, 96, 3), 128, np.uint8)
    points = np.zeros((478, 2))
    light = light_of_crop(crop, points)
    np.testing.assert_allclose(light, linear_of_srgb(np.uint8(128)), rtol=1e-6)


def test_haze_lifts_the_darkest_and_hair_beside_the_face_does_not_lower_it(astronaut, astronaut_landmarks):
    clear = darkest_of_crop(astronaut, astronaut_landmarks)
    assert clear.shape == (3,) and clear.dtype == np.float32
    hazy = darkest_of_crop((astronaut * 0.5 + 100).astype(np.uint8), astronaut_landmarks)
    np.testing.assert_allclose(hazy, clear * 0.5 + 100, atol=1.5)
    fringe = astronaut.copy()
    fringe[: int(astronaut_landmarks[[66, 296], 1].min()) - 8] = 0
    assert np.array_equal(darkest_of_crop(fringe, astronaut_landmarks), clear)


def test_a_face_of_a_few_pixels_has_no_darkest(astronaut, astronaut_landmarks):
    assert not darkest_of_crop(astronaut, astronaut_landmarks / 40).any()
