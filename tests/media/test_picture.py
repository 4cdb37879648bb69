"""Pictures: what is read is what a player shows, what is written lands where it was read, and nothing else changes.

Coordinates: displayed pixels, centre of the first at (0, 0). A crop under the identity is the displayed frame itself.
"""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from vidswap.media import SegmentWriter, WriterOptions, probe, read
from vidswap.media.codecs import choose_pixel_format
from vidswap.media.picture import _rgb_of_codes, _to_bytes
from vidswap.media.planes import working_format

IDENTITY = np.eye(2, 3)
FFV1 = "ffv1"


def smooth(number: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3): colours that change slowly, so that chroma subsampling and resampling lose little."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    angle = 2 * np.pi * (x / width + y / height / 2 + number / 20)
    channels = [128 + 70 * np.sin(angle), 128 + 70 * np.cos(angle), 60 + 120 * x / width]
    return np.stack(channels, -1).astype(np.uint8)


def first(path, frame: int = 0):
    return next(iter(read(probe(path), frame, frame + 1)))


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] - (size - 1) / 2
    return np.clip(radius - np.hypot(x, y), 0, 1).astype(np.float32)


FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv420p12le",
    "yuv444p12le",
    "yuva420p",
    "yuva444p10le",
    "gray",
    "gray16le",
    "bgra",
    "bgr0",
    "gbrp10le",
]


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_an_identity_crop_shows_what_was_drawn(tmp_path, make_clip, pixel_format):
    path = make_clip(
        tmp_path / "a.mkv",
        1,
        codec=FFV1,
        pixel_format=pixel_format,
        size=(96, 64),
        image=smooth,
        tags=(1, 1, 1, 5) if pixel_format.startswith("yuv") else None,
    )
    crop = first(path).crop(IDENTITY, (96, 64)).astype(int)
    drawn = smooth(0, 96, 64).astype(int)
    if pixel_format.startswith("gray"):
        drawn = np.repeat(drawn @ np.array([0.299, 0.587, 0.114])[:, None], 3, axis=2)
    assert np.abs(crop - drawn).mean() < 2.0
    assert np.abs((crop - drawn).mean(axis=(0, 1))).max() < 1.6


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full_range", [False, True])
def test_matrix_and_range_of_the_tags_are_used(tmp_path, make_clip, ffmpeg, matrix, full_range):
    name = {1: "bt709", 5: "bt601", 9: "bt2020"}[matrix]
    drawn, path = tmp_path / "drawn.mkv", tmp_path / "a.mkv"
    make_clip(drawn, 1, codec=FFV1, pixel_format="bgr0", size=(96, 64), image=smooth)
    scale = f"scale=out_color_matrix={name}:out_range={'full' if full_range else 'limited'}:flags=accurate_rnd"
    tags = {1: "bt709", 5: "bt470bg", 9: "bt2020nc"}[matrix]
    options = ("-vf", f"{scale},format=yuv444p", "-colorspace", tags, "-color_range", "pc" if full_range else "tv")
    assert ffmpeg("-i", drawn, *options, "-c:v", "ffv1", path) == ""
    picture = first(path)
    difference = picture.crop(IDENTITY, (96, 64)).astype(int) - smooth(0, 96, 64)
    assert np.abs(difference).max() <= 2
    assert np.abs(picture.rgb(96, 64).astype(int) - smooth(0, 96, 64)).max() <= 3


@pytest.mark.parametrize(("height", "matrix"), [(576, "bt601"), (720, "bt709")])
def test_an_untagged_video_gets_the_matrix_that_players_guess(tmp_path, make_clip, ffmpeg, height, matrix):
    drawn, path = tmp_path / "drawn.mkv", tmp_path / "a.mkv"
    make_clip(drawn, 1, codec=FFV1, pixel_format="bgr0", size=(96, height), image=smooth)
    scale = f"scale=out_color_matrix={matrix}:flags=accurate_rnd,format=yuv444p"
    assert ffmpeg("-i", drawn, "-vf", scale, "-colorspace", "2", "-c:v", "ffv1", path) == ""
    crop = first(path).crop(IDENTITY, (96, height)).astype(int)
    assert np.abs(crop - smooth(0, 96, height)).max() <= 2


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p"])
def test_chroma_is_read_and_written_where_it_stands(tmp_path, make_clip, location, pixel_format):
    """A linear ramp in chroma has its value at the sample's place: a wrong siting shifts it by a quarter of a step."""
    import dataclasses

    from vidswap.media.colour import codes_from_rgb
    from vidswap.media.picture import PictureKind

    size = (96, 64)
    index = probe(make_clip(tmp_path / "a.mkv", 1, codec=FFV1, pixel_format=pixel_format, size=size, tags=(1, 1, 1, 5)))
    index = dataclasses.replace(index, colour=dataclasses.replace(index.colour, chroma_location=location))
    picture = PictureKind(index).picture(next(iter(read(index, 0, 1))).native, 0)
    y, x = np.mgrid[0:64, 0:96]
    ramp = np.stack([60 + 1.2 * x, np.full_like(x, 128), 40 + 1.5 * y], -1).astype(np.float32)
    picture.composite(IDENTITY, ramp, np.ones((64, 96), np.float32))
    dx, dy = {"left": (0.0, 0.5), "center": (0.5, 0.5), "topleft": (0.0, 0.0)}[location]
    step_y = 2 if pixel_format == "yuv420p" else 1
    rows, columns = np.mgrid[0 : 64 // step_y, 0:48]
    at = np.stack([60 + 1.2 * (2 * columns + dx), np.full(rows.shape, 128.0), 40 + 1.5 * (step_y * rows)], -1)
    if step_y == 2:
        at[:, :, 2] += 1.5 * dy
    expected = at @ codes_from_rgb(5, False, 8)[:, :3].T + codes_from_rgb(5, False, 8)[:, 3]
    for number in (1, 2):
        inner = (slice(3, -3), slice(3, -3))
        error = picture.planes[number][inner] - expected[:, :, number][inner]
        assert abs(error.mean()) < 0.1
        assert np.abs(error).max() <= 1.0
    assert np.abs(picture.crop(IDENTITY, size)[6:-6, 6:-6] - ramp[6:-6, 6:-6]).max() <= 3


ROUND = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "bgr0", "yuva420p"]


@pytest.mark.parametrize("pixel_format", ROUND)
def test_outside_alpha_every_bit_stays(tmp_path, make_clip, pixel_format):
    path = make_clip(tmp_path / "a.mkv", 3, codec=FFV1, pixel_format=pixel_format, size=(128, 96))
    index = probe(path)
    matrix = np.array([[0.8, 0.3, -20.0], [-0.3, 0.8, 10.0]])
    alpha = disc(64, 20)
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    before, written = list(read(index, 0, 3)), tmp_path / "out.nut"
    writer = SegmentWriter(written, index, WriterOptions(codec=FFV1))
    for picture in read(index, 0, 3):
        if picture.frame != 1:
            picture.composite(matrix, image, alpha)
        writer.add(picture)
    writer.close()
    y, x = np.mgrid[0:96, 0:128]
    inside = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    distance = np.hypot(inside[..., 0] - 31.5, inside[..., 1] - 31.5)
    changed = 0
    for old, new in zip(before, read(probe(written), 0, 3), strict=True):
        for number, (was, now) in enumerate(zip(old.planes, new.planes, strict=True)):
            far = distance[:: 96 // was.shape[0], :: 128 // was.shape[1]] > 24
            if old.frame == 1 or number >= old.layout.colour_planes:
                assert np.array_equal(was, now)
            else:
                assert np.array_equal(was[far], now[far])
                changed += int((was != now).sum())
    assert changed > 500


@pytest.mark.parametrize("pixel_format", ROUND)
@pytest.mark.parametrize("turn", [(0, False, False), (-90, False, False), (0, True, False), (90, True, False)])
def test_what_is_cropped_and_laid_back_changes_little(tmp_path, make_clip, pixel_format, turn):
    path = make_clip(
        tmp_path / "a.mov" if pixel_format == "yuv420p" else tmp_path / "a.mkv",
        1,
        codec="libx264" if pixel_format == "yuv420p" else FFV1,
        pixel_format=pixel_format,
        size=(128, 96),
        image=smooth,
        rotation=turn,
        tags=(1, 1, 1, 1),
    )
    index = probe(path)
    old, picture = (next(iter(read(index, 0, 1))) for _ in range(2))
    matrix = np.array([[1.0, 0.0, -16.0], [0.0, 1.0, -20.0]])
    picture.composite(matrix, picture.crop(matrix, (64, 48)), np.ones((48, 64), np.float32))
    step = 2 ** (picture.layout.bits - 8)
    for was, now in zip(old.planes, picture.planes, strict=True):
        difference = np.abs(was.astype(int) - now.astype(int))
        assert difference.max() <= 2 * step
        assert difference.mean() < 0.5 * step


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
def test_what_lay_in_memory_does_not_show_in_a_picture_painted_anew(tmp_path, make_clip, monkeypatch, pixel_format):
    from vidswap.media import picture as pictures
    from vidswap.media.planes import layout, plane_views

    index = probe(make_clip(tmp_path / "a.mkv", 1, codec=FFV1, pixel_format=pixel_format, size=(1280, 720)))
    kind, new = pictures.PictureKind(index), pictures.av.VideoFrame
    image = np.random.default_rng(0).uniform(0, 255, (720, 1280, 3)).astype(np.float32)
    painted = []
    for left_behind in (0, 255):

        def used(*shape, left_behind=left_behind):
            frame = new(*shape)
            for plane in plane_views(frame, layout(frame.format.name)):
                plane[...] = left_behind * (4 if plane.dtype == np.uint16 else 1)
            return frame

        picture = first(tmp_path / "a.mkv")
        monkeypatch.setattr(pictures.av, "VideoFrame", used)
        picture.repaint(kind, image)
        monkeypatch.undo()
        painted.append(plane_views(picture.native, kind.layout))
    for one, other in zip(*painted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_decoders_own_frames_are_not_written_into(tmp_path, make_clip):
    """Frames that later frames are predicted from must stay as they were."""
    path = make_clip(tmp_path / "a.mp4", 12, options={"g": "12", "bf": "2"})
    index = probe(path)
    plain = [p.planes[0].copy() for p in read(index, 0, 12)]
    for picture in read(index, 0, 12):
        assert np.array_equal(picture.planes[0], plain[picture.frame])
        picture.composite(IDENTITY, np.full((96, 160, 3), 255, np.uint8), np.ones((96, 160), np.float32))


def test_rotation_and_aspect_ratio_turn_crop_and_overview_alike(tmp_path, make_clip):
    drawn = smooth(0, 120, 96)
    for turn, upright in (
        ((0, False, False), drawn),
        ((-90, False, False), np.rot90(drawn, -1)),
        ((90, False, False), np.rot90(drawn)),
        ((180, False, False), drawn[::-1, ::-1]),
        ((0, True, False), drawn[:, ::-1]),
        ((0, False, True), drawn[::-1]),
    ):
        path = make_clip(
            tmp_path / "a.mov", 1, size=(120, 96), rotation=turn, image=smooth, options={"crf": "1"}, tags=(1, 1, 1, 5)
        )
        picture = first(path)
        height, width = upright.shape[:2]
        assert (picture.width, picture.height) == (width, height)
        assert np.abs(picture.crop(IDENTITY, (width, height)).astype(int) - upright).mean() < 2
        assert np.abs(picture.rgb(width, height).astype(int) - upright).mean() < 2


def test_non_square_pixels_are_seen_square(tmp_path, make_clip):
    path = make_clip(
        tmp_path / "a.mp4",
        1,
        size=(120, 96),
        image=smooth,
        sample_aspect_ratio=Fraction(4, 3),
        options={"crf": "1"},
        tags=(1, 1, 1, 5),
    )
    picture = first(path)
    assert (picture.width, picture.height) == (160, 96)
    wide = smooth(0, 160, 96).astype(int)
    assert np.abs(picture.crop(IDENTITY, (160, 96)) - wide).mean() < 2
    assert np.abs(picture.rgb(160, 96) - wide).mean() < 2


def test_a_shrunk_crop_does_not_alias(tmp_path, make_clip):
    """Stripes of one pixel become even grey when four frame pixels go into one."""

    def stripes(number: int, width: int, height: int) -> np.ndarray:
        return np.broadcast_to((np.arange(width) % 2 * 200 + 20)[None, :, None], (height, width, 3)).astype(np.uint8)

    path = make_clip(tmp_path / "a.mkv", 1, codec=FFV1, pixel_format="yuv444p", image=stripes)
    for factor in (1.6, 2.3, 4.0, 5.7):
        crop = first(path).crop(IDENTITY / factor, (int(150 / factor), int(90 / factor))).astype(float)
        assert crop[2:-2, 2:-2].std() < (30 if factor < 2 else 12)
        assert abs(crop.mean() - 120) < 4


def test_beyond_the_frame_edge_pixels_go_on(tmp_path, make_clip):
    picture = first(make_clip(tmp_path / "a.mkv", 1, codec=FFV1, pixel_format="yuv444p", image=smooth))
    whole = picture.crop(IDENTITY, (160, 96))
    shifted = picture.crop(np.array([[1.0, 0, 30], [0, 1.0, 20]]), (220, 140))
    assert np.array_equal(shifted[20:116, 30:190], whole)
    assert np.array_equal(shifted[60, :30], np.repeat(whole[40, :1], 30, axis=0))
    far = picture.crop(np.array([[1.0, 0, 5000], [0, 1.0, 5000]]), (8, 8))
    assert np.abs(far.astype(int) - whole[0, 0]).max() <= 1


def test_an_image_outside_the_frame_changes_nothing(tmp_path, make_clip):
    path = make_clip(tmp_path / "a.mkv", 1, codec=FFV1)
    old, picture = first(path), first(path)
    for offset in (-5000.0, 5000.0):
        shifted = np.array([[1.0, 0, offset], [0, 1.0, offset]])
        picture.composite(shifted, np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32))
    picture.composite(IDENTITY, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(old.planes, picture.planes, strict=True))


def test_strength_blends_in_between(tmp_path, make_clip):
    picture = first(make_clip(tmp_path / "a.mkv", 1, codec=FFV1, pixel_format="yuv444p", image=smooth))
    before = picture.crop(IDENTITY, (160, 96)).astype(float)
    image = np.full((96, 160, 3), 90.0, np.float32)
    picture.composite(IDENTITY, image, np.full((96, 160), 0.25, np.float32))
    assert np.abs(picture.crop(IDENTITY, (160, 96)) - (0.75 * before + 0.25 * 90)).max() < 4


ODD_CHOICES = [
    ("libx264", "yuv420p", (160, 96), "yuv420p"),
    ("libx264", "yuv420p", (160, 97), "yuv422p"),
    ("libx264", "yuv420p", (161, 97), "yuv444p"),
    ("libx264", "yuv420p10le", (160, 96), "yuv420p10le"),
    ("libx264", "yuv420p12le", (160, 96), "yuv420p10le"),
    ("libx264", "gbrap", (160, 96), "yuv420p"),
    ("libx264", "yuvj420p", (160, 96), "yuvj420p"),
    ("libx265", "yuv422p12le", (160, 96), "yuv422p12le"),
    ("libsvtav1", "yuv444p", (160, 96), "yuv420p"),
    ("libvpx-vp9", "yuva420p", (161, 97), "yuva420p"),
    ("prores_ks", "yuv420p", (160, 96), "yuv422p10le"),
    ("prores_ks", "yuva444p10le", (160, 96), "yuva444p10le"),
    ("ffv1", "gbrap", (160, 96), "bgra"),
    ("ffv1", "gbrp", (160, 96), "bgr0"),
]


@pytest.mark.parametrize(("codec", "source", "size", "wanted"), ODD_CHOICES)
def test_the_pixel_format_is_the_nearest_that_the_encoder_has(codec, source, size, wanted):
    assert choose_pixel_format(codec, source, *size) == wanted


@pytest.mark.parametrize("floats", ["gbrpf32le", "gbrapf32le", "grayf32le"])
def test_pictures_of_floats_are_worked_on_at_16_bits(floats):
    assert working_format(floats).endswith("16le")


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (63, 1), (64, 5), (65, 9), (200, 33)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_of_strips_are_those_of_the_whole_at_once(planes, shape, dtype):
    random = np.random.default_rng(3)
    top = 256 if dtype == np.uint8 else 1024
    codes = [random.integers(0, top, shape).astype(dtype) for _ in range(planes)]
    matrix = random.uniform(-1.5, 1.5, (3, planes + 1))
    matrix[:, -1] *= 100
    whole = np.stack(codes, -1).astype(np.float64) @ matrix[:, :-1].T + matrix[:, -1]
    found = _rgb_of_codes(codes, matrix)
    assert found.shape == (*shape, 3)
    assert found.dtype == np.uint8
    assert np.abs(found - np.clip(whole, 0, 255)).max() <= 0.5 + 1e-3
    at_once = cv2.transform(cv2.merge([c.astype(np.float32) for c in codes]), matrix)
    assert np.array_equal(found, _to_bytes(at_once).reshape(found.shape))
