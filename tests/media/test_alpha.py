"""Transparency keeps its values wherever the output can hold it, and compositing never changes it."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vidswap.media import Reader, SegmentWriter, WriterOptions, codecs, join, probe, read

FRAMES = 12
VP9 = "libvpx-vp9"


def make_transparent(path, codec, pixel_format, options=None):
    """Alpha from 0 to 255 across and changing from frame to frame, over a gradient."""
    y, x = np.mgrid[0:64, 0:96]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        if codec == VP9:
            stream.metadata["alpha_mode"] = "1"
        for i in range(FRAMES):
            alpha = np.clip(x * 3 - 20 + 4 * i, 0, 255)
            rgba = np.stack([x * 2, y * 3, 255 - x * 2, alpha], -1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixel_format)
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def planes(index, number=-1):
    with Reader(index) as reader:
        return [p.planes[number].copy() for p in reader.read(0, index.frame_count)]


def joined(index, tmp_path, codec, extension):
    segments = []
    for start, stop in ((0, 5), (5, FRAMES)):
        segments.append(tmp_path / f"{start}{codecs.encoder(codec).segment_extension}")
        preset = {VP9: "5", "libx264": "ultrafast"}.get(codec)
        writer = SegmentWriter(
            segments[-1], index, WriterOptions(codec=codec, crf=4 if preset else None, preset=preset)
        )
        for picture in read(index, start, stop):
            writer.add(picture)
        writer.close()
    return join(index, segments, tmp_path / f"out{extension}"), tmp_path / f"out{extension}"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alpha")
    made = {"ffv1": make_transparent(folder / "ffv1.mkv", "ffv1", "yuva420p")}
    made["qtrle"] = make_transparent(folder / "qtrle.mov", "qtrle", "argb")
    made["prores"] = make_transparent(folder / "prores.mov", "prores_ks", "yuva444p10le")
    if VP9 in codecs.available_encoders():
        options = {"auto-alt-ref": "0", "crf": "4", "b": "0", "cpu-used": "5", "g": "4"}
        made["vp9"] = make_transparent(folder / "vp9.webm", VP9, "yuva420p", options)
    return made


@pytest.mark.parametrize("name", ["ffv1", "qtrle", "prores", "vp9"])
@pytest.mark.parametrize(
    ("codec", "extension", "worst"),
    [("ffv1", ".mkv", 0.0), ("prores_ks", ".mov", 0.6), (VP9, ".webm", 6.0), (VP9, ".mkv", 6.0)],
)
def test_alpha_is_kept(sources, tmp_path, ffmpeg, name, codec, extension, worst):
    if name not in sources or codec not in codecs.available_encoders():
        pytest.skip("no VP9 in this build of FFmpeg")
    index = probe(sources[name])
    assert codecs.has_alpha(index.working_format)
    _, output = joined(index, tmp_path, codec, extension)
    result = probe(output)
    assert result.frame_count == FRAMES
    before, after = (np.array(planes(i)) / (2.0**i.bit_depth - 1) * 255 for i in (index, result))
    assert np.abs(before - after).max() <= worst
    # What is opaque stays opaque, what is clear stays clear.
    if worst < 1:
        assert (after[before == 255] == 255).all()
        assert (after[before == 0] == 0).all()
    assert ffmpeg("-i", output, "-f", "null", "-") == ""


def test_an_output_without_alpha_does_not_say_that_it_has_some(sources, tmp_path):
    _, output = joined(probe(sources.get("vp9", sources["ffv1"])), tmp_path, "libx264", ".mkv")
    assert "alpha_mode" not in {name.lower() for name in probe(output).video_metadata}
    assert probe(output).pixel_format == "yuv420p"


def test_alpha_does_not_depend_on_where_reading_begins(sources):
    index = probe(sources.get("vp9", sources["ffv1"]))
    assert index.pixel_format == "yuva420p"
    whole = planes(index)
    for start in range(FRAMES):
        with Reader(index) as reader:
            found = [p.planes[-1].copy() for p in reader.read(start, FRAMES)]
        assert all(np.array_equal(a, b) for a, b in zip(found, whole[start:], strict=True))


@pytest.mark.parametrize("name", ["ffv1", "qtrle", "prores", "vp9"])
def test_compositing_changes_no_alpha(sources, name):
    if name not in sources:
        pytest.skip("no VP9 in this build of FFmpeg")
    index = probe(sources[name])
    (picture,) = read(index, 3, 4)
    before = [v.copy() for v in picture.planes]
    image, cover = np.full((40, 40, 3), 200, np.uint8), np.ones((40, 40), np.float32)
    picture.composite(np.array([[1.0, 0, -20], [0, 1.0, -10]]), image, cover)
    assert np.array_equal(picture.planes[-1], before[-1])
    assert not np.array_equal(picture.planes[0], before[0])
