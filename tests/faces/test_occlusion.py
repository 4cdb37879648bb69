import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import occlusion, topology
from vidswap.faces.regions import HAIR


@pytest.fixture(scope="module")
def row(astronaut, face_model):
    return face_row(astronaut, face_model)


def with_glasses(crop, points, thickness=2):
    """The crop with thin dark glasses drawn on, and the mask of what was drawn."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    between = np.linalg.norm(points[468, :2] - points[473, :2])
    centres = [points[i, :2] + (0, 0.06 * between) for i in (468, 473)]
    for x, y in centres:
        box = (round(0.40 * between), round(0.26 * between))
        cv2.rectangle(
            mask, (round(x) - box[0], round(y) - box[1]), (round(x) + box[0], round(y) + box[1]), 1, thickness
        )
    (x0, y0), (x1, y1) = centres
    left, right = (x0 + 0.40 * between, y0), (x1 - 0.40 * between, y1)
    cv2.line(mask, tuple(np.rint(left).astype(int)), tuple(np.rint(right).astype(int)), 1, thickness)
    drawn = crop.copy()
    drawn[mask > 0] = (30, 28, 30)
    return drawn, mask > 0


def test_glasses_are_seen_where_there_are_any(row):
    points = in_crop(row)
    drawn, _ = with_glasses(row["crop"][0], points)
    assert occlusion.eyewear(row["crop"][0], points) == 0
    assert occlusion.eyewear(drawn, points) > 0.8


def test_glasses_are_seen_in_a_frame_as_in_a_crop_of_it(astronaut, astronaut_landmarks, as_picture):
    drawn, _ = with_glasses(astronaut, astronaut_landmarks)
    assert occlusion.sample_eyewear(as_picture(astronaut), astronaut_landmarks) == 0
    assert occlusion.sample_eyewear(as_picture(drawn), astronaut_landmarks) > 0.8
    assert occlusion.sample_eyewear(as_picture(drawn), astronaut_landmarks / 60) == 0


def test_rims_are_kept_and_the_skin_between_them_is_not(row):
    points, crop = in_crop(row), row["crop"][0]
    drawn, mask = with_glasses(crop, points)
    free = occlusion.free_face(drawn, points, row["regions"][0], row["person"][0])
    plain = occlusion.free_face(crop, points, row["regions"][0], row["person"][0])
    below = np.arange(crop.shape[0])[:, None] > points[468, 1] + 8
    rim = mask & below & (plain > 0.9)
    assert (free[rim] < 0.5).mean() > 0.8
    for cheek in (205, 425):
        x, y = np.rint(points[cheek, :2]).astype(int)
        assert free[y, x] > 0.9


def test_rims_are_found_where_glasses_are(astronaut, astronaut_landmarks, as_picture):
    drawn, _ = with_glasses(astronaut, astronaut_landmarks, 3)
    found = occlusion.sample_rims(as_picture(drawn), astronaut_landmarks)
    plain = occlusion.sample_rims(as_picture(astronaut), astronaut_landmarks)
    assert found.shape == occlusion.RIMS and found.dtype == np.uint8
    assert (found > 128).sum() > 4 * (plain > 128).sum() + 60
    # Both eyes alike, and nothing in the outermost cells.
    halves = (found[:, :24] > 128).sum(), (found[:, 24:] > 128).sum()
    assert 0.5 < halves[0] / halves[1] < 2
    assert found[0].max() == 0 and found[-1].max() == 0


def test_lines_are_rims_where_time_says_so(row):
    points, crop = in_crop(row), row["crop"][0]
    drawn, mask = with_glasses(crop, points)
    told = np.zeros(occlusion.RIMS, np.uint8)
    plain = occlusion.free_face(crop, points, row["regions"][0], row["person"][0])
    rim = mask & (np.arange(crop.shape[0])[:, None] > points[468, 1] + 8) & (plain > 0.9)
    for value, share in ((0, 0.0), (64, 0.5), (255, 1.0)):
        told[:] = value
        free = occlusion.free_face(drawn, points, row["regions"][0], row["person"][0], 1.0, told)
        assert np.median(plain[rim] - free[rim]) == pytest.approx(share, abs=0.12)


def test_hair_labelled_so_is_left_alone(row):
    regions = row["regions"][0].copy()
    x, y = np.rint(in_crop(row)[151, :2]).astype(int)
    regions[y - 6 : y + 7, x - 12 : x + 13] = HAIR
    free = occlusion.free_face(row["crop"][0], in_crop(row), regions, row["person"][0])
    assert free[y, x] < 0.1


def test_hair_that_falls_in_from_the_side_is_left_alone(row):
    points, crop, regions = in_crop(row), row["crop"][0].copy(), row["regions"][0].copy()
    x, y = np.rint(points[234, :2]).astype(int)
    lock = np.zeros(regions.shape, np.uint8)
    cv2.line(lock, (x - 14, y - 30), (x + 8, y + 20), 1, 9)
    crop[lock > 0] = (40, 30, 20)
    oval = np.zeros(regions.shape, np.uint8)
    cv2.fillPoly(oval, [np.rint(points[list(topology.FACE_OVAL), :2]).astype(np.int32)], 1)
    regions[(lock > 0) & (oval == 0)] = HAIR
    kept = occlusion.hair_beside(crop, points, regions)
    inside = (lock > 0) & (cv2.erode(oval, np.ones((5, 5))) > 0)
    assert inside.sum() > 30 and kept[inside].mean() > 0.5
    nose_x, nose_y = np.rint(points[topology.NOSE_TIP, :2]).astype(int)
    assert kept[nose_y, nose_x] == 0


def test_what_is_not_the_person_is_left_alone(row):
    person = row["person"][0].copy()
    person[:, : person.shape[1] // 2] = 0
    free = occlusion.free_face(row["crop"][0], in_crop(row), row["regions"][0], person)
    assert free[:, : person.shape[1] // 2 - 8].max() < 0.05
