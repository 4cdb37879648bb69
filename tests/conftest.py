"""Fixtures that all tests share: the two shipped portraits, and the folder `shared` where it is at hand."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from stores import bucket, cache, memory, s3_server

from vidswap.demo import portrait
from vidswap.faces.models import FaceModel

__all__ = ["bucket", "cache", "memory", "s3_server"]

# Machines that run tests are shared: threads of torch (not imported yet) would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests start hundreds of processes: without bytecode beside it, each would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A shell that runs the tests in the background has them ignore interrupts, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)
# And how long an example takes says nothing.
settings.register_profile("vidswap", deadline=None)
settings.load_profile("vidswap")


def _read_rgb(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, f"{path} is not readable"
    return np.ascontiguousarray(image[:, :, ::-1])


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of facts, fixtures and footage beside the repository, or $VIDSWAP_SHARED; without it, skip."""
    named = os.environ.get("VIDSWAP_SHARED")
    path = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"no shared folder at {path} (set VIDSWAP_SHARED)")
    return path


@pytest.fixture(scope="session")
def media(shared: Path) -> Path:
    """Real footage and portraits (`shared/media`); without them, skip."""
    path = shared / "media"
    if not path.is_dir():
        pytest.skip(f"no footage at {path}")
    return path


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, a frontal face of about 110 px."""
    return _read_rgb(portrait("astronaut"))


@pytest.fixture(scope="session")
def grace_hopper() -> np.ndarray:
    """(600, 512, 3) uint8 RGB, a nearly frontal face of about 180 px."""
    return _read_rgb(portrait("grace_hopper"))


class ArrayPicture:
    """A frame held as one RGB array, with what `vidswap.faces` asks of a picture."""

    def __init__(self, image: np.ndarray, frame: int = 0) -> None:
        self.image, self.frame, self.pts = np.ascontiguousarray(image), frame, 512 * frame
        self.height, self.width = image.shape[:2]

    def rgb(self, width: int, height: int) -> np.ndarray:
        return cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA)

    def crop(self, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        shrink = max(1, int(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
        small = self.rgb(-(-self.width // shrink), -(-self.height // shrink))
        scale = np.array([self.width / small.shape[1], self.height / small.shape[0]])
        whole = np.vstack([np.hstack([np.diag(scale), (0.5 * scale - 0.5)[:, None]]), [0, 0, 1]])
        return cv2.warpAffine(small, matrix @ whole, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="session")
def as_picture() -> Callable[..., ArrayPicture]:
    """Makes a picture of an RGB array: `as_picture(image, frame=0)`."""
    return ArrayPicture


@pytest.fixture(scope="session")
def face_model() -> Iterator[FaceModel]:
    """The models of the wheel, loaded once."""
    from vidswap.faces.mediapipe_models import load_face_model

    model = load_face_model()
    yield model
    model.close()


@pytest.fixture(scope="session")
def astronaut_landmarks(astronaut: np.ndarray, face_model: FaceModel) -> np.ndarray:
    """(478, 3) float32 landmarks of the astronaut's face."""
    from vidswap.faces.detection import find_faces

    return find_faces(ArrayPicture(astronaut), face_model).landmarks[0]


@pytest.fixture(scope="session")
def clip_frames(media: Path) -> Callable[..., list[np.ndarray]]:
    """Reads RGB frames of a clip in shared/media: `clip_frames(name, step=1, stop=None)`."""
    import av

    def read(name: str, step: int = 1, stop: int | None = None) -> list[np.ndarray]:
        with av.open(str(media / name)) as container:
            frames = []
            for index, frame in enumerate(container.decode(video=0)):
                if stop is not None and index >= stop:
                    break
                if index % step == 0:
                    frames.append(frame.to_ndarray(format="rgb24"))
        return frames

    return read


@pytest.fixture(scope="session")
def one_thread():
    """Of torch: tests run side by side on shared machines, where several threads each would wait for one another."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
