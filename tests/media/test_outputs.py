"""What a name asks to be written, and what must not be written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidswap.graph.errors import InputError
from vidswap.media import outputs
from vidswap.media.outputs import OutputKind


@pytest.mark.parametrize(
    ("name", "kind", "suffix", "codec"),
    [
        ("a.mp4", OutputKind.CONTAINER, ".mp4", "libx264"),
        ("a.b.MKV", OutputKind.CONTAINER, ".mkv", "libx264"),
        ("a.webm", OutputKind.CONTAINER, ".webm", "libvpx-vp9"),
        ("a.gif", OutputKind.ANIMATION, ".gif", "ffv1"),
        ("a.png", OutputKind.ANIMATION, ".png", "ffv1"),
        ("a_%05d.jpg", OutputKind.IMAGES, ".jpg", "ffv1"),
        ("folder", OutputKind.IMAGES, ".png", "ffv1"),
        ("a.jpg", OutputKind.IMAGES, ".jpg", "ffv1"),
    ],
)
def test_a_name_says_what_is_written(tmp_path, name, kind, suffix, codec):
    found = outputs.output_of(tmp_path / name)
    assert (found.kind, found.suffix, found.codec) == (kind, suffix, codec)
    assert found.folder == (name == "folder") and found.single == (name == "a.jpg")
    assert outputs.is_image_output(tmp_path / name) == (name in ("folder", "a_%05d.jpg"))


def test_a_folder_that_is_there_is_one_whatever_its_name(tmp_path):
    (tmp_path / "take.mp4").mkdir()
    assert outputs.output_of(tmp_path / "take.mp4").folder


@pytest.mark.parametrize("name", ["a.txt", "a_%03d.mp4", "a.bmp", "a.mp"])
def test_other_names_are_refused_with_those_that_are_written(name):
    with pytest.raises(InputError, match=r"cannot write .*(\.mp4|\.jpg)"):
        outputs.output_of(Path(name))


def numbered(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder_of_ones_own_pictures_goes_with_overwrite_alone(tmp_path):
    own = numbered(tmp_path / "own", "000001.png", "000002.png", outputs.NOTES_FILE)
    with pytest.raises(InputError, match="holds 3 pictures; --overwrite replaces them"):
        outputs.check_image_output(own, False)
    outputs.check_image_output(own, True)
    outputs.check_image_output(tmp_path / "new", False)
    outputs.check_image_output(numbered(tmp_path / "empty"), False)


@pytest.mark.parametrize("name", ["holiday.png", "1.txt", "000001.mp4"])
def test_a_folder_with_anything_else_is_never_emptied(tmp_path, name):
    folder = numbered(tmp_path / "mixed", "000001.png", name)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=f"holds other files .{name}"):
            outputs.check_image_output(folder, overwrite)
    (numbered(tmp_path / "deep", "000001.png") / "2.png").mkdir()
    with pytest.raises(InputError, match="holds other files"):
        outputs.check_image_output(tmp_path / "deep", True)


def test_of_a_pattern_the_files_that_it_matches_count(tmp_path):
    numbered(tmp_path, "a_001.png", "a_12.png", "b_003.png", "a_x.png")
    pattern = tmp_path / "a_%03d.png"
    assert outputs.occupied(pattern) and not outputs.occupied(tmp_path / "c_%03d.png")
    with pytest.raises(InputError, match="matches 1 files that exist; --overwrite replaces them"):
        outputs.check_image_output(pattern, False)
    outputs.check_image_output(pattern, True)
    assert outputs.standing_for(pattern) == tmp_path / "a_001.png"
    assert outputs.standing_for(tmp_path / "a.mp4") == tmp_path / "a.mp4"


def test_what_lies_there_occupies_a_place(tmp_path):
    assert not outputs.occupied(tmp_path / "a.mp4") and not outputs.occupied(numbered(tmp_path / "empty"))
    assert outputs.occupied(numbered(tmp_path / "full", "1.png")) and outputs.occupied(tmp_path / "full" / "1.png")
