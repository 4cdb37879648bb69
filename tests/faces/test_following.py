import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidswap.faces import detection, following
from vidswap.faces.detection import DetectionOptions, Faces, find_faces, overview
from vidswap.faces.following import Follower, follow_faces

KEYFRAMES = np.array([0, 11], np.int64)
LARGEST = DetectionOptions(largest=True)
LENGTH = 20


@pytest.fixture(scope="module")
def frames(astronaut, grace_hopper, as_picture):
    """A man who moves, from frame 5 on a woman who moves, and nobody in frames 15 and 16."""
    pictures = []
    for i in range(LENGTH):
        image = grace_hopper[:512] if i < 5 else astronaut
        shift = np.array([[1.0, 0.0, 2.0 * i], [0.0, 1.0, 1.5 * (i % 4)]])
        moved = cv2.warpAffine(image, shift, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        pictures.append(as_picture(np.full_like(moved, 120) if i in (15, 16) else moved, i))
    return pictures


def follower(frames, model, every: int = 4) -> Follower:
    return Follower(model, LARGEST, every, KEYFRAMES, lambda start, stop: frames[start:stop])


def faces_of(frames, model, start: int, stop: int) -> list[Faces]:
    follow = follower(frames, model)
    return [follow(i, frames[i], overview(frames[i])) for i in range(start, stop)]


@pytest.fixture(scope="module")
def whole(frames, face_model):
    return faces_of(frames, face_model, 0, LENGTH)


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(1, LENGTH - 1), max_size=3))
def test_reading_that_begins_anywhere_gives_the_same_faces(frames, face_model, whole, cuts):
    edges = sorted({0, LENGTH, *cuts})
    pieces = [f for a, b in zip(edges[:-1], edges[1:], strict=True) for f in faces_of(frames, face_model, a, b)]
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one.landmarks, other.landmarks)
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.boxes, other.boxes)


def test_followed_faces_are_those_that_a_search_finds(frames, face_model, whole):
    for picture, followed in zip(frames, whole, strict=True):
        searched = find_faces(picture, face_model, LARGEST)
        assert len(followed) == len(searched)
        for mine, theirs in zip(followed.landmarks, searched.landmarks, strict=True):
            apart = np.linalg.norm((mine - theirs)[:, :2], axis=1).mean()
            assert apart < 0.02 * np.ptp(theirs[:, 1])


def test_most_frames_are_not_searched(frames, face_model, monkeypatch):
    searched = []
    real = detection.find_faces

    def counted(picture, *given):
        searched.append(picture.frame)
        return real(picture, *given)

    monkeypatch.setattr(following, "find_faces", counted)
    faces_of(frames, face_model, 0, LENGTH)
    # Runs begin at 0, 4, 8, 11, 15 and 19; frame 5 is a cut; 15 is empty, so that the frames after it are searched.
    assert searched == [0, 4, 5, 8, 11, 15, 16, 17, 19]


def test_a_face_that_is_gone_is_in_doubt(frames, face_model):
    before = find_faces(frames[14], face_model)
    assert follow_faces(frames[15], face_model, before) is None
    assert len(follow_faces(frames[13], face_model, before)) == 1


def test_two_meshes_on_one_face_are_in_doubt(frames, face_model):
    one = find_faces(frames[8], face_model)
    twice = Faces(np.repeat(one.boxes, 2, 0), np.repeat(one.scores, 2), np.repeat(one.landmarks, 2, 0))
    assert follow_faces(frames[8], face_model, twice) is None


def test_runs_begin_at_keyframes_and_every_so_often_after(frames, face_model):
    follow = follower(frames, face_model)
    assert [follow.run_start(i) for i in range(17)] == [0] * 4 + [4] * 4 + [8] * 3 + [11] * 4 + [15] * 2
