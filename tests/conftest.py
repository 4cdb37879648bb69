"""Fixtures that all tests share: the two shipped portraits, and the folder `shared` where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidswap.demo import portrait


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
