"""Landmark pictures: the points, the strokes, and driving without the driver's shape."""

import re
from pathlib import Path

import numpy as np
import pytest

from vidswap.faces import alignment, landmark_picture, topology
from vidswap.faces.landmark_driving import Calibration
from vidswap.faces.pose import rotation_of
from vidswap.faces.shape import in_mean_frame


def face(yaw=0.0, pitch=0.0, roll=0.0, scale=90.0):
    turned = topology.canonical().astype(np.float64) @ rotation_of(yaw, pitch, roll).T
    return turned * scale + (300.0, 280.0, 0.0)


def test_the_table_in_the_documentation_is_the_one_that_is_drawn():
    table = (Path(__file__).parents[2] / "docs/reenact.md").read_text()
    rows = re.findall(r"^\| (\d+)-(\d+) \| [^|]+ \| ([\d, ]+) \|$", table, re.MULTILINE)
    assert [int(number) for row in rows for number in row[2].split(",")] == list(landmark_picture.POINTS_70)
    assert all(int(last) - int(first) == row.count(",") for first, last, row in rows)


def test_there_are_seventy_points_and_sixty_three_strokes():
    assert len(landmark_picture.POINTS_70) == 70 == len(set(landmark_picture.POINTS_70))
    assert landmark_picture.SEGMENTS.shape == (63, 2)
    # Pupils are dots alone.
    assert landmark_picture.SEGMENTS.max() == 67


def test_the_points_are_symmetric_and_lie_where_ibug_has_them():
    mirror = topology.mirror()
    other = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    other += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    other += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65, 69, 68]
    assert [mirror[i] for i in landmark_picture.POINTS_70] == [landmark_picture.POINTS_70[i] for i in other]
    points = landmark_picture.points_70(topology.canonical())
    assert points[8, 1] == points[:, 1].max()  # the chin
    assert (np.diff(points[:17, 0]) >= 0).all() and (np.diff(points[17:27, 0]) > 0).all()
    assert (np.diff(points[27:31, 1]) > 0).all() and (np.diff(points[31:36, 0]) > 0).all()
    assert (points[37:39, 1] < points[40:42, 1]).all() and (points[43:45, 1] < points[46:48, 1]).all()
    assert np.array_equal(topology.IBUG[36:42], alignment._RIGHT_EYE_6)


def test_strokes_are_six_tenths_bright_and_crossings_brighter():
    points = np.full((70, 2), -100.0)
    points[0], points[1] = (100, 100), (300, 100)
    image = landmark_picture.drawn(points)
    assert image.shape == (580, 580) and image.dtype == np.float32
    assert image[100, 200] == pytest.approx(0.6)
    assert image[100, 100] == pytest.approx(0.84)  # the line, and its dot
    assert image[97, 200] == 0 and image[104, 100] == pytest.approx(0.6)
    assert image[110:].max() == 0


def test_place_turn_and_size_of_the_face_in_the_frame_do_not_show():
    one = landmark_picture.picture(face())
    assert np.abs(landmark_picture.picture(face(roll=20, scale=211) + (400, -50, 0)) - one).max() < 1e-3
    assert np.abs(landmark_picture.picture(face(yaw=20)) - one).mean() > 0.005
    assert 0.01 < one.mean() < 0.03


def test_smaller_pictures_show_the_same():
    large, small = landmark_picture.picture(face(), 580), landmark_picture.picture(face(), 145)
    pooled = large.reshape(145, 4, 145, 4).mean((1, 3))
    assert np.corrcoef(pooled.ravel(), small.ravel())[0, 1] > 0.85


def test_the_drivers_own_shape_does_not_show_in_driven_landmarks():
    random = np.random.default_rng(0)
    mean = topology.canonical().astype(np.float64)
    portrait_shape, driver_shape = (mean + random.normal(0, 0.03, mean.shape) for _ in range(2))
    smile = np.zeros_like(mean)
    smile[list(topology.LIPS_OUTER)] = (0.0, -0.05, 0.0)

    def seen(shape, yaw):
        return 80 * shape @ rotation_of(yaw, 0, 0).T + (200.0, 210.0, 0.0)

    made = Calibration(seen(portrait_shape, 5), seen(driver_shape, 0)).driven(seen(driver_shape + smile, 25))
    wanted = seen(portrait_shape + smile, 25)
    # The fit of the pose sees a little of the shape.
    assert np.abs(in_mean_frame(made) - in_mean_frame(wanted)).mean() < 0.004
    still = Calibration(seen(portrait_shape, 0), seen(driver_shape, 0)).driven(seen(driver_shape, 0))
    assert np.abs(in_mean_frame(still) - in_mean_frame(seen(portrait_shape, 0))).max() < 0.02


def test_a_face_that_drives_itself_stays_itself(astronaut_landmarks):
    made = Calibration(astronaut_landmarks, astronaut_landmarks).driven(astronaut_landmarks)
    assert np.abs(made - astronaut_landmarks).max() < 1e-9
