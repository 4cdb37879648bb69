import numpy as np
import pytest

from vidswap.faces.mediapipe_packets import landmarks_in


def test_landmarks_read_from_bytes_are_those_of_the_objects():
    pytest.importorskip("mediapipe")
    from mediapipe.framework.formats import landmark_pb2

    points = np.random.default_rng(3).random((478, 3)).astype(np.float32)
    message = landmark_pb2.NormalizedLandmarkList()
    for x, y, z in points:
        message.landmark.add(x=x, y=y, z=z)
    assert np.array_equal(landmarks_in(message.SerializeToString()), points)
    message.landmark[5].visibility = 0.5
    assert landmarks_in(message.SerializeToString()) is None
    message.landmark[5].ClearField("visibility")
    message.landmark[5].ClearField("z")
    assert landmarks_in(message.SerializeToString()) is None
    assert landmarks_in(b"") is None
