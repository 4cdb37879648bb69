"""Decode and encode as the engine calls them; what cannot work is told before any work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import ValidationError
from vidswap.operators.decode import DecodeOptions, DecodePyAV
from vidswap.operators.encode import EncodeOptions, EncodePyAV
from vidswap.operators.segment_encoder import bits_per_second

from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting
from vidswap.graph.registry import find_operator


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(24):
            image = np.full((48, 64, 3), 40 + 8 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def run(clip: Path, output: Path, cuts: list[int], **options) -> list[str]:
    decode, encode = DecodePyAV(DecodeOptions()), EncodePyAV(EncodeOptions(**options))
    decode.setup(Setting(threads=2))
    index = decode.probe(clip)
    encode.check(index, output)
    segments = []
    for start, stop in zip([0, *cuts], [*cuts, index.frame_count], strict=True):
        segments.append(output.parent / f"{start}{encode.extension}")
        encode.begin(segments[-1], index, threads=2)
        for picture in decode.read(index, start, stop):
            encode.write(picture)
        assert encode.finish()["frames"] == stop - start
    return encode.join(index, segments, output, {"comment": "changed"})


def levels(path: Path) -> list[float]:
    decode = DecodePyAV(DecodeOptions())
    index = decode.probe(path)
    return [float(p.rgb(8, 8).mean()) for p in decode.read(index, 0, index.frame_count)]


@pytest.mark.parametrize(("codec", "extension"), [("libx264", ".mp4"), ("prores_ks", ".mov"), ("ffv1", ".mkv")])
def test_a_video_goes_through(clip, tmp_path, codec, extension):
    output = tmp_path / f"out{extension}"
    assert run(clip, output, [5, 17], codec=codec) == []
    assert np.abs(np.array(levels(output)) - levels(clip)).max() < 2


def test_lossless_frames_do_not_depend_on_the_cut(clip, tmp_path):
    found = []
    for number, cuts in enumerate(([], [5], [5, 10, 15, 20])):
        folder = tmp_path / str(number)
        folder.mkdir()
        run(clip, folder / "out.mkv", cuts, codec="ffv1")
        decode = DecodePyAV(DecodeOptions())
        index = decode.probe(folder / "out.mkv")
        found.append([[v.tobytes() for v in p.planes] for p in decode.read(index, 0, 24)])
    assert found[0] == found[1] == found[2]


def test_both_are_found_by_name():
    assert find_operator("decode.pyav") is DecodePyAV
    assert find_operator("encode.pyav") is EncodePyAV
    assert (DecodePyAV.kind, EncodePyAV.kind) == ("decode", "encode")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"codec": "libx246"}, "did you mean 'libx265'"),
        ({"bitrate": "fast"}, "such as 4M"),
        ({"bitrate": "0"}, "such as 4M"),
        ({"crf": 18, "bitrate": "4M"}, "not both"),
        ({"crf": 99}, "less than or equal to 63"),
        ({"threads": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_options_are_checked(options, says):
    with pytest.raises(ValidationError, match=says):
        EncodeOptions(**options)


def test_bit_rates_are_numbers_with_a_unit():
    assert [bits_per_second(t) for t in ("4M", "800k", "2500000", "1.5M")] == [4_000_000, 800_000, 2_500_000, 1_500_000]


@pytest.mark.parametrize(
    ("options", "name", "says"),
    [
        ({}, "out.docx", r"extension \.docx is not one of"),
        ({"codec": "libx264"}, "out", "leave the codec out"),
        ({"codec": "ffv1", "crf": 20}, "out.gif", "crf has no meaning for .gif"),
        ({"codec": "ffv1", "quality": 80}, "out.gif", "quality is for .webp, .jpg"),
        ({"codec": "ffv1"}, "out.jpg", "holds one picture, in.mp4 has"),
        ({"quality": 80}, "out.mp4", "quality is for pictures"),
        ({"codec": "libx264"}, "out.webm", r"\.webm files cannot hold h264 .*write one of \.mp4"),
        ({"codec": "prores_ks"}, "out.mp4", r"write one of \.mov, \.mkv"),
        ({"codec": "libvpx-vp9"}, "out.mov", "cannot hold vp9"),
        ({"preset": "quick"}, "out.mp4", "has no preset 'quick'"),
        ({"pixel_format": "yuv402p"}, "out.mp4", "did you mean 'yuv4"),
        ({}, "in.mp4", "is the input itself"),
    ],
)
def test_what_cannot_be_written_is_told_before_any_work(clip, tmp_path, options, name, says):
    index = DecodePyAV(DecodeOptions()).probe(clip)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError, match=says) as caught:
        EncodePyAV(EncodeOptions(**options)).check(index, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_untouched_video_is_copied_whole(clip, tmp_path):
    encode = EncodePyAV(EncodeOptions())
    index = DecodePyAV(DecodeOptions()).probe(clip)
    assert encode.can_copy(index, tmp_path / "out.mp4")
    assert not encode.can_copy(index, tmp_path / "out.mkv")
    assert encode.copy(index, tmp_path / "out.mp4") == []
    assert (tmp_path / "out.mp4").read_bytes() == clip.read_bytes()


def test_abort_leaves_nothing_and_the_encoder_can_begin_again(clip, tmp_path):
    decode, encode = DecodePyAV(DecodeOptions()), EncodePyAV(EncodeOptions())
    index = decode.probe(clip)
    path = tmp_path / f"a{encode.extension}"
    encode.begin(path, index, threads=1)
    encode.write(next(iter(decode.read(index, 0, 1))))
    encode.abort()
    encode.abort()
    assert not path.exists()
    encode.begin(path, index, threads=1)
    encode.write(next(iter(decode.read(index, 0, 1))))
    assert encode.finish()["frames"] == 1


def test_importing_the_operators_imports_no_model_library():
    code = "import sys, vidswap.operators.decode, vidswap.operators.encode\n"
    code += "print('torch' in sys.modules, 'mediapipe' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]
