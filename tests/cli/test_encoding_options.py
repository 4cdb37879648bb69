"""Options of the encoder and decoder from the command line, through the real command without any face."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest

from vidswap.media import codecs, probe


@pytest.fixture
def through(tmp_path, vidswap):
    """Run a pipeline that only decodes and encodes; returns the output and the report."""
    pipeline = tmp_path / "through.yaml"
    stages = "  - {name: decode, use: decode.pyav}\n  - {name: encode, use: encode.pyav}\n"
    pipeline.write_text(f"name: through\nstages:\n{stages}")

    def run(target, name, *arguments, workers=0):
        fixed = ["--no-smart-copy", "-j", workers, "--overwrite", "--json"]
        code, out, err = vidswap("run", pipeline, "-t", target, "-o", tmp_path / name, *fixed, *arguments)
        assert code == 0, err
        return tmp_path / name, json.loads(out.splitlines()[-1])

    return run


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def test_bitrate_sets_the_size(through, clip):
    small, large = (through(clip, f"{rate}.mp4", "--bitrate", rate)[0] for rate in ("60k", "2M"))
    sizes = [sum(map(len, packets(path))) for path in (small, large)]
    assert sizes[1] > 3 * sizes[0]


def test_pixel_format_is_that_of_the_result(through, clip):
    output, report = through(clip, "out.mp4", "--pixel-format", "yuv444p10le")
    assert probe(output).pixel_format == "yuv444p10le"
    assert report["warnings"] == []


def test_crf_and_bitrate_exclude_each_other(vidswap, clip, grace, tmp_path):
    arguments = ["-s", grace, "-t", clip, "-o", tmp_path / "out.mp4", "--crf", 20, "--bitrate", "1M"]
    code, _, err = vidswap("swap", *arguments)
    assert code == 2
    assert "give crf or bitrate, not both" in err


@pytest.mark.parametrize(
    ("codec", "name", "quality", "preset"),
    [
        ("libx264", "out.mp4", ("--crf", "30"), "ultrafast"),
        ("libx264", "out.mp4", ("--bitrate", "300k"), "superfast"),
        ("libx265", "out.mp4", ("--crf", "30"), "ultrafast"),
        ("libx265", "out.mp4", ("--bitrate", "300k"), "ultrafast"),
        ("libsvtav1", "out.mkv", ("--crf", "40"), "12"),
        ("libsvtav1", "out.mkv", ("--bitrate", "300k"), "12"),
        ("libvpx-vp9", "out.webm", ("--crf", "40"), "8"),
        ("libvpx-vp9", "out.webm", ("--bitrate", "300k"), "8"),
        ("prores_ks", "out.mov", (), None),
        ("ffv1", "out.mkv", (), None),
    ],
)
def test_every_encoder_gives_the_same_bits_with_any_number_of_workers(through, clip, codec, name, quality, preset):
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    arguments = ["--codec", codec, "--segment-frames", 9, *quality, *(("--preset", preset) if preset else ())]
    found = [packets(through(clip, name, *arguments, workers=workers)[0]) for workers in (0, 3)]
    assert len(found[0]) == 26
    assert found[0] == found[1]


def test_an_interlaced_video_is_told_of_and_deinterlaced_on_request(through, tmp_path):
    source = tmp_path / "fields.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "bff=1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for i in range(12):
            luma = np.full((96, 64), 128, np.uint8)
            luma[0:64:2], luma[1:64:2] = 40 + 8 * i, 44 + 8 * i
            container.mux(stream.encode(av.VideoFrame.from_ndarray(luma, format="yuv420p")))
        container.mux(stream.encode(None))
    output, report = through(source, "kept.mp4")
    assert probe(output).interlaced
    assert ["is interlaced (bottom field first) and stays so" in line for line in report["warnings"]] == [True]
    output, report = through(source, "whole.mp4", "--deinterlace")
    assert (probe(output).interlaced, report["warnings"], report["frames"]) == (False, [], 12)


def test_quality_is_that_of_pictures(through, vidswap, clip, tmp_path):
    sizes = [through(clip, f"{quality}.webp", "--quality", quality)[0].stat().st_size for quality in (5, 90)]
    assert sizes[1] > 2 * sizes[0]
    code, _, err = vidswap("run", tmp_path / "through.yaml", "-t", clip, "-o", tmp_path / "o.mp4", "--quality", 50)
    assert (code, "quality is for pictures (WebP, JPEG); .mp4 files take crf or bitrate" in err) == (2, True)


def test_one_of_several_video_streams_is_chosen(through, vidswap, tmp_path):
    source = tmp_path / "two.mkv"
    with av.open(str(source), "w") as container:
        streams = [container.add_stream("libx264", rate=25, options={"preset": "ultrafast"}) for _ in range(2)]
        for stream, side in zip(streams, (32, 64), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for stream, side in zip(streams, (32, 64), strict=True):
            for _ in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((side * 3 // 2, side), 90, np.uint8), format="yuv420p")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    output, report = through(source, "second.mkv", "--video-stream", 1)
    assert (probe(output, video_stream=0).width, report["warnings"]) == (64, [])
    _, report = through(source, "told.mkv")
    assert ["2 video streams" in warning for warning in report["warnings"]] == [True]
    shown = json.loads(vidswap("inspect", source, "--video-stream", 1, "--json")[1])
    assert (shown["video_stream"], shown["width"]) == (1, 64)
