import numpy as np
import pytest

from vidswap.faces.detection import find_faces
from vidswap.faces.models import Detections
from vidswap.faces.turned import Turned, turned_back


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_places_are_those_of_the_image_before_it_was_turned(quarters):
    image = np.zeros((30, 50))
    image[7, 41] = 1
    row, column = np.argwhere(np.rot90(image, quarters))[0]
    box = np.array([[column - 2, row - 1, column + 2, row + 1]], np.float32)
    points = np.full((1, 6, 2), (column, row), np.float32)
    back = turned_back(Detections(box, np.ones(1, np.float32), points), quarters, 50, 30)
    assert np.array_equal(back.keypoints[0], np.full((6, 2), (41, 7)))
    across, down = (2, 1) if quarters % 2 == 0 else (1, 2)
    assert back.boxes[0].tolist() == [41 - across, 7 - down, 41 + across, 7 + down]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_face_is_found_whichever_way_up_it_is(grace_hopper, as_picture, face_model, quarters):
    turned = as_picture(np.ascontiguousarray(np.rot90(grace_hopper, quarters)))
    (points,) = find_faces(turned, Turned(face_model)).landmarks
    across = points[473, :2] - points[468, :2]
    angle = np.degrees(np.arctan2(across[1], across[0]))
    assert abs((angle + 90 * quarters + 180) % 360 - 180) < 12


def test_where_there_is_no_face_none_is_found(as_picture, face_model):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    assert len(find_faces(as_picture(noise), Turned(face_model)).landmarks) == 0
