"""Stamps: a file that was changed, or one picture of many, has another one."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np

from vidswap.runtime.stamps import stamp


def test_a_file_is_its_path_size_and_time(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    assert stamp(path) == [str(path), 5, path.stat().st_mtime_ns]
    before = stamp(path)
    path.write_bytes(b"123456")
    assert stamp(path)[:2] == [before[0], 6]
    os.utime(path, ns=(1, 1))
    assert stamp(path) == [str(path), 6, 1]


def test_what_is_not_there_is_its_path(tmp_path):
    assert stamp(tmp_path / "none.mp4") == [str(tmp_path / "none.mp4")]
    assert stamp(tmp_path / "none_%03d.png") == [str(tmp_path / "none_%03d.png")]


def test_of_a_folder_of_pictures_each_counts(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 8, 3), 40 * number, np.uint8))
    before = stamp(folder)
    assert len(before) == 2 and stamp(folder) == before
    os.utime(folder / "1.png", ns=(7, 7))
    touched = stamp(folder)
    assert touched != before
    shutil.copy(folder / "0.png", folder / "3.png")
    assert stamp(folder) not in (before, touched)
    # What is no picture is not read, and says nothing.
    there = stamp(folder)
    (folder / "notes.txt").write_text("a")
    assert stamp(folder) == there
