"""What stands before most of a face is told from the face by the light of the frames around."""

import numpy as np
import occluders
import pytest
from filmed_looks import FRAMES, face_in_crop, filmed

from vidswap.faces import evidence, look, unlike

CROSSING = range(32, 40)
PAPER = np.array([228, 128, 128, 12], np.uint8)


@pytest.fixture(scope="module")
def face(face_model):
    return face_in_crop(face_model)


def covered(share: float) -> np.ndarray:
    """(K,) bool: cells below a slanted line, so many of all."""
    of = look.cells()
    height = of.plane[:, 2] + 0.3 * of.plane[:, 1]
    return height > np.quantile(height, 1 - share)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.75])
def test_paper_before_most_of_a_face_is_seen_and_the_rest_is_the_face(face, share):
    looks, _ = filmed(face)
    sheet = covered(share)
    noise = np.random.default_rng(1).integers(-3, 4, (len(CROSSING), sheet.sum(), 4))
    looks[CROSSING.start : CROSSING.stop, sheet, :4] = PAPER + noise
    found = occluders.occluded(np.arange(FRAMES), looks)[CROSSING.start : CROSSING.stop] / 255
    seen = looks[CROSSING.start : CROSSING.stop, :, 4] > 100
    assert found[:, sheet][seen[:, sheet]].mean() > 0.95
    assert found[:, ~sheet][seen[:, ~sheet]].mean() < 0.2


def test_without_the_frames_around_the_paper_would_be_taken_for_the_face(face, monkeypatch):
    monkeypatch.setattr(evidence, "light_beside", lambda *given: None)
    looks, _ = filmed(face)
    sheet = covered(0.75)
    looks[CROSSING.start : CROSSING.stop, sheet, :4] = PAPER
    found = occluders.occluded(np.arange(FRAMES), looks)[CROSSING.start : CROSSING.stop] / 255
    assert found[:, sheet].mean() < 0.2


def test_segments_of_any_length_give_the_same_bits(face):
    looks, _ = filmed(face)
    looks = np.concatenate([looks, looks[::-1], looks])
    frames, sheet = np.arange(len(looks)), covered(0.6)
    looks[90:99, sheet, :4] = PAPER
    whole = occluders.occluded(frames, looks)
    assert whole[94, sheet].mean() > 200
    for low, high in ((80, 92), (92, 93), (93, 140)):
        near = (frames >= low - look.REACH) & (frames < high + look.REACH)
        part = occluders.occluded(frames[near], looks[near])
        assert np.array_equal(part[(frames[near] >= low) & (frames[near] < high)], whole[low:high])


@pytest.mark.parametrize("light", [-25, 25])
def test_a_flash_is_nothing_that_stands_before_the_face(face, light):
    looks, _ = filmed(face)
    lit = looks[CROSSING.start : CROSSING.stop, :, 0].astype(int) + light
    looks[CROSSING.start : CROSSING.stop, :, 0] = np.clip(lit, 0, 255)
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    assert found[:, covered(0.9)].mean() < 0.02


LAMPS = np.array([[1.0, 0.3, 0.35], [0.3, 0.9, 0.4], [0.35, 0.35, 1.2], [1.0, 0.9, 0.3]])
LIGHTS = {
    "turned blue": lambda frame: LAMPS[2] if frame >= 35 else np.ones(3),
    "of a disco": lambda frame: LAMPS[frame // 6 % 4],
    "of the police": lambda frame: LAMPS[frame // 4 % 2 * 2],
}


@pytest.mark.parametrize("light", LIGHTS)
def test_light_of_another_colour_is_nothing_that_stands_before_the_face(face, light):
    looks, _ = filmed(face, colour=LIGHTS[light])
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    assert found.mean() < 0.04


@pytest.mark.parametrize("light", LIGHTS)
def test_a_thing_is_seen_in_light_of_changing_colour(face, light):
    looks, covers = filmed(face, occluders.cup(), colour=LIGHTS[light])
    found = occluders.occluded(np.arange(FRAMES), looks) / 255
    seen = looks[..., 4] > 100
    assert found[(covers > 0.9) & seen].mean() > 0.7
    assert found[(covers < 0.1) & seen].mean() < 0.06


def test_the_light_is_that_between_the_nearest_bare_frames_before_and_after(face):
    looks, _ = filmed(face, light=0.0)
    looks = np.repeat(looks[:1], FRAMES, 0)
    looks[:, :, 0] = np.clip(looks[:, :, 0].astype(int) // 2 + np.arange(FRAMES)[:, None], 0, 255)
    values, seen = unlike.planes(looks)
    middle, spread = values[35].copy(), np.repeat(np.float32([8, 2.2, 2.4, 0.45])[:, None], values.shape[2], 1)
    sheet = covered(0.6)
    values[CROSSING.start : CROSSING.stop, 0, : len(sheet)][:, sheet] = 228
    light = unlike.light_beside(36, np.arange(FRAMES), values, seen, seen[36], middle, spread)
    assert light is not None
    np.testing.assert_allclose(light[0, : len(sheet)], 1, atol=0.3)
    alone = slice(CROSSING.start, CROSSING.stop)
    frames = np.arange(FRAMES)[alone]
    assert unlike.light_beside(4, frames, values[alone], seen[alone], seen[36], middle, spread) is None


def test_what_hides_the_face_wholly_leaves_no_face_to_take_light_from(face):
    values, seen = unlike.planes(filmed(face)[0])
    middle, spread = values[0], np.repeat(np.float32([8, 2.2, 2.4, 0.45])[:, None], values.shape[2], 1)
    dark = np.zeros_like(values[0])
    assert unlike.face_under(dark, values[1], seen[1], middle, spread) is not None
    assert unlike.face_under(dark + 60, values[1], seen[1], middle, spread) is None
