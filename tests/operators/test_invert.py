import numpy as np
import pytest
from mesh_faces import Canvas, face_row
from pydantic import ValidationError
from vidswap.operators.invert import InvertMesh

from vidswap.faces import topology
from vidswap.graph import Batch
from vidswap.graph.batch import object_column


def test_a_portrait_becomes_an_atlas(astronaut, face_model):
    row = face_row(astronaut, face_model)
    made = InvertMesh(InvertMesh.Options(size=256))(row)
    assert made["texture"].shape == (1, 256, 256, 3) and made["texture"].dtype == np.uint8
    assert made["texture_alpha"].shape == (1, 256, 256) and made["texture_alpha"].dtype == np.float32
    assert 0 <= made["texture_alpha"].min() and made["texture_alpha"].max() <= 1
    assert made["texture_grown"].shape == (1, 256, 256) and made["texture_grown"].dtype == np.float32


def test_what_glasses_hid_is_told_unless_they_are_kept(grace_hopper, astronaut, face_model):
    glazed, bare = (face_row(image, face_model, 512) for image in (grace_hopper, astronaut))
    grown = InvertMesh(InvertMesh.Options(size=256))(glazed)["texture_grown"]
    assert 0.01 < grown.mean() < 0.5 and 0.9 < grown.max() <= 1
    assert not InvertMesh(InvertMesh.Options(size=256))(bare)["texture_grown"].any()
    assert not InvertMesh(InvertMesh.Options(size=256, glasses="on"))(glazed)["texture_grown"].any()


def test_what_lies_beyond_the_edge_of_a_portrait_is_not_shown(astronaut, face_model):
    row = face_row(astronaut, face_model)
    middle = int(row["landmarks"][0, topology.NOSE_TIP, 0])
    half = row.with_columns(picture=object_column([Canvas(astronaut[:, :middle])]))
    whole, cut = (InvertMesh(InvertMesh.Options(size=256))(r)["texture_alpha"][0] for r in (row, half))
    (mine, left), (gone, kept) = ((a[:, 140:].mean(), a[:, :116].mean()) for a in (whole, cut))
    assert mine > 0.3 and gone < 0.02 and kept == pytest.approx(left, rel=0.01)


def test_rows_do_not_depend_on_their_company(astronaut, grace_hopper, face_model):
    rows = [face_row(image, face_model) for image in (astronaut, grace_hopper)]
    invert = InvertMesh(InvertMesh.Options(size=256))
    together = invert(Batch.concat(rows))
    for i, row in enumerate(rows):
        assert np.array_equal(together["texture"][i], invert(row)["texture"][0])


def test_an_atlas_of_no_size_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 128"):
        InvertMesh.Options(size=8)
