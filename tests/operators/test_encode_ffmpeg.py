"""encode.ffmpeg: the frames of encode.pyav through a pipe, and encoders that PyAV's build lacks."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from vidswap.operators.encode import EncodeOptions, EncodePyAV
from vidswap.operators.encode_ffmpeg import EncodeFFmpeg, EncodeFFmpegOptions

from vidswap import media
from vidswap.cli.app import run_command
from vidswap.graph import InputError, VidswapError
from vidswap.graph.specification import PipelineSpecification, apply_overrides
from vidswap.media import codecs, ffmpeg_binary, ffmpeg_writer
from vidswap.media.conforming import Conformer

BINARY = ffmpeg_binary.find_binary()
pytestmark = pytest.mark.skipif(
    BINARY is None or not ffmpeg_binary.wrapper_installed(), reason="no ffmpeg binary, or no ffmpeg-python"
)


@pytest.fixture
def source(tmp_path):
    """Make a clip; returns its path."""

    def make(name, frames=14, *, codec="ffv1", pixel_format="yuv420p", size=(96, 64), pts=None, base=None, tags=None):
        path = tmp_path / name
        random = np.random.default_rng(3)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = pixel_format
            if base:
                stream.codec_context.time_base = base
            if tags:
                context = stream.codec_context
                context.color_range, context.color_primaries, context.color_trc, context.colorspace = tags
            for i in range(frames):
                image = np.kron(random.integers(20, 230, (size[1] // 8 + 1, size[0] // 8 + 1, 3)), np.ones((8, 8, 1)))
                image = image[: size[1], : size[0]].astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
                frame.pts = pts[i] if pts else i
                if base:
                    frame.time_base = base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def written(operator, index, output, cuts=(0, 6)):
    """Encode in two segments and join."""
    operator.check(index, output)
    edges = [*cuts, index.frame_count]
    segments = []
    for start, stop in zip(edges, edges[1:], strict=False):
        path = output.with_name(f"{output.stem}-{start}{operator.extension}")
        operator.begin(path, index, 1)
        for picture in media.read(index, start, stop):
            operator.write(picture)
        assert operator.finish()["frames"] == stop - start
        operator.verify(path, stop - start)
        segments.append(path)
    operator.join(index, segments, output, {})
    return media.probe(output)


def through_ffmpeg(**options):
    return EncodeFFmpeg(EncodeFFmpegOptions(**options))


def planes(index):
    return [b"".join(v.tobytes() for v in p.planes) for p in media.read(index, 0, index.frame_count)]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "gray", "yuva444p"])
def test_lossless_frames_are_those_of_pyav_and_of_the_input(source, tmp_path, pixel_format):
    index = media.probe(source("in.mkv", pixel_format=pixel_format))
    piped = written(through_ffmpeg(codec="ffv1"), index, tmp_path / "a.mkv")
    native = written(EncodePyAV(EncodeOptions(codec="ffv1")), index, tmp_path / "b.mkv")
    assert piped.pixel_format == native.pixel_format == pixel_format
    assert planes(piped) == planes(native) == planes(index)
    assert (piped.pts == index.pts).all()


def test_odd_sizes_go_through_the_pipe_whole(source, tmp_path):
    index = media.probe(source("in.mkv", size=(75, 51)))
    assert planes(written(through_ffmpeg(codec="ffv1"), index, tmp_path / "a.mkv")) == planes(index)


def test_variable_frame_rate_keeps_its_timestamps(source, tmp_path):
    pts = np.cumsum([0, 7, 13, 40, 1, 90, 33, 34, 200, 5, 60, 61, 2, 44]).tolist()
    index = media.probe(source("in.mkv", pts=pts, base=Fraction(1, 1000)))
    result = written(through_ffmpeg(codec="libx264"), index, tmp_path / "out.mkv")
    assert result.frame_count == 14
    assert [Fraction(int(p)) * result.time_base for p in result.pts] == [Fraction(p, 1000) for p in pts]


def test_ten_bits_and_colour_tags_stay(source, tmp_path):
    index = media.probe(source("in.mkv", pixel_format="yuv420p10le", tags=(1, 9, 16, 9)))
    result = written(through_ffmpeg(codec="libx265", preset="ultrafast"), index, tmp_path / "out.mp4")
    assert result.pixel_format == "yuv420p10le"
    assert (result.colour.primaries, result.colour.transfer, result.colour.matrix) == (9, 16, 9)
    assert result.colour.range == 1
    assert (result.frame_count, list(result.pts * result.time_base)) == (14, list(index.pts * index.time_base))


def test_fields_and_the_shape_of_pixels_are_told_to_the_encoder(source, tmp_path):
    index = media.probe(source("in.mkv"))
    index = dataclasses.replace(index, interlaced=True, top_field_first=False, sample_aspect_ratio=Fraction(64, 45))
    operator = through_ffmpeg(codec="libx264")
    operator.begin(tmp_path / "segment.nut", index, 1)
    for picture in media.read(index, 0, 4):
        operator.write(picture)
    operator.finish()
    with av.open(str(tmp_path / "segment.nut")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)
        frames = list(container.decode(video=0))
    assert len(frames) == 4
    assert all(f.interlaced_frame for f in frames)
    written_order = media.probe(tmp_path / "segment.nut")
    assert written_order.interlaced and not written_order.top_field_first


def test_x264_takes_the_settings_of_pyav(source, tmp_path):
    index = media.probe(source("in.mkv", frames=20))
    piped = written(through_ffmpeg(codec="libx264"), index, tmp_path / "a.mp4")
    native = written(EncodePyAV(EncodeOptions(codec="libx264")), index, tmp_path / "b.mp4")
    assert (piped.pts == native.pts).all() and piped.time_base == native.time_base
    sizes = [p.stat().st_size for p in (tmp_path / "a.mp4", tmp_path / "b.mp4")]
    assert 0.9 < sizes[0] / sizes[1] < 1.1


def test_jpeg_has_the_colours_of_the_input_though_it_has_one_matrix_alone(source, tmp_path):
    index = media.probe(source("in.mkv", frames=2, tags=(1, 1, 1, 1)))
    result = written(through_ffmpeg(codec="mjpeg"), index, tmp_path / "out.mov", cuts=(0,))
    assert result.full_range
    before, after = (next(iter(media.read(i, 0, 1))).rgb(96, 64).astype(int) for i in (index, result))
    assert np.abs(before - after).mean() < 3


def test_frames_that_are_of_the_encoders_format_are_not_touched(source):
    index = media.probe(source("in.mkv"))
    picture = next(iter(media.read(index, 0, 1)))
    assert Conformer(index, "yuv420p", index.colour.matrix, False).conform(picture) is picture.native


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"codec": "libx264x"}, "did you mean 'libx264'"),
        ({"codec": "mpeg4", "preset": "slow"}, "mpeg4 has no preset"),
        ({"codec": "libx264", "preset": "slowly"}, "libx264 has no preset 'slowly'"),
        ({"codec": "libx264", "options": {"tun": "grain"}}, "no option 'tun'; did you mean 'tune'"),
        ({"codec": "libx264", "options": {"tune": "sand"}}, "cannot encode this: .*invalid tune 'sand'"),
        ({"codec": "mpeg4", "pixel_format": "yuv422p"}, "mpeg4 has no pixel format 'yuv422p'"),
        ({"codec": "huffyuv"}, "mp4 files cannot hold huffyuv"),
        ({"binary": "/nowhere/ffmpeg"}, "no ffmpeg binary at /nowhere/ffmpeg: install ffmpeg"),
        ({"binary": sys.executable}, "is no ffmpeg"),
    ],
)
def test_what_does_not_work_is_told_in_one_line_before_any_work(source, tmp_path, options, complaint):
    index = media.probe(source("in.mkv", frames=2))
    with pytest.raises(InputError, match=complaint) as told:
        through_ffmpeg(**options).check(index, tmp_path / "out.mp4")
    assert "\n" not in str(told.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mkv"]


def test_missing_programs_are_told_with_the_remedy(source, tmp_path, monkeypatch):
    index = media.probe(source("in.mkv", frames=2))
    monkeypatch.setattr(ffmpeg_binary, "find_binary", lambda given=None: None)
    with pytest.raises(InputError, match="there is none: install ffmpeg"):
        through_ffmpeg().check(index, tmp_path / "out.mp4")
    monkeypatch.setattr(ffmpeg_binary, "wrapper_installed", lambda: False)
    with pytest.raises(InputError, match=r"pip install 'vidswap\[ffmpeg\]'"):
        through_ffmpeg().check(index, tmp_path / "out.mp4")


def test_pictures_are_left_to_pyav(source, tmp_path):
    index = media.probe(source("in.mkv", frames=2))
    with pytest.raises(InputError, match=r"written by encode\.pyav"):
        through_ffmpeg().check(index, tmp_path / "out.gif")


def test_a_binary_that_dies_midway_leaves_its_last_words_and_nothing_else(source, tmp_path):
    index = media.probe(source("in.mkv", size=(320, 240)))
    fake = tmp_path / "ffmpeg"
    # Answers questions as the real one does; encoding ends after some bytes.
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *pipe:*)\n'
        'head -c 300000 >/dev/null; echo "[out] the disk is on fire" >&2; exit 3;; esac\n'
        f'exec {BINARY} "$@"\n'
    )
    fake.chmod(0o755)
    operator = through_ffmpeg(binary=str(fake))
    segment = tmp_path / "segment.nut"
    operator.begin(segment, index, 1)
    process = operator._writer._process
    segment.write_bytes(b"half")
    with pytest.raises(VidswapError, match=r"segment\.nut with libx264 through ffmpeg failed: the disk is on fire$"):
        for picture in [*media.read(index, 0, 14)] * 3:
            operator.write(picture)
        operator.finish()
    operator.abort()
    assert not segment.exists()
    assert process.poll() is not None
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def test_abort_ends_the_process(source, tmp_path):
    index = media.probe(source("in.mkv"))
    operator = through_ffmpeg()
    operator.begin(tmp_path / "segment.nut", index, 1)
    process = operator._writer._process
    operator.write(next(iter(media.read(index, 0, 1))))
    operator.abort()
    operator.abort()
    assert process.poll() is not None and not (tmp_path / "segment.nut").exists()


def test_formats_in_a_gpus_memory_are_refused(source, monkeypatch):
    index = media.probe(source("in.mkv", frames=1))
    told = ffmpeg_binary.BinaryEncoder(("vaapi",), frozenset())
    monkeypatch.setattr(ffmpeg_binary, "describe", lambda *_: told)
    with pytest.raises(InputError, match="none of the pixel formats that can be piped"):
        ffmpeg_writer.choose(index, media.WriterOptions(codec="libx264"), ffmpeg_writer.BinaryOptions())


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (("nv12", "p010le"), ("yuv420p", "nv12")),
        (("nv12", "yuv420p", "cuda"), ("yuv420p", "yuv420p")),
        (("yuv420p10le",), ("yuv420p10le", "yuv420p10le")),
        (("rgb24", "yuv444p"), ("yuv444p", "yuv444p")),
        ((), ("yuv420p", "yuv420p")),
    ],
)
def test_the_nearest_pixel_format_is_piped(source, monkeypatch, listed, expected):
    index = media.probe(source("in.mkv", frames=1))
    monkeypatch.setattr(ffmpeg_binary, "describe", lambda *_: ffmpeg_binary.BinaryEncoder(listed, frozenset()))
    choice = ffmpeg_writer.choose(index, media.WriterOptions(codec="mpeg4"), ffmpeg_writer.BinaryOptions())
    assert (choice.piped, choice.pixel_format) == expected


THROUGH = "name: through\nstages:\n  - {name: decode, use: decode.pyav}\n  - {name: encode, use: encode.pyav}\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """The command in a folder of its own: returns exit code and what was told."""
    (tmp_path / "through.yaml").write_text(THROUGH)
    monkeypatch.chdir(tmp_path)

    def through(*arguments):
        code = run_command(["run", "through.yaml", "-y", "--json", *map(str, arguments)])
        return code, capfd.readouterr().out

    return through


@pytest.mark.parametrize(
    ("codec", "name", "format"),
    [("mpeg4", "out.mp4", "mpeg4"), ("mjpeg", "out.mov", "mjpeg"), ("libtheora", "out.mkv", "theora")],
)
def test_the_command_writes_with_encoders_that_pyav_does_not_offer(source, run, tmp_path, codec, name, format):
    if codec not in ffmpeg_binary.video_encoders(BINARY):
        pytest.skip(f"this ffmpeg has no {codec}")
    assert codec not in codecs.ENCODERS
    clip = source("in.mp4", codec="libx264")
    code, told = run("-t", clip, "-o", name, "--codec", codec)
    assert code == 2 and "add encode.use=encode.ffmpeg" in told
    assert not (tmp_path / name).exists()
    code, told = run("-t", clip, "-o", name, "--codec", codec, "encode.use=encode.ffmpeg", "-j", "0")
    assert code == 0, told
    result, index = media.probe(tmp_path / name), media.probe(clip)
    assert (result.codec, result.frame_count) == (format, 14)
    assert list(result.pts * result.time_base) == list(index.pts * index.time_base)


def test_one_worker_and_two_write_the_same_frames(source, run, tmp_path):
    clip = source("in.mp4", codec="libx264", frames=30)
    results = []
    for workers in (1, 2):
        more = ("--segment-frames", "8", "-j", workers, "encode.use=encode.ffmpeg", "--codec", "libx264")
        code, told = run("-t", clip, "-o", f"{workers}.mp4", *more)
        assert code == 0, told
        assert json.loads(told.splitlines()[-1])["segments"] > 1
        with av.open(str(tmp_path / f"{workers}.mp4")) as container:
            results.append([bytes(p) for p in container.demux(video=0) if p.size])
    assert results[0] == results[1]


def test_use_puts_another_operator_in_a_stages_place():
    stages = [{"name": "decode", "use": "decode.pyav"}, {"name": "encode", "use": "encode.pyav"}]
    specification = PipelineSpecification.checked({"name": "x", "stages": stages}, "x")
    changed = apply_overrides(specification, ["encode.use=encode.ffmpeg", "encode.options.tune=grain"])
    assert changed.stages[1].use == "encode.ffmpeg"
    assert changed.stages[1].options == {"options": {"tune": "grain"}}
    with pytest.raises(InputError, match="write the name of an operator"):
        apply_overrides(specification, ["encode.use=3"])


def test_the_binary_on_the_path_is_found_first(tmp_path, monkeypatch):
    here = tmp_path / "ffmpeg"
    shutil.copyfile("/bin/sh" if Path("/bin/sh").exists() else sys.executable, here)
    here.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_binary.find_binary() == str(here)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert ffmpeg_binary.find_binary() != str(here)
