import numpy as np
import pytest
from mesh_faces import face_row, in_crop
from pydantic import ValidationError
from vidswap.operators.generate import GenerateMesh
from vidswap.operators.invert import InvertMesh

from vidswap.faces import topology
from vidswap.graph import Batch
from vidswap.graph.operator import Setting


@pytest.fixture(scope="module")
def source(astronaut, face_model):
    return InvertMesh(InvertMesh.Options(size=384))(face_row(astronaut, face_model))


@pytest.fixture(scope="module")
def batch(grace_hopper, face_model):
    rows = [face_row(grace_hopper, face_model, size, number) for number, size in enumerate((128, 192, 256))]
    rows = Batch.concat(rows)
    return rows.with_columns(shape=rows["landmarks"])


def generator(source, **options):
    operator = GenerateMesh(GenerateMesh.Options(**options))
    operator.setup(Setting(sources={"source": source}))
    return operator


def test_each_row_gets_an_image_of_its_own_size(source, batch):
    made = generator(source)(batch)
    assert [i.shape for i in made["image"]] == [(128, 128, 3), (192, 192, 3), (256, 256, 3)]
    assert all(i.dtype == np.uint8 for i in made["image"])
    assert all(
        a.dtype == np.float32 and a.shape == i.shape[:2] for a, i in zip(made["alpha"], made["image"], strict=True)
    )


def test_rows_do_not_depend_on_their_company(source, batch):
    whole = generator(source)(batch)
    one = generator(source)
    for i in (2, 0, 1):
        alone = one(batch.take(slice(i, i + 1)))
        assert np.array_equal(alone["image"][0], whole["image"][i])
        assert np.array_equal(alone["alpha"][0], whole["alpha"][i])


def test_the_crop_itself_is_not_written_into(source, batch):
    before = [crop.copy() for crop in batch["crop"]]
    generator(source)(batch)
    assert all(np.array_equal(a, b) for a, b in zip(before, batch["crop"], strict=True))


def test_eyes_have_the_colour_of_the_source_unless_the_targets_is_wanted(source, batch):
    green = source.with_columns(iris=np.tile(np.float32([20, 110, 20, 1]), (1, 2, 1)))
    told = batch.with_columns(irises=np.tile(np.float32([70, 50, 40, 1]), (len(batch), 2, 1)))
    new, old, other = (
        generator(green, **options)(told)["image"][2].astype(int)
        for options in ({}, {"irises": "target"}, {"regions": "brows,nose,mouth,skin"})
    )
    x, y = np.rint(in_crop(batch.take(slice(2, 3)))[topology.LEFT_IRIS[0], :2]).astype(int)
    eye = np.s_[y - 2 : y + 3, x - 2 : x + 3]
    greener = [(image[eye][..., 1] - image[eye][..., 0]).mean() for image in (new, old)]
    assert greener[0] > greener[1] + 15
    away = np.abs(new - old).max(2) > 0
    away[eye[0].start - 12 : eye[0].stop + 12] = False
    assert not away.any()
    assert not np.array_equal(new, other)


def test_portraits_that_hide_much_of_the_face_are_told_once(source):
    assert generator(source).take_warnings() == []
    masked = source["texture_alpha"].copy()
    masked[:, masked.shape[1] // 2 :] = 0
    hidden = source.with_columns(texture_alpha=masked)
    operator = generator(hidden)
    (told,) = operator.take_warnings()
    assert told.startswith("no portrait shows more than ")
    assert operator.take_warnings() == []
    operator = GenerateMesh(GenerateMesh.Options())
    operator.setup(Setting(sources={"source": source, "source2": hidden}))
    assert "no portrait of person 2" in operator.take_warnings()[0]
    # A second picture of the same person that shows it.
    operator.setup(Setting(sources={"source": source, "source.2": hidden}))
    assert operator.take_warnings() == []


def test_regions_are_checked():
    assert GenerateMesh.Options(regions="mouth, nose").regions == "nose,mouth"
    assert GenerateMesh.Options().regions == "brows,eyes,nose,mouth,skin"
    with pytest.raises(ValidationError, match="brows, eyes, nose, mouth, skin"):
        GenerateMesh.Options(regions="nose,ear")


def test_every_face_becomes_the_person_it_was_chosen_for(source, batch):
    other = source.with_columns(texture=255 - source["texture"])
    operator = GenerateMesh(GenerateMesh.Options())
    operator.setup(Setting(sources={"source": source, "source2": other}))
    plain, inverse = generator(source)(batch), generator(other)(batch)
    both = operator(batch.with_columns(source=np.array([0, 1, 0])))
    for row, expected in enumerate((plain, inverse, plain)):
        assert np.array_equal(both["image"][row], expected["image"][row])


def test_an_overexposed_portrait_is_told(source):
    white = source.with_columns(texture=np.maximum(source["texture"], 250), texture_folded=source["texture"])
    (told,) = generator(white).take_warnings()
    assert told.startswith("the portrait is overexposed: 100% of the face is white")
