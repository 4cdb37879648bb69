import numpy as np
import occluders
import pytest
from mesh_faces import face_row, in_crop

from vidswap.faces import eyewear


@pytest.fixture(scope="module")
def row(astronaut, face_model):
    return face_row(astronaut, face_model)


def test_glasses_are_seen_where_there_are_any(row):
    points = in_crop(row)
    drawn, _ = occluders.square_glasses(row["crop"][0], points)
    assert eyewear.worn(row["crop"][0], points) == 0
    assert eyewear.worn(drawn, points) > 0.8


def test_glasses_are_seen_in_a_frame_as_in_a_crop_of_it(astronaut, astronaut_landmarks, as_picture):
    drawn, _ = occluders.square_glasses(astronaut, astronaut_landmarks)
    assert eyewear.sample_worn(as_picture(astronaut), astronaut_landmarks) == 0
    assert eyewear.sample_worn(as_picture(drawn), astronaut_landmarks) > 0.8
    assert eyewear.sample_worn(as_picture(drawn), astronaut_landmarks / 60) == 0


def test_noise_in_the_dark_is_no_glasses(astronaut_landmarks, astronaut, as_picture):
    random = np.random.default_rng(5)
    found = []
    for _ in range(8):
        dark = astronaut * 0.14 + random.normal(0, 5, astronaut.shape)
        found.append(eyewear.sample_worn(as_picture(np.clip(dark, 0, 255).astype(np.uint8)), astronaut_landmarks))
    assert np.mean(found) < 0.15
