"""What an encoder cannot keep is told before any work, and only that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vidswap.media import WriterOptions, probe
from vidswap.media.codecs import choose_pixel_format
from vidswap.media.containers import container_of
from vidswap.media.losses import losses


@pytest.fixture(scope="module")
def index(tmp_path_factory, make_clip):
    return probe(make_clip(tmp_path_factory.mktemp("in") / "in.mkv", 2, codec="ffv1"))


def told(index, codec, extension=".mkv", **changed):
    colour = dataclasses.replace(index.colour, **changed.pop("colour", {}))
    changed_index = dataclasses.replace(index, colour=colour, **changed)
    return losses(changed_index, WriterOptions(codec=codec), container_of(Path(f"x{extension}")))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks", "ffv1"])
def test_nothing_is_told_of_an_ordinary_video(index, codec):
    assert told(index, codec) == []
    assert told(index, codec, colour={"chroma_location": "left"}) == []


@pytest.mark.parametrize(
    ("codec", "changed", "says"),
    [
        ("libx264", {"pixel_format": "yuva420p"}, "libx264 has no alpha: the video's transparency is dropped"),
        ("libx265", {"pixel_format": "argb"}, "libx265 has no alpha"),
        ("libsvtav1", {"pixel_format": "yuv422p10le"}, "libsvtav1 takes yuv420p10le at best"),
        ("libx264", {"pixel_format": "yuv420p12le"}, "takes no more than 10 bits here; the video's 12 bits"),
        ("prores_ks", {"colour": {"range": 2}}, "prores cannot say that colours have full range"),
        ("ffv1", {"colour": {"chroma_location": "bottomleft"}}, "ffv1 in matroska cannot say that chroma stands at"),
        ("libx264", {"interlaced": True}, "interlaced (top field first) and stays so; --deinterlace"),
        ("ffv1", {"interlaced": True, "top_field_first": False}, "interlaced (bottom field first) and stays so"),
        ("libvpx-vp9", {"interlaced": True}, "libvpx-vp9 cannot mark it; frames stay as they are woven"),
    ],
)
def test_each_loss_is_one_line(index, codec, changed, says):
    (line,) = told(index, codec, **changed)
    assert says in line


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [("ffv1", "yuva444p12le"), ("prores_ks", "yuva444p10le"), ("libvpx-vp9", "yuva420p"), ("ffv1", "gray10le")],
)
def test_what_fits_is_not_mentioned(index, codec, pixel_format):
    assert told(index, codec, pixel_format=pixel_format) == []


def test_a_pixel_format_that_was_asked_for_is_no_loss(index):
    deep = dataclasses.replace(index, pixel_format="yuva444p12le")
    options = WriterOptions(codec="libx264", pixel_format="yuv420p")
    assert losses(deep, options, container_of(Path("x.mp4"))) == []


@pytest.mark.parametrize(
    ("codec", "source", "chosen"),
    [
        ("libx265", "yuva420p", "yuv420p"),
        ("libx264", "yuva444p12le", "yuv444p10le"),
        ("prores_ks", "yuva444p12le", "yuva444p10le"),
        ("prores_ks", "yuva420p", "yuva444p10le"),
        ("prores_ks", "yuv444p", "yuv444p10le"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
        ("libvpx-vp9", "gbrap", "yuva420p"),
        ("libvpx-vp9", "yuva444p12le", "yuva420p"),
        ("libsvtav1", "yuv444p12le", "yuv420p10le"),
        ("ffv1", "yuva420p", "yuva420p"),
        ("libx264", "gray", "gray"),
        ("libvpx-vp9", "gray", "yuv420p"),
        ("libsvtav1", "gray10le", "yuv420p10le"),
    ],
)
def test_the_nearest_format_of_an_encoder_is_chosen(codec, source, chosen):
    assert choose_pixel_format(codec, source, 64, 48) == chosen


def test_a_time_code_is_a_loss_where_pyav_cannot_write_it(index, monkeypatch):
    tags = {**index.video_metadata, "timecode": "01:00:00:00"}
    monkeypatch.setattr("vidswap.media.losses._WRITES_TIME_CODES", True)
    assert told(index, "libx264", ".mp4", video_metadata=tags) == []
    monkeypatch.setattr("vidswap.media.losses._WRITES_TIME_CODES", False)
    assert told(index, "libx264", ".mkv", video_metadata=tags) == []
    (line,) = told(index, "libx264", ".mp4", video_metadata=tags)
    assert "01:00:00:00 is not written" in line
