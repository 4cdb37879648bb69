import numpy as np
import pytest

from vidswap.faces import regional_blending


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "fixtures" / "e4s" / "golden_blending.npz")


def doubled(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, 0).repeat(2, 1)


def shown(golden, kind):
    return regional_blending.foreground(golden["mask"], golden["hole"].astype(bool), kind)


def test_foregrounds_equal_the_released_ones(golden):
    assert np.array_equal(shown(golden, "picture"), golden["fg_image"])
    assert np.array_equal(shown(golden, "video"), golden["fg_video"])


@pytest.mark.parametrize("radius", [2, 5])
def test_borders_equal_the_released_ones(golden, radius):
    face = shown(golden, "picture")
    wide, narrow = regional_blending.widened(face, radius), regional_blending.narrowed(face, radius)
    assert np.array_equal(wide, golden[f"dilation{radius}_full"])
    assert np.array_equal(narrow, golden[f"erosion{radius}_full"])
    assert np.array_equal(regional_blending.ring(face, radius), golden[f"expansion{radius}_border"])


def test_soft_blending_equals_the_released_one(golden):
    alpha = regional_blending.soft_alpha(shown(golden, "picture"), 1024)
    assert np.abs(alpha * 255 - golden["soft_alpha"]).max() <= 2
    mixed = doubled(golden["target_512"]) * (1 - alpha[..., None]) + doubled(golden["swapped_512"]) * alpha[..., None]
    apart = np.abs(mixed[256:768, 256:768] - golden["soft_out_crop"][..., :3])
    assert apart.max() <= 2
    assert apart.mean() <= 0.3


def test_laplacian_blending_equals_the_released_one(golden):
    target, swapped = doubled(golden["target_512"]), doubled(golden["swapped_512"])
    result = regional_blending.laplacian(target, swapped, shown(golden, "picture")).astype(int)
    for part, wanted in ((result[256:768, 256:768], "lap_out_crop"), (result[::4, ::4], "lap_out_stride4")):
        assert np.abs(part - golden[wanted]).max() <= 2
        assert np.abs(part - golden[wanted]).mean() <= 0.1


def test_the_pyramid_itself_equals_the_released_one(golden):
    found = regional_blending.pyramid_blend(golden["pyr_a_u8"], golden["pyr_b_u8"], golden["pyr_mask"], 6)
    np.testing.assert_allclose(found, golden["pyr_out6"], atol=1e-3)


def test_a_face_laid_over_itself_is_itself():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)
    face = np.zeros((64, 64), np.uint8)
    face[16:48, 16:48] = 1
    assert np.abs(regional_blending.laplacian(image, image, face).astype(int) - image).max() <= 2


def test_a_picture_that_is_all_face_or_none_bears_blending():
    image, other = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64, 3), 50, np.uint8)
    none, whole = np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8)
    assert np.array_equal(regional_blending.laplacian(image, other, none), image)
    assert np.array_equal(regional_blending.laplacian(image, other, whole), other)
    assert regional_blending.soft_alpha(none, 64).max() == 0
    assert regional_blending.soft_alpha(whole, 64).min() == 1


def test_specks_beside_the_face_are_not_shown():
    face = np.zeros((64, 64), np.uint8)
    face[16:48, 16:30] = face[16:48, 32:48] = 1
    with_specks = face.copy()
    with_specks[4:8, 4:8] = 1
    assert np.array_equal(regional_blending.without_specks(with_specks), face)
    assert np.array_equal(regional_blending.without_specks(face * 0), face * 0)
