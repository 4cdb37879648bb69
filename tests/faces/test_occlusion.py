import cv2
import numpy as np
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import occlusion, topology
from vidswap.faces.regions import HAIR


@pytest.fixture(scope="module")
def row(astronaut, face_model):
    return face_row(astronaut, face_model)


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


def test_hair_over_the_end_of_a_brow_has_no_notch_there(row):
    crop, points, regions = row["crop"][0].copy(), in_crop(row), row["regions"][0].copy()
    brow = points[list(topology.RIGHT_BROW), :2]
    edge = int(0.6 * brow[:, 0].min() + 0.4 * brow[:, 0].max())
    crop[:, :edge] = (40, 30, 20)
    oval = np.zeros(regions.shape, np.uint8)
    cv2.fillPoly(oval, [np.rint(points[list(topology.FACE_OVAL), :2]).astype(np.int32)], 1)
    left = np.arange(len(crop)) < edge
    regions[left & (oval == 0)] = HAIR
    ending = np.zeros(regions.shape, np.uint8)
    cv2.fillPoly(ending, [np.rint(cv2.convexHull(brow.astype(np.float32))).astype(np.int32)], 1)
    ending = (ending > 0) & (np.arange(len(crop)) < edge - 3)
    plain, whole = (occlusion.hair_beside(crop, points, regions, whole=w) for w in (False, True))
    assert whole[ending].mean() > 1.2 * plain[ending].mean()
    assert whole[ending].mean() > 0.6
    assert (whole >= plain - 1e-2).all()
    assert whole[:, edge + 8 : int(points[topology.NOSE_TIP, 0])].max() < 0.3


def test_what_is_not_the_person_is_left_alone(row):
    person = row["person"][0].copy()
    person[:, : person.shape[1] // 2] = 0
    free = occlusion.free_face(row["crop"][0], in_crop(row), row["regions"][0], person)
    assert free[:, : person.shape[1] // 2 - 8].max() < 0.05
