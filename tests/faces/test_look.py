import cv2
import numpy as np
import occluders
import pytest
from filmed_looks import AWAY, FRAMES, face_in_crop, filmed, held, on_cells
from mesh_faces import face_row, in_crop

from vidswap.faces import look, topology


@pytest.fixture(scope="module")
def face(face_model):
    return face_in_crop(face_model)


def skin_of(face):
    crop, points = face
    x, y = np.rint(points[205, :2]).astype(int)
    return crop[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3).mean(0)


@pytest.mark.parametrize("name", ["microphone", "cup", "paper"])
def test_what_comes_before_a_face_is_seen_and_the_bare_face_is_not(face, name):
    looks, covers = filmed(face, getattr(occluders, name)())
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    seen = looks[..., 4] > 100
    covered, bare = (covers > 0.8) & seen, np.ones(FRAMES, bool)
    bare[AWAY.start - 4 : AWAY.stop + 4] = False
    assert covered.any(1).sum() == len(AWAY)
    missed = ((1 - found) * covered).sum(1) / seen.sum(1)
    assert missed.max() < 0.05
    assert found[covered].mean() > 0.85
    assert found[bare].max() < 0.05


def test_a_hand_of_the_colour_of_the_face_is_seen(face, face_model):
    looks, covers = filmed(face, occluders.hand(skin_of(face) * 1.05), face_model)
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    seen = looks[..., 4] > 100
    missed = ((1 - found) * ((covers > 0.8) & seen)).sum(1) / seen.sum(1)
    assert (covers > 0.8).any(1).sum() == len(AWAY)
    assert (missed < 0.05).mean() > 0.97


def test_a_face_that_is_taken_for_a_hand_all_the_time_is_not_one_when_it_grimaces(face):
    looks, _ = filmed(face, light=0.0)
    across, down = look.cells().index % look.GRID, look.cells().index // look.GRID
    cheek = np.hypot(across - 10, down - 17) < 6
    looks[AWAY.start : AWAY.stop, cheek, 0] -= 18
    looks[AWAY.start : AWAY.stop, cheek, 1] += 8
    marked = {}
    for name, frames in (("then", AWAY), ("always", range(FRAMES))):
        told = looks.copy()
        for frame in (f for f in frames if f % look.HANDS_EVERY == 0):
            told[frame, cheek, 5] = 230
        marked[name] = occluders.occluded(np.arange(FRAMES), told)
    assert marked["then"][AWAY.start + 4 : AWAY.stop - 4, cheek].mean() > 150
    assert marked["always"].max() == 0


def test_light_that_changes_is_no_occluder(face):
    crop, points = face
    # Nothing is burnt out.
    looks, _ = filmed(((crop * 0.65).astype(np.uint8), points), light=0.25)
    assert occluders.occluded(np.arange(FRAMES), looks).max() == 0


def test_segments_of_any_length_and_lost_frames_give_the_same_bits(face):
    looks, _ = filmed(face, occluders.cup())
    frames = np.concatenate([np.arange(FRAMES), np.arange(FRAMES) + 77, np.arange(FRAMES) + 150])
    looks = np.concatenate([looks, looks[::-1], looks])
    kept = np.random.default_rng(1).random(len(frames)) > 0.1
    frames, looks = frames[kept], looks[kept]
    whole = occluders.occluded(frames, looks)
    assert whole.max() == 255
    for low, high in ((0, 31), (31, 32), (32, 150), (150, 220)):
        near = (frames >= low - look.REACH) & (frames < high + look.REACH)
        part = occluders.occluded(frames[near], looks[near])
        inner = (frames[near] >= low) & (frames[near] < high)
        assert np.array_equal(part[inner], whole[(frames >= low) & (frames < high)])


def test_rows_that_are_not_asked_for_change_nothing_about_the_others(face):
    looks, _ = filmed(face, occluders.cup())
    whole = occluders.occluded(np.arange(FRAMES), looks)
    for low, high in ((0, 33), (40, 41), (46, 70)):
        wanted = (np.arange(FRAMES) >= low) & (np.arange(FRAMES) < high)
        part = occluders.occluded(np.arange(FRAMES), looks, wanted)
        assert np.array_equal(part[wanted], whole[wanted])
        assert not part[~wanted].any()


def test_cells_are_laid_as_in_the_plain_formulation(face):
    points, of = face[1].astype(np.float64), look.cells()
    places, area = np.empty((len(of.index), 2), np.float32), np.empty(len(of.index))
    look._lay(points, of.corners, of.shares, of.area, places, area)
    a, b, c = (points[of.corners[:, i], :2] for i in range(3))
    np.testing.assert_allclose(places, (points[of.corners, :2] * of.shares[..., None]).sum(1), rtol=1e-6)
    np.testing.assert_allclose(area, np.linalg.det(np.stack([b - a, c - a], 1)) / of.area, rtol=1e-9, atol=1e-12)


def test_of_a_short_track_only_what_is_there_all_along_is_seen(face):
    looks, covers = filmed(face, occluders.paper())
    assert occluders.occluded(np.arange(15), looks[:15]).max() == 0
    assert occluders.occluded(np.arange(20, 32), looks[20:32]).max() == 0
    for brief in (slice(34, 46), slice(36, 37)):
        found = occluders.occluded(np.arange(FRAMES)[brief], looks[brief]) / 255
        seen = looks[brief, :, 4] > 100
        assert found[(covers[brief] > 0.9) & seen].mean() > 0.75
        assert found[(covers[brief] < 0.02) & seen].mean() < 0.03


def test_a_face_that_is_seen_briefly_is_protected_too(face):
    looks, covers = filmed(face, occluders.cup())
    brief = slice(AWAY.start - 16, AWAY.start + 8)
    frames = np.arange(FRAMES)[brief]
    found = occluders.occluded(frames, looks[brief]) / 255
    covered = (covers[brief] > 0.8) & (looks[brief, :, 4] > 100)
    assert found[covered].mean() > 0.8
    assert found[frames < AWAY.start - 4].max() < 0.05
    bare, _ = filmed(face)
    assert occluders.occluded(frames, bare[brief]).max() == 0


def test_the_mask_follows_the_edge_of_the_thing(grace_hopper, face_model):
    row = face_row(grace_hopper, face_model)
    points, crop = in_crop(row), row["crop"][0]
    drawn, cover = held(crop, points, occluders.cup())
    column = np.rint(255 * (on_cells(points, cv2.dilate(cover, np.ones((5, 5)))) > 0.5)).astype(np.uint8)
    places = atlas_places(points, crop.shape[:2])
    mask = look.mask(column, places, drawn)
    inside = places[..., 0] > 0
    sure = cv2.erode((cover > 0.9).astype(np.uint8), np.ones((5, 5))) > 0
    clear = cv2.dilate((cover > 0.1).astype(np.uint8), np.ones((9, 9))) == 0
    assert mask[sure & inside].mean() > 0.95
    assert mask[clear & inside].mean() < 0.05
    assert look.mask(np.zeros_like(column), places, drawn).max() == 0


def atlas_places(points, shape):
    from vidswap.faces import render, texture

    raster = render.rasterise(points, topology.triangles(holes=False), shape)
    maps = render.affine_maps(points, texture.atlas_points(768), topology.triangles(holes=False))
    places = np.full((*shape, 2), -1e4, np.float32)
    places[raster.window] = (render.lookup(raster, maps) + 0.5) / 768
    return places
