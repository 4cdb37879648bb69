"""What stands before a face all along stays before the swapped one, told by masks of what was put there."""

import cv2
import numpy as np
import occluders
import pytest
from cli_media import decoded, moving_portrait, write_clip

FRAMES = 20


def chin_held(picture, points):
    """A microphone held before mouth and chin."""
    thing = occluders.microphone()
    return occluders.put(picture, thing, tuple(points[152, :2]), float(np.ptp(points[:, 0])) * thing.width)


@pytest.mark.parametrize("put", [occluders.surgical_mask, occluders.fringe, chin_held])
def test_what_is_there_all_along_stays(vidswap, astronaut, astronaut_landmarks, grace, tmp_path, put):
    worn, mask = put(astronaut, astronaut_landmarks)
    target = write_clip(tmp_path / "worn.mp4", [moving_portrait(worn, i, scale=1.0) for i in range(FRAMES)])
    code, _, err = vidswap("swap", "-s", grace, "-t", target, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "-q")
    assert code == 0, err
    covers = [moving_portrait(mask.astype(np.float32), i, scale=1.0) for i in range(FRAMES)]
    for before, after, cover in zip(
        decoded(target, "gray")[0], decoded(tmp_path / "out.mkv", "gray")[0], covers, strict=True
    ):
        changed = np.abs(before.astype(int) - after)
        face = cv2.morphologyEx((changed > 6).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
        assert face.sum() > 1500
        assert ((cover > 0.95) & (changed > 20)).sum() < 0.05 * (face.sum() + (cover > 0.95).sum())
