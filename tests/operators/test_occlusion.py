import numpy as np
import occluders
import pytest
from mesh_faces import face_row, in_crop
from vidswap.operators.generate import GenerateMesh
from vidswap.operators.invert import InvertMesh
from vidswap.operators.parse import ParseAppearance
from vidswap.operators.smooth import SmoothOcclusion

from vidswap.faces import look, topology
from vidswap.graph import STANDARD_COLUMNS, Batch
from vidswap.graph.operator import Setting


@pytest.fixture(scope="module")
def row(grace_hopper, face_model):
    return face_row(grace_hopper, face_model, 192)


@pytest.fixture(scope="module")
def seen(row):
    operator = ParseAppearance(ParseAppearance.Options())
    operator.setup(Setting())
    yield operator(row)
    operator.teardown()


@pytest.fixture(scope="module")
def appearance(seen):
    return seen["appearance"][0]


def test_what_is_told_of_a_face_has_its_columns(seen):
    for name in ParseAppearance.gives:
        assert STANDARD_COLUMNS[name].check(seen[name]) is None
    assert 0 < seen["darkest"].max() < 80
    assert 0 <= seen["eyewear"][0] <= 1
    assert -1 <= seen["nostrils"][0] <= 1


def test_the_appearance_of_a_face_is_small(appearance):
    assert appearance.shape == (len(look.cells().index), look.CHANNELS)
    assert appearance.dtype == np.uint8 and appearance.nbytes < 6000


def test_tracks_are_judged_apart(appearance):
    count = 60
    looks = np.repeat(appearance[None], 2 * count, 0)
    track = np.tile([3, 8], count)
    lower = look.cells().index // look.GRID > 20
    covered = (np.repeat(np.arange(count), 2) >= 30) & (np.repeat(np.arange(count), 2) < 45) & (track == 8)
    looks[np.ix_(covered, lower, [0, 1, 2])] = (30, 128, 128)
    batch = Batch(frame=np.repeat(np.arange(count), 2), track=track, appearance=looks)
    told = SmoothOcclusion(SmoothOcclusion.Options())(batch)
    found = told["occluded"]
    assert told["beard"].shape == found.shape and not told["beard"].any()
    assert found[track == 3].max() == 0
    assert found[covered][5:10][:, lower].mean() > 200
    assert found[covered][5:10][:, ~lower].mean() < 60


def test_what_is_covered_is_not_drawn_on(row, astronaut, face_model):
    source = InvertMesh(InvertMesh.Options(size=384))(face_row(astronaut, face_model))
    operator = GenerateMesh(GenerateMesh.Options())
    operator.setup(Setting(sources={"source": source}))
    points = in_crop(row)
    crop, cover = occluders.put(row["crop"][0], occluders.cup(), tuple(points[13, :2] + (0, 20)), 50)
    crops = np.empty(1, object)
    crops[0] = crop
    batch = row.with_columns(shape=row["landmarks"], crop=crops)
    cells = look.cells()
    places = np.rint((points[cells.corners][..., :2] * cells.shares[..., None]).sum(1)).astype(int)
    covered = (255 * (cover[places[:, 1], places[:, 0]] > 0.5)).astype(np.uint8)
    plain = operator(batch)["alpha"][0]
    kept = operator(batch.with_columns(occluded=covered[None]))["alpha"][0]
    assert plain[cover > 0.99].mean() > 0.4
    assert kept[cover > 0.99].mean() < 0.1 * plain[cover > 0.99].mean()
    elsewhere = np.arange(192)[:, None] < points[1, 1] - 25
    assert np.abs(kept - plain)[elsewhere.repeat(192, 1)].max() < 0.05


def test_a_beard_that_gives_way_is_no_skin_to_take_light_from(row, astronaut, face_model):
    source = InvertMesh(InvertMesh.Options(size=384))(face_row(astronaut, face_model))
    operator = GenerateMesh(GenerateMesh.Options())
    operator.setup(Setting(sources={"source": source}))
    points = in_crop(row)
    crops = np.empty(1, object)
    crops[0], cover = occluders.beard(row["crop"][0], points, 1.0)
    batch = row.with_columns(shape=row["landmarks"], crop=crops)
    cells = look.cells()
    places = np.rint((points[cells.corners][..., :2] * cells.shares[..., None]).sum(1)).astype(int)
    beard = (255 * (cover[places[:, 1], places[:, 0]] > 0.3)).astype(np.uint8)
    dark, told = (operator(b)["image"][0].astype(int) for b in (batch, batch.with_columns(beard=beard[None])))
    x, y = np.rint(points[[topology.CHIN, 18], :2].mean(0)).astype(int)
    chin, brow = np.s_[y - 4 : y + 5, x - 8 : x + 9], np.s_[: int(points[topology.NOSE_ROOT, 1])]
    assert told[chin].mean() > dark[chin].mean() + 10
    assert abs(told[brow].mean() - dark[brow].mean()) < 4
