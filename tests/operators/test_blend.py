import numpy as np
import pytest
from mesh_faces import Canvas
from pydantic import ValidationError
from vidswap.operators.blend import BlendFace, BlendLabel

from vidswap.graph import Batch, object_column


def row(size=64):
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    matrix = np.array([[1.0, 0, -40], [0, 1.0, -20]])
    canvas = Canvas(frame)
    alpha = np.zeros((size, size), np.float32)
    alpha[16:48, 16:48] = 1
    image = np.full((size, size, 3), 200, np.uint8)
    return Batch(
        picture=object_column([canvas]),
        matrix=matrix[None],
        crop=object_column([canvas.crop(matrix, (size, size))]),
        image=object_column([image]),
        alpha=object_column([alpha]),
    )


@pytest.mark.parametrize("mode", ["multiband", "gradient", "feather"])
def test_only_the_covered_pixels_change(mode):
    batch = row()
    before = batch["picture"][0].image.copy()
    BlendFace(BlendFace.Options(mode=mode))(batch)
    after = batch["picture"][0].image
    outside = np.ones(before.shape[:2], bool)
    outside[20 + 16 : 20 + 48, 40 + 16 : 40 + 48] = False
    assert np.array_equal(after[outside], before[outside])
    assert (after != before).any()


def test_feathering_writes_the_image_as_it_is():
    batch = row()
    BlendFace(BlendFace.Options(mode="feather"))(batch)
    assert (batch["picture"][0].image[40:60, 60:80] == 200).all()


def test_strength_mixes_with_the_frame():
    batch = row()
    before = batch["picture"][0].image.copy()
    BlendFace(BlendFace.Options(mode="feather", strength=0.5))(batch)
    expected = (before[40:60, 60:80].astype(float) + 200) / 2
    assert np.abs(batch["picture"][0].image[40:60, 60:80] - expected).max() <= 0.51
    none = row()
    BlendFace(BlendFace.Options(strength=0))(none)
    assert np.array_equal(none["picture"][0].image, before)


@pytest.mark.parametrize("wrong", [{"mode": "paste"}, {"strength": 2}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        BlendFace.Options(**wrong)


@pytest.mark.parametrize("corner", ["top-left", "top-right", "bottom-left", "bottom-right"])
@pytest.mark.parametrize("grey", [0, 255])
def test_a_label_is_drawn_into_its_corner_of_every_frame(corner, grey):
    pictures = [Canvas(np.full((180, 320, 3), grey, np.uint8), i) for i in range(2)]
    BlendLabel(BlendLabel.Options(text="AI-altered", corner=corner))(Batch(picture=object_column(pictures)))
    changed = np.abs(pictures[0].image.astype(int) - grey).max(2) > 60
    y, x = np.nonzero(changed)
    assert len(x) > 40
    assert (y.max() < 60) if "top" in corner else (y.min() > 120)
    assert (x.max() < 160) if "left" in corner else (x.min() > 160)
    assert np.array_equal(pictures[0].image, pictures[1].image)


def test_a_long_label_fits_a_small_frame():
    picture = Canvas(np.zeros((90, 120, 3), np.uint8))
    BlendLabel(BlendLabel.Options(text="Faces in this video were changed. " * 10))(
        Batch(picture=object_column([picture]))
    )
    assert (picture.image > 200).any() and (picture.image[:50] == 0).all()


def test_a_label_says_something():
    with pytest.raises(ValidationError):
        BlendLabel.Options(text="")
