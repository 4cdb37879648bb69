"""A portrait's glasses are taken off; a bare face stays as it is."""

import cv2
import numpy as np
import occluders
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import eyewear, topology
from vidswap.faces.spectacles import frames_of_glasses, hidden_by_glasses, without_glasses


@pytest.fixture(scope="module")
def bare(astronaut, face_model):
    row = face_row(astronaut, face_model, 512)
    return row["crop"][0], in_crop(row)


@pytest.fixture(scope="module")
def glazed(grace_hopper, face_model):
    row = face_row(grace_hopper, face_model, 512)
    return row["crop"][0], in_crop(row)


def put_on(crop, points, colour, share):
    """Draw two round rims and a bridge of a colour; returns the picture and where they are."""
    worn, mask = crop.copy(), np.zeros(crop.shape[:2], np.uint8)
    pupils = [points[i, :2] for i in (topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0])]
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    down = np.array([0.0, 0.08 * between])
    centres = [np.rint(p + down).astype(int) for p in pupils]
    radius, thick = round(0.38 * between), max(2, round(share * between))
    for image, value in ((worn, colour), (mask, 1)):
        for centre in centres:
            cv2.circle(image, tuple(map(int, centre)), radius, value, thick, cv2.LINE_AA)
        bridge = [tuple(map(int, c + (s * radius, -2))) for c, s in zip(centres, (1, -1), strict=True)]
        cv2.line(image, *bridge, value, thick, cv2.LINE_AA)
    return worn, cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0


def test_a_bare_face_is_left_alone(bare):
    crop, points = bare
    bare, grown = without_glasses(crop, points)
    assert bare is crop and not grown.any()


@pytest.mark.parametrize(("colour", "share"), [((20, 18, 22), 0.04), ((60, 30, 15), 0.08)])
def test_rims_drawn_onto_a_face_are_gone(bare, colour, share):
    crop, points = bare
    worn, where = put_on(crop, points, colour, share)
    off, _ = without_glasses(worn, points)
    # Along the brows a rim may pass for one.
    seen = where & (np.arange(len(crop)) > points[[topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0]], 1].max())[:, None]
    before, after = (np.abs(p.astype(float) - crop)[seen].mean() for p in (worn, off))
    assert after < 0.2 * before
    below = int(points[list(topology.LIPS_OUTER), 1].min())
    assert np.array_equal(off[below:], worn[below:])


def test_real_glasses_are_found_and_taken_off(glazed):
    crop, points = glazed
    assert frames_of_glasses(crop, points).any()
    assert eyewear.worn(without_glasses(crop, points)[0], points) < 0.1 < eyewear.worn(crop, points)


def test_eyes_stay(glazed):
    crop, points = glazed
    eyes = np.zeros(crop.shape[:2], np.uint8)
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE):
        cv2.fillPoly(eyes, [np.rint(points[list(ring), :2]).astype(np.int32)], 1)
    assert np.array_equal(without_glasses(crop, points)[0][eyes > 0], crop[eyes > 0])


def test_a_rim_that_touches_one_eye_is_told_from_its_lashes_by_the_other_eye(bare):
    crop, points = bare
    worn, _ = put_on(crop, points, (20, 18, 22), 0.06)
    inner = points[topology.RIGHT_EYE_INNER, :2]
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    touching = np.zeros(crop.shape[:2], np.uint8)
    place = np.rint(inner + (0.045 * between, 0.0)).astype(int)
    cv2.circle(touching, tuple(map(int, place)), max(2, round(0.02 * between)), 1, -1)
    worn[touching > 0] = (20, 18, 22)
    off, _ = without_glasses(worn, points)
    before, after = (np.abs(p.astype(float) - crop)[touching > 0].mean() for p in (worn, off))
    assert after < 0.35 * before


def behind_lenses(points, size):
    """Skin below the eyes that round glasses would cover, and the cheeks below them."""
    pupils = [points[i, :2] for i in (topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0])]
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    parts = []
    for down in (0.27, 0.62):
        part = np.zeros((size, size), np.uint8)
        for pupil in pupils:
            centre = np.rint(pupil + (0.0, down * between)).astype(int)
            cv2.circle(part, tuple(map(int, centre)), round(0.08 * between), 1, -1)
        parts.append(part > 0)
    return parts


@pytest.mark.parametrize("light", [(1.0, 1.15, 1.3), (0.8, 0.8, 0.8)])
def test_what_lenses_do_to_the_skin_behind_them_is_undone(bare, light):
    crop, points = bare
    tinted, (lens, cheek) = crop.astype(float), behind_lenses(points, len(crop))
    pupils = [points[i, :2] for i in (topology.RIGHT_IRIS[0], topology.LEFT_IRIS[0])]
    between = float(np.linalg.norm(pupils[1] - pupils[0]))
    glass = np.zeros(crop.shape[:2], np.uint8)
    for pupil in pupils:
        centre = np.rint(pupil + (0.0, 0.08 * between)).astype(int)
        cv2.circle(glass, tuple(map(int, centre)), round(0.38 * between), 1, -1)
    tinted[glass > 0] *= light
    plain, worn = (put_on(np.clip(p, 0, 255).astype(np.uint8), points, (20, 18, 22), 0.05)[0] for p in (crop, tinted))
    off = [without_glasses(p, points)[0] for p in (plain, worn)]

    def apart(one, other):
        return np.abs(np.log(one[lens].mean(0) / other[lens].mean(0))).max()

    assert apart(*off) < 0.6 * apart(plain, worn)
    assert np.abs(off[1][cheek].astype(float) - crop[cheek]).mean() < 3


def test_a_black_rim_along_a_brow_is_told_from_it(bare):
    crop, points = bare
    worn = crop.copy()
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    rim = np.zeros(crop.shape[:2], np.uint8)
    for brow in (topology.RIGHT_BROW, topology.LEFT_BROW):
        # Over the brow's lower half, and round the eye.
        ring = points[list(brow), :2]
        centre = np.rint((ring[:, 0].mean(), ring[:, 1].max() + 0.3 * between)).astype(int)
        radii = round(0.4 * between), round(0.31 * between)
        cv2.ellipse(rim, tuple(map(int, centre)), radii, 0, 0, 360, 1, max(2, round(0.07 * between)))
    worn[rim > 0] = (8, 8, 10)
    brows = np.zeros_like(rim)
    for brow in (topology.RIGHT_BROW, topology.LEFT_BROW):
        cv2.fillConvexPoly(brows, cv2.convexHull(np.rint(points[list(brow), :2]).astype(np.int32)), 1)
    seen = (rim & brows) > 0
    assert seen.sum() > 50
    found = frames_of_glasses(worn, points)
    assert found[seen].mean() > 0.9
    assert found[(brows > 0) & (cv2.dilate(rim, np.ones((9, 9), np.uint8)) == 0)].mean() < 0.1


def test_a_brow_behind_a_rim_is_the_other_one(bare):
    crop, points = bare
    worn, _ = put_on(crop, points, (8, 8, 10), 0.05)
    brow = points[list(topology.LEFT_BROW), :2]
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    # From end to end of the brow, and on to the temple.
    ends = brow[brow[:, 0].argmin()], brow.mean(0), brow[brow[:, 0].argmax()] + (0.2 * between, 0)
    rim = np.zeros(crop.shape[:2], np.uint8)
    cv2.polylines(rim, [np.rint(ends).astype(np.int32)], False, 1, round(0.09 * between))
    worn[rim > 0] = (8, 8, 10)
    off, _ = without_glasses(worn, points)
    inside = np.zeros_like(rim)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(brow).astype(np.int32)), 1)
    before, after = (np.abs(p.astype(float) - crop)[(inside & rim) > 0].mean() for p in (worn, off))
    assert after < 0.4 * before


def test_the_glare_of_a_rim_between_brow_and_lid_becomes_skin_and_the_whites_of_eyes_stay(bare):
    crop, points = bare
    worn, _ = put_on(crop, points, (20, 18, 22), 0.05)
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    glare = np.zeros(crop.shape[:2], np.uint8)
    for iris, brow in ((468, 105), (473, 334)):
        at = 0.45 * points[iris, :2] + 0.55 * points[brow, :2]
        cv2.ellipse(
            glare, tuple(map(int, at)), (round(0.05 * between), max(2, round(0.015 * between))), 0, 0, 360, 1, -1
        )
    shining = worn.copy()
    shining[glare > 0] = (190, 195, 225)
    plain, off = (without_glasses(image, points)[0].astype(float) for image in (worn, shining))
    seen = glare > 0

    def hue(image):
        return np.log((image[seen][:, 2] + 16.0) / (image[seen][:, 0] + 16.0)).mean()

    assert abs(hue(off) - hue(plain)) < 0.2 * abs(hue(shining) - hue(plain))
    assert np.abs(off[seen] - plain[seen]).mean() < 0.5 * np.abs(shining[seen] - plain[seen]).mean()
    whites = np.zeros_like(glare)
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE):
        cv2.fillPoly(whites, [np.rint(points[list(ring), :2]).astype(np.int32)], 1)
    assert np.array_equal(off[whites > 0], crop[whites > 0])


def test_lashes_end_softly_beside_a_rim(bare):
    crop, points = bare
    worn, _ = put_on(crop, points, (20, 18, 22), 0.05)
    eyes = np.zeros(crop.shape[:2], np.uint8)
    for ring in (topology.RIGHT_EYE, topology.LEFT_EYE):
        cv2.fillPoly(eyes, [np.rint(points[list(ring), :2]).astype(np.int32)], 1)
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    away = cv2.distanceTransform(1 - eyes, cv2.DIST_L2, 5) / between
    # Dark make-up all around the eyes, which a rim below them hangs together with.
    worn[(away > 0) & (away < 0.12)] //= 3
    off = without_glasses(worn, points)[0].astype(float)
    below = np.arange(len(crop))[:, None] > points[[33, 263], 1].max()
    bands = np.arange(0.012, 0.2, 0.012)
    levels = np.array([off[(away >= a) & (away < a + 0.012) & below].mean() for a in bands])
    assert np.ptp(levels) > 80
    assert np.diff(levels).max() < 0.36 * np.ptp(levels)


def test_bars_that_the_landmarks_take_for_brows_go_and_the_brows_above_stay(glazed):
    """Grace Hopper's glasses are black above and clear below, and the landmarks of her brows lie on the black."""
    crop, points = glazed
    between = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    brows = np.zeros(crop.shape[:2], np.uint8)
    for brow in (topology.RIGHT_BROW, topology.LEFT_BROW):
        cv2.fillConvexPoly(brows, cv2.convexHull(np.rint(points[list(brow), :2]).astype(np.int32)), 1)
    black = [((picture.mean(2) < 60) & (brows > 0)).sum() for picture in (crop, without_glasses(crop, points)[0])]
    assert black[0] > 0.2 * brows.sum() and black[1] < 0.05 * black[0]
    above = np.roll(brows, -round(0.2 * between), 0) * (1 - brows)
    assert frames_of_glasses(crop, points)[above > 0].mean() < 0.2


def test_what_dark_lenses_hide_is_hidden(bare):
    crop, points = bare
    worn, mask = occluders.plastic_glasses(crop, points, (28, 27, 30), lenses=True)
    hidden = hidden_by_glasses(worn, points)
    assert hidden[mask].mean() > 0.95
    x, y = np.rint(points[topology.NOSE_TIP, :2]).astype(int)
    assert hidden[y, x] < 0.02


def test_brows_behind_black_rims_are_hidden_and_eyes_are_not(bare):
    crop, points = bare
    worn, _ = occluders.plastic_glasses(crop, points, (24, 22, 24))
    hidden = hidden_by_glasses(worn, points)
    for brow, eye in ((105, 145), (334, 374)):
        (x, y), (u, v) = (np.rint(points[i, :2]).astype(int) for i in (brow, eye))
        assert hidden[y, x] > 0.9 and hidden[v, u] < 0.1


def test_a_bare_face_and_clear_glasses_below_brows_hide_nothing(bare, glazed):
    for crop, points in (bare, glazed):
        assert hidden_by_glasses(crop, points).max() == 0
