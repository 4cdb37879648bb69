"""Folds of a smile are softened in the cheeks, creases beside every chin; what lies elsewhere stays as it is."""

import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import render, texture, topology
from vidswap.faces.folds import SmileFolds, mouth_width, smile, without_folds


@pytest.fixture(scope="module")
def smiling(astronaut, face_model):
    row = face_row(astronaut, face_model, 512)
    return row["crop"][0], in_crop(row)


def test_who_smiles(smiling, grace_hopper, face_model):
    assert smile(smiling[1]) > 0.5
    row = face_row(grace_hopper, face_model, 512)
    assert smile(in_crop(row)) == 0


def test_a_tilted_head_smiles_no_more(smiling):
    _, points = smiling
    turn = cv2.getRotationMatrix2D((256, 256), 35, 1)
    tilted = points.copy()
    tilted[:, :2] = points[:, :2] @ turn[:, :2].T + turn[:, 2]
    assert smile(tilted) == pytest.approx(smile(points), abs=0.02)


def test_a_dark_fold_drawn_into_a_cheek_is_softened(smiling):
    crop, points = smiling
    line = np.rint(points[[203, 206, 216, 212], :2]).astype(np.int32)
    where = np.zeros(crop.shape[:2], np.uint8)
    cv2.polylines(where, [line], False, 255, 4, cv2.LINE_AA)
    share = cv2.GaussianBlur(where, (0, 0), 1.5)[..., None] / 255 * 0.35
    creased = np.rint(crop * (1 - share)).astype(np.uint8)
    softened, plain = without_folds(creased, points)[0], without_folds(crop, points)[0]
    inside = where > 128
    before, after = (np.abs(p.astype(float) - plain)[inside].mean() for p in (creased, softened))
    assert after < 0.5 * before
    mouth = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [np.rint(points[list(topology.LIPS_OUTER), :2] * 16).astype(np.int32)], 1, shift=4)
    assert np.array_equal(softened[mouth > 0], creased[mouth > 0])
    top = int(points[list(topology.RIGHT_EYE), 1].min())
    assert np.array_equal(softened[:top], creased[:top])


@pytest.fixture(scope="module")
def serious(grace_hopper, face_model):
    row = face_row(grace_hopper, face_model, 512)
    return row["crop"][0], in_crop(row)


def test_creases_beside_the_chin_are_softened_whatever_the_face_does_and_nothing_else_is(serious):
    crop, points = serious
    softened, _ = without_folds(crop, points)
    beside = np.zeros(crop.shape[:2], np.uint8)
    for side in ((57, 43, 106, 182, 194, 32, 170, 169), (287, 273, 335, 406, 418, 262, 395, 394)):
        cv2.fillConvexPoly(beside, cv2.convexHull(np.rint(points[list(side), :2]).astype(np.int32)), 1)
    inside = cv2.erode(beside, np.ones((5, 5), np.uint8)) > 0
    before, after = (np.std(p.astype(float)[inside] - cv2.GaussianBlur(p, (0, 0), 6)[inside]) for p in (crop, softened))
    assert after < 0.6 * before
    assert abs(softened[inside].mean() - crop[inside].mean()) < 6
    nose = int(points[topology.NOSE_TIP, 1])
    assert np.array_equal(softened[:nose], crop[:nose])
    mouth = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [np.rint(points[list(topology.LIPS_OUTER), :2] * 16).astype(np.int32)], 1, shift=4)
    assert np.array_equal(softened[mouth > 0], crop[mouth > 0])


def test_skin_without_creases_stays_bit_for_bit(serious):
    crop, points = serious
    plain = np.full_like(crop, 160)
    assert all(softened is plain for softened in without_folds(plain, points))


def wider(points, factor):
    """The face with its mouth that much as wide."""
    moved = points.copy()
    mouth = sorted({*topology.LIPS_OUTER, *topology.LIPS_INNER})
    middle = points[mouth, 0].mean()
    moved[mouth, 0] = middle + factor * (points[mouth, 0] - middle)
    return moved


def atlases_of(smiling):
    crop, points = smiling
    return [texture.unroll(part, points, 384) for part in without_folds(crop, points)]


def test_folds_come_back_as_the_mouth_grows_as_wide_as_the_portraits(smiling):
    _, points = smiling
    made = SmileFolds(*atlases_of(smiling), mouth_width(points))
    strengths = [made.strength(wider(points, factor)) for factor in (0.7, 0.95, 1.0, 1.1)]
    assert strengths[0] == 0 and 0 < strengths[1] < strengths[2] and strengths[2] > 0.9 and strengths[3] == 1


@pytest.mark.parametrize("step", [1, 2])
def test_at_the_portraits_own_smile_its_folds_are_all_there_and_nothing_else_is_touched(smiling, step):
    crop, points = smiling
    plain, folded = atlases_of(smiling)
    made = SmileFolds(plain, folded, mouth_width(points))
    triangles = topology.triangles(holes=False)
    raster = render.rasterise(points, triangles, crop.shape[:2], margin=2, step=step)
    maps = render.affine_maps(points, texture.atlas_points(384), triangles)
    shrink = render.shrinking(maps, raster.ids)
    soft, wanted = (
        render.Pyramid(np.dstack([atlas, np.full((384, 384), 255, np.uint8)])).paint(raster, maps, shrink)
        for atlas in (plain, folded)
    )
    laid = soft.copy()
    made.lay(laid, raster, maps, points)
    apart = np.abs(wanted.astype(int) - soft).max(2)
    assert (apart > 8).sum() > 100
    assert np.abs(laid.astype(int) - wanted).max(2)[apart > 8].mean() < 0.25 * apart[apart > 8].mean()
    assert np.array_equal(laid[..., 3], soft[..., 3])
    assert np.abs(laid.astype(int) - soft)[apart == 0].max() <= 4
    top = int(points[list(topology.RIGHT_EYE), 1].max()) - raster.y0 * step
    assert np.array_equal(laid[: top - 40], soft[: top - 40])
    still = soft.copy()
    made.lay(still, raster, maps, wider(points, 0.6))
    assert np.array_equal(still, soft)
