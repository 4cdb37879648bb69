"""The portrait at rest, alone and in its picture, and what the video shows of it."""

import numpy as np
import pytest
from vidswap.operators.still import BlendRest, BlendStill, InvertStill, PresentOptions, StillOptions

from vidswap.faces import alignment
from vidswap.graph.batch import Batch, object_column


class Shown:
    """A driver's frame that remembers what it becomes."""

    def __init__(self, width=40, height=20):
        self.width, self.height, self.changed, self.image = width, height, False, None

    def rgb(self, width, height):
        return np.full((height, width, 3), 50, np.uint8)

    def repaint(self, kind, image):
        self.changed, self.image = True, image


def operator(kind, still, matrix, **options):
    made = kind(PresentOptions(**options))
    made._still, made._matrix, made._kind = still, matrix, None
    return made


@pytest.fixture(scope="module")
def stills(astronaut, astronaut_landmarks, as_picture):
    row = Batch(
        frame=np.arange(1),
        picture=object_column([as_picture(astronaut)]),
        landmarks=astronaut_landmarks[None],
    )
    return {paste: InvertStill(StillOptions(width=128, height=128, paste=paste))(row) for paste in (False, True)}


def test_the_square_is_ffhqs_and_the_picture_knows_where_it_is(stills, astronaut_landmarks):
    square, whole = stills[False], stills[True]
    assert np.allclose(square["still_matrix"][0], [[1, 0, 0], [0, 1, 0]], atol=1e-9)
    # The astronaut's picture is 512 px a side: a quarter of it is shown.
    matrix = whole["still_matrix"][0]
    placed = alignment.transform(np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]]), astronaut_landmarks)
    wanted = alignment.transform(
        alignment.matrix_of_axes(alignment.ffhq_axes(astronaut_landmarks), 128), astronaut_landmarks
    )
    assert np.allclose(alignment.transform(matrix, placed)[:, :2], wanted[:, :2], atol=1e-3)


def test_a_face_alone_takes_the_size_and_fades_with_presence(stills):
    still = stills[False]["still"][0]
    image = np.full((64, 64, 3), 200, np.uint8)
    made = operator(BlendStill, still, stills[False]["still_matrix"][0], width=128, height=128)
    pictures = [Shown() for _ in range(3)]
    presence = np.array([1.0, 0.5, 0.0], np.float32)
    made(
        Batch(
            frame=np.arange(3),
            picture=object_column(pictures),
            image=object_column([image] * 3),
            presence=presence,
        )
    )
    assert (pictures[0].image == 200).all()
    assert np.abs(pictures[1].image - (100 + still / 2)).max() <= 1
    assert np.array_equal(pictures[2].image, still)


def test_a_face_pasted_into_its_own_picture_is_the_picture(stills):
    still, matrix = stills[True]["still"][0], stills[True]["still_matrix"][0]
    own = stills[False]["still"][0]
    made = operator(BlendStill, still, matrix, width=128, height=128, paste=True)
    picture = Shown()
    made(Batch(frame=np.arange(1), picture=object_column([picture]), image=object_column([own])))
    assert np.abs(picture.image.astype(int) - still).mean() < 2.0
    strange = Shown()
    made(Batch(frame=np.arange(1), picture=object_column([strange]), image=object_column([255 - own])))
    corner = np.abs(strange.image.astype(int) - still)[:8, :8]
    assert corner.max() == 0  # outside the square
    assert np.abs(strange.image.astype(int) - still).max() > 100


def test_only_the_first_of_two_tracks_in_a_frame_is_shown(stills):
    made = operator(BlendStill, stills[False]["still"][0], stills[False]["still_matrix"][0], width=128, height=128)
    picture = Shown()
    images = [np.full((128, 128, 3), value, np.uint8) for value in (10, 90)]
    rows = Batch(frame=np.zeros(2, np.int64), picture=object_column([picture] * 2), image=object_column(images))
    made(rows)
    assert (picture.image == 10).all()


def test_the_rest_is_shown_where_nothing_drives_and_panels_stand_side_by_side(stills):
    still = stills[False]["still"][0]
    made = operator(BlendRest, still, stills[False]["still_matrix"][0], width=128, height=128, beside=True)
    done, empty = Shown(), Shown()
    done.changed = True
    made(Batch(frame=np.arange(2), picture=object_column([done, empty])))
    assert done.image is None
    assert empty.image.shape == (128, 128 + 256 + 128, 3)
    assert np.array_equal(empty.image[:, :128], still) and np.array_equal(empty.image[:, 384:], still)
    assert (empty.image[:, 128:384] == 50).all()
