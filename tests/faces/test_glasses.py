import cv2
import numpy as np
import occluders
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import eyewear, glasses, occlusion


@pytest.fixture(scope="module")
def row(astronaut, face_model):
    return face_row(astronaut, face_model)


def test_rims_are_kept_and_the_skin_between_them_is_not(row):
    points, crop = in_crop(row), row["crop"][0]
    drawn, mask = occluders.square_glasses(crop, points)
    free = occlusion.free_face(drawn, points, row["regions"][0], row["person"][0])
    plain = occlusion.free_face(crop, points, row["regions"][0], row["person"][0])
    below = np.arange(crop.shape[0])[:, None] > points[468, 1] + 8
    rim = mask & below & (plain > 0.9)
    assert (free[rim] < 0.5).mean() > 0.8
    for cheek in (205, 425):
        x, y = np.rint(points[cheek, :2]).astype(int)
        assert free[y, x] > 0.9


def test_rims_are_found_where_glasses_are(astronaut, astronaut_landmarks, as_picture):
    drawn, _ = occluders.square_glasses(astronaut, astronaut_landmarks, 3)
    found = glasses.sample_rims(as_picture(drawn), astronaut_landmarks)
    plain = glasses.sample_rims(as_picture(astronaut), astronaut_landmarks)
    assert found.shape == glasses.RIMS and found.dtype == np.uint8
    assert (found > 128).sum() > 4 * (plain > 128).sum() + 60
    # Both eyes alike, and nothing in the outermost cells.
    halves = (found[:, :24] > 128).sum(), (found[:, 24:] > 128).sum()
    assert 0.5 < halves[0] / halves[1] < 2
    assert found[0].max() == 0 and found[-1].max() == 0


def test_lines_are_rims_where_time_says_so(row):
    points, crop = in_crop(row), row["crop"][0]
    drawn, mask = occluders.square_glasses(crop, points)
    told = np.zeros(glasses.RIMS, np.uint8)
    plain = occlusion.free_face(crop, points, row["regions"][0], row["person"][0])
    rim = mask & (np.arange(crop.shape[0])[:, None] > points[468, 1] + 8) & (plain > 0.9)
    for value, share in ((0, 0.0), (64, 0.5), (255, 1.0)):
        told[:] = value
        free = occlusion.free_face(drawn, points, row["regions"][0], row["person"][0], 1.0, told)
        assert np.median(plain[rim] - free[rim]) == pytest.approx(share, abs=0.12)


@pytest.mark.parametrize(
    ("colour", "lenses"), [((24, 22, 24), False), ((70, 44, 28), False), ((226, 226, 222), False), ((28, 27, 30), True)]
)
def test_frames_of_plastic_and_dark_lenses_stay(row, colour, lenses):
    points, crop = in_crop(row), (0.7 * row["crop"][0]).astype(np.uint8)
    drawn, mask = occluders.plastic_glasses(crop, points, colour, lenses)
    assert eyewear.worn(drawn, points) > 0.9
    plain = occlusion.free_face(crop, points, row["regions"][0], row["person"][0])
    free = occlusion.free_face(drawn, points, row["regions"][0], row["person"][0])
    rim = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) & (plain > 0.9)
    assert (free[rim > 0] < 0.5).mean() > 0.85
    # What is neither rim nor beside one is free.
    away = (cv2.dilate(mask.astype(np.uint8), np.ones((11, 11))) == 0) & (plain > 0.9)
    assert (free[away] > 0.9).mean() > 0.97


def test_skin_under_the_eyes_is_no_rim_of_a_black_frame(row):
    points, crop = in_crop(row), row["crop"][0].copy()
    between = np.linalg.norm(points[468, :2] - points[473, :2])
    for lid in (145, 374):
        x, y = np.rint(points[lid, :2] + (0, 0.08 * between)).astype(int)
        cv2.ellipse(crop, (x, y), (round(0.2 * between), max(1, round(0.02 * between))), 0, 0, 360, (120, 80, 66), -1)
    drawn, mask = occluders.plastic_glasses(crop, points, (24, 22, 24))
    found = glasses.rims(drawn, points)
    for lid in (145, 374):
        x, y = np.rint(points[lid, :2] + (0, 0.08 * between)).astype(int)
        assert not mask[y, x] and found[y, x] < 0.2
