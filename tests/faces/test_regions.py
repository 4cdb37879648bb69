import cv2
import numpy as np
import pytest

from vidswap.faces import alignment, regions
from vidswap.faces.regions import REGIONS, paint_regions


@pytest.fixture(scope="module")
def aligned(astronaut, astronaut_landmarks, as_picture, face_model):
    """Crop, landmarks in it and labels, at 256 pixels a side."""
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(astronaut_landmarks), 256)
    crop = as_picture(astronaut).crop(matrix, (256, 256))
    points = alignment.transform(matrix, astronaut_landmarks[:, :2])
    return crop, points, paint_regions(crop, points, face_model.segment(crop))


def label_at(labels: np.ndarray, point: np.ndarray) -> str:
    x, y = np.round(point[:2]).astype(int)
    return REGIONS[labels[y, x]]


def test_labels_are_in_the_order_of_e4s(shared):
    import json

    table = json.loads((shared / "fixtures" / "e4s" / "label_maps.json").read_text())
    assert tuple(table["regions12"]) == REGIONS


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (lambda p: p[4], "nose"),
        (lambda p: p[468], "eyes"),
        (lambda p: p[473], "eyes"),
        (lambda p: (p[13] + p[14]) / 2, "mouth"),
        (lambda p: (p[14] + p[17]) / 2, "lip"),
        (lambda p: (p[0] + p[13]) / 2, "lip"),
        (lambda p: (p[105] + p[52]) / 2, "eyebrows"),
        (lambda p: p[50], "skin"),
        (lambda p: p[280], "skin"),
        (lambda p: p[199], "skin"),
        (lambda p: p[10] - [0, 25], "hair"),
        (lambda p: np.array([3, 3]), "background"),
        (lambda p: np.array([252, 30]), "background"),
        (lambda p: p[152] + [0, 10], "belowface"),
    ],
)
def test_each_place_of_the_portrait_has_its_label(aligned, place, name):
    _, points, labels = aligned
    assert label_at(labels, place(points)) == name


def test_labels_are_bytes_and_glasses_and_earrings_are_never_found(aligned):
    labels = aligned[2]
    assert labels.dtype == np.uint8
    assert labels.shape == (256, 256)
    assert set(np.unique(labels)) <= set(range(12)) - {regions.EYE_GLASS, regions.EAR_RINGS}


def test_labels_agree_between_crop_sizes(astronaut, astronaut_landmarks, as_picture, face_model, aligned):
    matrix = alignment.matrix_of_axes(alignment.ffhq_axes(astronaut_landmarks), 512)
    crop = as_picture(astronaut).crop(matrix, (512, 512))
    points = alignment.transform(matrix, astronaut_landmarks[:, :2])
    large = paint_regions(crop, points, face_model.segment(crop))
    assert (large[::2, ::2] == aligned[2]).mean() > 0.95


def test_without_a_person_there_is_only_the_face(aligned):
    crop, points, _ = aligned
    labels = paint_regions(crop, points, np.zeros((256, 256), np.float32))
    around = {regions.HAIR, regions.EARS, regions.BELOWFACE}
    assert not around & set(np.unique(labels))
    assert label_at(labels, points[4]) == "nose"


def test_equal_crops_give_equal_labels(aligned, face_model):
    crop, points, labels = aligned
    assert np.array_equal(paint_regions(crop, points, face_model.segment(crop)), labels)


def test_landmarks_beyond_the_crop_are_borne(aligned):
    crop, points, _ = aligned
    person = np.ones((256, 256), np.float32)
    for shift in ([200, 0], [-200, 40], [5000, 5000]):
        assert paint_regions(crop, points + shift, person).shape == (256, 256)


def enlarged_plainly(labels: np.ndarray, size: int) -> np.ndarray:
    """The plain formulation: the label with the largest interpolated share, the lowest of equals."""
    shares = [
        cv2.resize((labels == label).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        for label in range(len(REGIONS))
    ]
    return np.argmax(shares, 0).astype(np.uint8)


@pytest.mark.parametrize("size", [128, 129, 320, 448, 768])
def test_enlarged_labels_are_those_of_the_plain_formulation(size):
    coarse = np.random.default_rng(size).integers(0, len(REGIONS), (16, 16)).astype(np.uint8)
    labels = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(regions._enlarged(labels, size), enlarged_plainly(labels, size))
