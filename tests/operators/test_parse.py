import numpy as np
import pytest
from vidswap.operators.align import AlignFFHQ, AlignOptions
from vidswap.operators.parse import ParseLight, ParseMediaPipe, ParseOptions

from vidswap.graph.batch import Batch, object_column
from vidswap.graph.columns import STANDARD_COLUMNS
from vidswap.graph.operator import NoOptions, Setting


@pytest.fixture
def faces(astronaut, astronaut_landmarks, as_picture) -> Batch:
    """The astronaut, and the same half as large."""
    small = as_picture(as_picture(astronaut).rgb(256, 256), 1)
    return Batch(
        frame=np.arange(2, dtype=np.int64),
        picture=object_column([as_picture(astronaut), small]),
        landmarks=np.stack([astronaut_landmarks, astronaut_landmarks / 2]).astype(np.float32),
    )


def test_each_crop_has_labels_of_its_size(faces):
    parse = ParseMediaPipe(ParseOptions())
    parse.setup(Setting())
    aligned = AlignFFHQ(AlignOptions())(faces)
    result = parse(aligned)
    for crop, labels, person in zip(result["crop"], result["regions"], result["person"], strict=True):
        assert labels.shape == person.shape == crop.shape[:2]
        assert labels.dtype == np.uint8
        assert person.dtype == np.float32
    assert result["regions"][0].shape != result["regions"][1].shape
    for name in ParseMediaPipe.gives:
        assert STANDARD_COLUMNS[name].check(result[name]) is None
    alone = parse(aligned.take(slice(1, 2)))
    assert np.array_equal(alone["regions"][0], result["regions"][1])
    parse.teardown()


def test_light_has_seven_colours_per_face_and_hangs_on_the_row_alone(faces):
    light = ParseLight(NoOptions())
    whole = light(faces)["light"]
    assert whole.shape == (2, 7, 3)
    assert STANDARD_COLUMNS["light"].check(whole) is None
    assert np.array_equal(light(faces.take(slice(1, 2)))["light"][0], whole[1])
    np.testing.assert_allclose(whole[0], whole[1], rtol=0.15)


def test_teardown_bears_a_setup_that_never_ran():
    ParseMediaPipe(ParseOptions()).teardown()
