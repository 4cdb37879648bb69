"""The demo's clip: deterministic footage of a head that turns, speaks and blinks, with sound."""

import av
import cv2
import numpy as np
import pytest

from vidswap.demo import portrait
from vidswap.demo.clip import frames, make_clip, pose_at
from vidswap.demo.make import make_demo
from vidswap.graph.errors import InputError


def test_the_clip_is_h264_with_aac_of_the_length_asked(tmp_path):
    path = make_clip(portrait("astronaut"), tmp_path / "clip.mp4", seconds=0.8, rate=25, size=(320, 240))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.pix_fmt) == (320, 240, "yuv420p")
        assert video.average_rate == 25
        assert float(audio.duration * audio.time_base) == pytest.approx(0.8, abs=0.03)
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video)]
        container.seek(0)
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio)], axis=-1)
    assert len(decoded) == 20
    assert np.abs(sound).max() > 0.05


def test_equal_calls_make_equal_files(tmp_path):
    one, two = (
        make_clip(portrait("astronaut"), tmp_path / name, seconds=0.2, size=(160, 120)) for name in ("1.mp4", "2.mp4")
    )
    assert one.read_bytes() == two.read_bytes()


def test_the_first_frames_do_not_depend_on_the_length():
    short = list(frames(portrait("astronaut"), 2, size=(160, 120)))
    longer = list(frames(portrait("astronaut"), 3, size=(160, 120)))
    for a, b in zip(short, longer, strict=False):
        np.testing.assert_array_equal(a, b)


def test_four_seconds_turn_the_head_both_ways_and_open_mouth_and_close_eyes():
    poses = [pose_at(i / 25) for i in range(100)]
    yaw = [p.yaw for p in poses]
    assert min(yaw) < -18
    assert max(yaw) > 18
    assert max(p.jaw for p in poses) > 0.2
    assert max(p.blink for p in poses) > 0.9
    assert max(p.pitch for p in poses) - min(p.pitch for p in poses) > 6


def test_the_camera_shows_no_border_of_the_portrait():
    """Mirrored margins would show as symmetric stripes; the window must lie inside the portrait at all times."""
    from vidswap.demo.clip import _CLOSEST, _PAN, _framing

    size = (640, 480)
    for shape in ((512, 512), (600, 512), (2000, 500), (500, 2000)):
        landmarks = np.full((478, 3), 250.0)
        landmarks[152, 1] += 90
        landmarks[10, 1] -= 90
        scale, corner = _framing(shape, landmarks, size)
        window = np.array(size) / scale
        slack = np.array([_PAN * window[0], _PAN / 2 * window[0]])
        assert _CLOSEST >= 1
        assert (corner - slack >= -1e-6).all()
        assert (corner + window + slack <= np.array(shape[::-1]) + 1e-6).all()


def test_a_portrait_without_a_face_is_refused_in_one_line(tmp_path):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((256, 256, 3), 128, np.uint8))
    with pytest.raises(InputError, match="no face found in"):
        make_clip(blank, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == [blank]
    with pytest.raises(InputError, match="cannot read a picture from"):
        make_clip(tmp_path / "nothing.jpg", tmp_path / "clip.mp4")


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even size"):
        make_clip(portrait("astronaut"), portrait("astronaut"), size=(641, 480))


def test_the_demo_names_two_different_people(tmp_path):
    made = make_demo(tmp_path, seconds=0.2)
    assert made.target.parent == tmp_path
    assert made.target.is_file()
    assert made.source.is_file()
    assert made.source.stem not in made.target.stem


def test_poses_are_recovered_by_the_landmark_model():
    """What the clip is for: a detector sees a head that turns and a mouth that opens."""
    from vidswap.demo.clip import _Still
    from vidswap.faces.detection import find_faces
    from vidswap.faces.mediapipe_models import load_face_model
    from vidswap.faces.pose import head_pose

    wanted = {0: None, 25: None, 64: None, 74: None}
    for index, rgb in enumerate(frames(portrait("astronaut"), 75, size=(320, 240))):
        if index in wanted:
            wanted[index] = rgb
    model = load_face_model()
    found = {}
    for index, rgb in wanted.items():
        faces = find_faces(_Still(rgb), model)
        assert len(faces) == 1, index
        found[index] = faces.landmarks[0]
    model.close()
    yaw = {index: float(head_pose(points)[0]) for index, points in found.items()}
    assert yaw[25] - yaw[0] > 12
    assert yaw[74] - yaw[0] < -12

    def opening(points):
        return np.linalg.norm(points[13, :2] - points[14, :2]) / np.linalg.norm(points[468, :2] - points[473, :2])

    assert opening(found[64]) - opening(found[0]) > 0.15
