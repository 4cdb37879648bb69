"""What a person wears or holds before the face stays in the swapped video, told by masks of what was put on."""

import cv2
import numpy as np
import occluders
import pytest
from cli_media import decoded, moving_portrait, write_clip

FRAMES = 20


@pytest.fixture
def swapped(vidswap, grace, tmp_path):
    """Swaps a moving picture, and gives of each frame what changed, the face and where the mask is."""

    def swap(picture, mask):
        target = write_clip(tmp_path / "worn.mp4", [moving_portrait(picture, i, scale=1.0) for i in range(FRAMES)])
        code, _, err = vidswap("swap", "-s", grace, "-t", target, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "-q")
        assert code == 0, err
        both = zip(decoded(target, "gray")[0], decoded(tmp_path / "out.mkv", "gray")[0], strict=True)
        for frame, (before, after) in enumerate(both):
            changed = np.abs(before.astype(int) - after)
            face = cv2.morphologyEx((changed > 6).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
            assert face.sum() > 1500
            yield changed > 20, face, moving_portrait(mask.astype(np.float32), frame, scale=1.0) > 0.95

    return swap


@pytest.mark.parametrize(("colour", "lenses"), [((24, 22, 24), False), ((28, 27, 30), True)])
def test_black_frames_and_dark_lenses_stay(swapped, astronaut, astronaut_landmarks, colour, lenses):
    worn = occluders.plastic_glasses(astronaut, astronaut_landmarks, colour, lenses)
    for changed, face, rim in swapped(*worn):
        # A twentieth of the face is what the issue allows; rims alone are more.
        assert (changed & rim).sum() < 0.05 * face.sum()
        assert (changed & rim).sum() < 0.25 * rim.sum()


def microphone(picture, points):
    """A microphone held before mouth and chin."""
    thing = occluders.microphone()
    return occluders.put(picture, thing, tuple(points[152, :2]), float(np.ptp(points[:, 0])) * thing.width)


@pytest.mark.parametrize("put", [occluders.surgical_mask, occluders.fringe, microphone])
def test_what_is_there_all_along_stays(swapped, astronaut, astronaut_landmarks, put):
    for changed, face, thing in swapped(*put(astronaut, astronaut_landmarks)):
        assert (changed & thing).sum() < 0.05 * np.count_nonzero(thing | (face > 0))
        assert (changed & thing).sum() < 0.25 * thing.sum()
