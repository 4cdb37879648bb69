"""With FFV1, what is not drawn on is bit-equal to the input at every depth and layout, through the real command."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vidswap.media import Reader, codecs, probe

FRAMES = 7
# Written by FFV1, or by another encoder where the format is not one of its own.
FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p"),
    *("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le"),
    *("yuv420p16le", "yuv422p16le", "yuv444p16le", "yuv420p9le", "yuv444p14le"),
    *("yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva422p12le", "yuva444p16le"),
    *("gray", "gray10le", "gray12le", "gray16le"),
    *("bgr0", "bgra", "gbrp10le", "gbrp12le", "gbrp16le", "gbrap10le", "gbrap12le", "gbrap16le"),
]


@pytest.fixture
def drawn_on(tmp_path, vidswap):
    """Draw a text into a corner with the real command; returns the output and its warnings."""
    pipeline = tmp_path / "label.yaml"
    pipeline.write_text(
        "name: label\nstages:\n  - {name: decode, use: decode.pyav}\n"
        "  - {name: label, use: blend.label, options: {text: altered, size: 0.1, corner: bottom-right}}\n"
        "  - {name: encode, use: encode.pyav, options: {codec: ffv1}}\n"
    )

    def run(target):
        output = tmp_path / "out.mkv"
        code, _, err = vidswap("run", pipeline, "-t", target, "-o", output, "-j", 0, "-q", "--segment-frames", 5)
        assert code == 0, err
        assert err == ""
        return output

    return run


def make_noise(path, pixel_format, *, full_range=False, codec="ffv1", options=None):
    """Every bit of every sample is used, padding bits excepted."""
    random = np.random.default_rng(7)
    width, height = 128, 96
    described = av.VideoFormat(pixel_format, width, height)
    bits = max(c.bits for c in described.components)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.color_range = 2 if full_range else 0
        for i in range(FRAMES):
            frame = av.VideoFrame(width, height, pixel_format)
            for plane in frame.planes:
                samples = random.integers(0, 1 << min(bits, 16), plane.buffer_size // (2 if bits > 8 else 1))
                plane.update(samples.astype("<u2" if bits > 8 else np.uint8).tobytes())
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path):
    """Frames as lists of planes, (rows, bytes of a row) uint8; the fourth byte of RGB without alpha is left out."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            planes = []
            for plane in frame.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                component = max(c.bits for c in frame.format.components)
                packed = 4 if frame.format.name in ("bgr0", "bgra") else (2 if component > 8 else 1)
                row = rows[:, : plane.width * packed]
                planes.append(row.reshape(plane.height, -1, 4)[:, :, :3] if frame.format.name == "bgr0" else row)
            found.append((frame.format.name, frame.pts * frame.time_base, planes))
    return found


def assert_untouched_but_in_the_corner(before, after, *, alpha):
    assert len(before) == len(after) == FRAMES
    for (name, pts, one), (other_name, other_pts, other) in zip(before, after, strict=True):
        assert (name, pts) == (other_name, other_pts)
        drawn = 0
        for number, (was, now) in enumerate(zip(one, other, strict=True)):
            different = was != now
            if alpha and len(one) > 1 and number == len(one) - 1:
                assert not different.any()
                continue
            rows, columns = different.shape[:2]
            drawn += int(different.sum())
            assert not different[: rows // 2].any()
            assert not different[:, : columns // 4].any()
        assert drawn > 50


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_pixels_beyond_the_text_stay_as_they_were(tmp_path, drawn_on, pixel_format):
    if pixel_format not in codecs.pixel_formats("ffv1"):
        pytest.skip(f"no {pixel_format} in this build's FFV1")
    source = make_noise(tmp_path / "in.mkv", pixel_format)
    output = drawn_on(source)
    assert_untouched_but_in_the_corner(decoded(source), decoded(output), alpha=codecs.has_alpha(pixel_format))
    if pixel_format == "bgra":
        with Reader(probe(source)) as one, Reader(probe(output)) as other:
            for before, after in zip(one.read(0, FRAMES), other.read(0, FRAMES), strict=True):
                assert np.array_equal(before.planes[-1], after.planes[-1])


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "gray"])
def test_full_range_is_kept_with_its_codes(tmp_path, drawn_on, pixel_format):
    source = make_noise(tmp_path / "in.mkv", pixel_format, full_range=True)
    output = drawn_on(source)
    assert_untouched_but_in_the_corner(decoded(source), decoded(output), alpha=False)
    assert probe(output).colour.range == probe(source).colour.range == 2


@pytest.mark.parametrize(
    ("codec", "pixel_format", "suffix", "options"),
    [
        ("libx264", "yuv420p", ".mp4", {"crf": "10", "bf": "3"}),
        ("libx264", "yuvj420p", ".mp4", {"crf": "10"}),
        ("libx264", "yuv422p10le", ".mkv", {"crf": "10"}),
        ("libx265", "yuv444p12le", ".mp4", {"crf": "10", "x265-params": "log-level=none"}),
        ("mjpeg", "yuvj422p", ".avi", {}),
        ("prores_ks", "yuv422p10le", ".mov", {}),
        ("prores_ks", "yuva444p10le", ".mov", {}),
        ("mpeg2video", "yuv420p", ".ts", {"b": "4000000", "bf": "2"}),
        ("libvpx-vp9", "yuv420p", ".webm", {"crf": "10", "b": "0", "cpu-used": "8"}),
    ],
)
def test_what_the_decoder_gave_is_kept_by_every_format(tmp_path, drawn_on, codec, pixel_format, suffix, options):
    source = make_noise(tmp_path / f"in{suffix}", pixel_format, codec=codec, options=options)
    output = drawn_on(source)
    index, result = probe(source), probe(output)
    with Reader(index) as one, Reader(result) as other:
        for before, after in zip(one.read(0, FRAMES), other.read(0, FRAMES), strict=True):
            for was, now in zip(before.planes, after.planes, strict=True):
                rows, columns = was.shape
                assert was.dtype == now.dtype
                assert np.array_equal(was[: rows // 2], now[: rows // 2])
                assert np.array_equal(was[:, : columns // 4], now[:, : columns // 4])
    # Matroska counts in milliseconds.
    assert np.abs(index.pts * float(index.time_base) - result.pts * float(result.time_base)).max() < 0.6e-3
