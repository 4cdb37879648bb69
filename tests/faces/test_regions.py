import cv2
import numpy as np
import pytest

from vidswap.faces import alignment, regions, topology
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


def shares_of_labels(labels: np.ndarray, size: int) -> np.ndarray:
    """(12, T, T): the interpolated share of each label; the plain formulation takes the largest."""
    shares = [
        cv2.resize((labels == label).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        for label in range(len(REGIONS))
    ]
    return np.stack(shares)


@pytest.mark.parametrize("size", [128, 129, 200, 320, 448, 768])
def test_enlarged_labels_are_those_of_the_plain_formulation(size):
    coarse = np.random.default_rng(size).integers(0, len(REGIONS), (16, 16)).astype(np.uint8)
    labels = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_NEAREST)
    shares, found = shares_of_labels(labels, size), regions._enlarged(labels, size)
    own = np.take_along_axis(shares, found[None].astype(int), 0)[0]
    assert (own >= shares.max(0) - 1e-6).all()
    assert (found == shares.argmax(0)).mean() > 0.999


@pytest.mark.parametrize("size", [1, 3, 64, 128])
def test_the_median_of_labels_is_that_of_opencv(size):
    rng = np.random.default_rng(size)
    labels = rng.integers(0, len(REGIONS), (size, size)).astype(np.uint8)
    smooth = cv2.resize(labels[:: 1 + size // 8, :: 1 + size // 8], (size, size), interpolation=cv2.INTER_NEAREST)
    for given in (labels, smooth):
        found = np.empty_like(given)
        regions._median_of_labels(given, found)
        assert np.array_equal(found, cv2.medianBlur(given, 5))


def alike_plainly(lab: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The plain formulation: within three robust spreads of the median of some of the sample's colours."""
    colours = lab[sample > 0].astype(np.float32)
    if not len(colours):
        return np.zeros(lab.shape[:2], bool)
    colours = colours[:: 1 + len(colours) // 2000]
    middle = np.median(colours, 0)
    spread = np.maximum(1.4826 * np.median(np.abs(colours - middle), 0), [16, 5, 6])
    return (((lab - middle) / spread) ** 2).sum(2) < 9


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 1])
def test_what_is_alike_in_colour_is_that_of_the_plain_formulation(aligned, share):
    lab = cv2.cvtColor(cv2.resize(aligned[0], (128, 128)), cv2.COLOR_RGB2LAB)
    sample = (np.random.default_rng(3).random((128, 128)) < share).astype(np.uint8)
    sample[:60] = 0
    alike = np.zeros((128, 128), bool)
    regions._find_alike(lab, sample, np.zeros(3, np.float32), np.ones(3, np.float32), alike)
    assert (alike == alike_plainly(lab, sample)).mean() > 0.999


def around_plainly(crop: np.ndarray, points: np.ndarray, person: np.ndarray) -> np.ndarray:
    """The plain formulation of what is judged by place and colour, over whole arrays."""
    size = crop.shape[0]
    lab = cv2.cvtColor(cv2.GaussianBlur(crop, (5, 5), 0), cv2.COLOR_RGB2LAB)
    oval = np.zeros((size, size), np.uint8)
    regions._fill(oval, points[list(topology.FACE_OVAL)], 1)
    oval = oval > 0
    skin, body = alike_plainly(lab, regions._skin_sample(points, size)), person > 0.5
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    top, chin = points[topology.FOREHEAD, 1], points[topology.CHIN, 1]
    left, right = points[234, 0], points[454, 0]
    brow, eye, mouth = (points[list(ring), 1].mean() for ring in (topology.BROWS, topology.EYES, topology.LIPS_INNER))
    crown = body & (y < eye) & ~skin & ~oval
    hair_like = alike_plainly(lab, crown) if crown.sum() >= 0.01 * size * size else np.zeros_like(body)
    beside = np.minimum(np.abs(x - left), np.abs(x - right)) < 0.2 * (right - left)
    labels = np.zeros((size, size), np.uint8)
    labels[body & ~skin & ((y < chin) | hair_like)] = regions.HAIR
    labels[body & skin & (y > mouth) & (x > left) & (x < right) & ~oval] = regions.BELOWFACE
    labels[body & skin & beside & (y > brow) & (y < mouth) & ~oval] = regions.EARS
    labels[body & skin & (y <= brow) & ~oval] = regions.HAIR
    arch = top - 0.15 * (chin - top) * (1.0 - ((x - 0.5 * (left + right)) / (0.5 * (right - left))) ** 2)
    labels[body & skin & (y <= brow) & (y > arch) & ~oval] = regions.SKIN
    aside = np.abs(x - 0.5 * (left + right)) / (right - left)
    end = brow + np.clip((aside - 0.34) / 0.10, 0, 1) * (eye - brow)
    labels[oval & ~(hair_like & ~skin & (y < end))] = regions.SKIN
    return cv2.medianBlur(labels, 5)


def test_what_lies_around_a_face_is_judged_as_in_the_plain_formulation(aligned, face_model):
    crop, points, _ = aligned
    person = cv2.resize(face_model.segment(crop), (128, 128), interpolation=cv2.INTER_AREA)
    small, own = cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA), (points + 0.5) / 2 - 0.5
    labels = regions._around(small, own, person)
    assert {regions.HAIR, regions.SKIN, regions.BELOWFACE, regions.EARS} <= set(np.unique(labels))
    assert (labels == around_plainly(small, own, person)).mean() > 0.999


def test_hair_over_a_temple_is_hair_down_to_the_eyes_and_over_the_cheek_it_is_not(aligned, face_model):
    crop, points, labels = aligned
    left, right = int(points[234, 0]), int(points[454, 0])
    hung, hair = crop.copy(), (50, 40, 30)
    person = face_model.segment(crop)
    hung[labels == regions.HAIR] = hair
    width = right - left
    band = np.s_[: int(points[topology.CHIN, 1]), left - round(0.2 * width) : left + round(0.12 * width)]
    hung[band], person[band] = hair, 1
    labels = paint_regions(hung, points, person)
    column = left + round(0.05 * width)
    brow = int(points[list(topology.BROWS), 1].min())
    eye = int(points[list(topology.EYES), 1].mean())
    assert (labels[brow + 2 : eye - 6, column] == regions.HAIR).mean() > 0.8
    oval = np.zeros(crop.shape[:2], np.uint8)
    regions._fill(oval, points[list(topology.FACE_OVAL)], 1)
    below = (oval > 0) & (np.arange(len(crop)) > eye + 4)[:, None]
    assert not (labels[below] == regions.HAIR).any()
