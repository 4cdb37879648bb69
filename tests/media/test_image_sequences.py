"""Folders of images and printf patterns as videos."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from vidswap.graph.errors import InputError
from vidswap.media import Reader, probe, trim
from vidswap.media.image_sequences import natural_key, numbered_name, numbers_of, sequence_hash


def picture(number, size=(64, 48), mode="RGB"):
    image = np.full((size[1], size[0], 3), 20, np.uint8)
    image[:, 4 * number : 4 * number + 4] = (200, 100, 10 * number)
    return Image.fromarray(image).convert(mode)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "shots"
    made.mkdir()
    for number in (1, 2, 3, 9, 10, 11):
        picture(number).save(made / f"im{number}.png")
    (made / "Thumbs.db").write_bytes(b"no picture")
    (made / ".hidden.png").write_bytes(b"no picture")
    return made


def columns(index, start=0, stop=None):
    """Where the bright column of each frame stands."""
    with Reader(index) as reader:
        read = reader.read(start, index.frame_count if stop is None else stop)
        found = [int(p.rgb(index.width, index.height)[0, :, 0].argmax()) // 4 for p in read]
        return found, reader.take_warnings()


def test_a_folder_is_a_video_in_natural_order(folder):
    index = probe(folder)
    assert (index.frame_count, index.rate, index.variable_rate) == (6, 25, False)
    assert (index.width, index.height, index.working_format) == (64, 48, "gbrp")
    assert columns(index) == ([1, 2, 3, 9, 10, 11], [])
    assert columns(index, 4, 5) == ([10], [])


def test_pictures_keep_an_exact_rate(folder):
    index = probe(folder, image_rate=Fraction(24000, 1001))
    assert [index.pts[5] * index.time_base, index.rate] == [Fraction(5 * 1001, 24000), Fraction(24000, 1001)]
    assert trim(index, "2f", "4f").frame_count == 2
    assert columns(trim(index, "2f", "4f"))[0] == [3, 9]


def test_one_picture_far_back_is_read_without_those_before(folder):
    index = probe(folder)
    for name in ("im1.png", "im2.png", "im3.png"):
        (folder / name).unlink()
    assert columns(index, 4, 6)[0] == [10, 11]


def test_natural_order_counts_numbers_and_not_digits():
    names = ["b1.png", "a10.png", "a2.png", "a02.png", "A1.png"]
    assert sorted(names, key=natural_key) == ["A1.png", "a02.png", "a2.png", "a10.png", "b1.png"]


def test_kinds_of_pictures_may_be_mixed_and_the_richest_is_kept(folder):
    picture(2).save(folder / "im2.jpg", quality=95)
    (folder / "im2.png").unlink()
    picture(3, mode="RGBA").save(folder / "im3.png")
    index = probe(folder)
    assert index.pixel_format == "rgba"
    assert columns(index) == ([1, 2, 3, 9, 10, 11], [])


def test_sixteen_bits_are_kept(tmp_path):
    import cv2

    deep = np.arange(48 * 64 * 3, dtype=np.uint16).reshape(48, 64, 3) * 7
    cv2.imwrite(str(tmp_path / "a1.png"), deep)
    index = probe(tmp_path)
    with Reader(index) as reader:
        green, blue, red = next(iter(reader.read(0, 1))).planes
    assert index.bit_depth == 16
    assert np.array_equal(np.stack([blue, green, red], -1), deep)


def test_a_pattern_begins_with_the_first_number_there_is(tmp_path):
    for number in (7, 8, 9):
        picture(number).save(tmp_path / f"s_{number:04d}.png")
    picture(1).save(tmp_path / "s_12.png")
    assert columns(probe(tmp_path / "s_%04d.png"))[0] == [7, 8, 9]
    assert numbers_of(tmp_path / "s_%d.png") == [12]
    assert numbered_name(tmp_path / "s_%04d.png", 12345).name == "s_12345.png"


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    picture(5).save(tmp_path / "100%d.png")
    assert probe(tmp_path / "100%d.png").frame_count == 1


@pytest.mark.parametrize(
    ("spoil", "name", "says"),
    [
        (lambda f: [p.unlink() for p in f.glob("*.png")], "", "is a folder without pictures"),
        (lambda f: picture(2, (62, 48)).save(f / "im2.png"), "", r"im2\.png has 62x48 pixels, im1\.png 64x48"),
        (lambda f: None, "im%d.png", r"im4\.png is missing: .* goes on with 9"),
        (lambda f: None, "x%d.png", "no file matches the pattern"),
        (lambda f: None, "nowhere/x%d.png", "there is no folder"),
        (lambda f: [p.write_bytes(b"x") for p in f.glob("im*.png")], "", "im1.png has no video stream"),
    ],
)
def test_what_is_no_sequence_is_told_in_one_line(folder, spoil, name, says):
    spoil(folder)
    with pytest.raises(InputError, match=says) as caught:
        probe(folder / name if name else folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", ["im1.png", "im9.png", "im11.png"])
def test_a_broken_picture_is_concealed_and_named(folder, broken):
    whole = (folder / broken).read_bytes()
    (folder / broken).write_bytes(whole[:60])
    index = probe(folder)
    found, (warning,) = columns(index)
    assert len(found) == 6
    assert broken in warning and "concealed" in warning
    number = ["im1.png", "im2.png", "im3.png", "im9.png", "im10.png", "im11.png"].index(broken)
    assert columns(index, number, number + 1)[0] == found[number : number + 1]


def test_a_changed_or_renamed_picture_changes_the_hash(folder):
    before = probe(folder).content_hash
    assert probe(folder).content_hash == before
    picture(4).save(folder / "im3.png")
    changed = probe(folder).content_hash
    (folder / "im11.png").rename(folder / "im12.png")
    assert len({before, changed, probe(folder).content_hash}) == 3


def test_the_hash_of_large_sequences_still_sees_a_changed_picture(folder, monkeypatch):
    monkeypatch.setattr("vidswap.media.image_sequences._WHOLE_HASH_BYTES", 10)
    files = sorted(folder.glob("im*.png"))
    before = sequence_hash(files)
    picture(4).save(folder / "im3.png")
    assert before.startswith("sampled-sha256:")
    assert sequence_hash(files) != before
