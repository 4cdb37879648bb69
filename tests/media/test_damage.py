"""Bad input that can still be worked on: what is there is read, and what is wrong is said with its time."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from damaging import make_clips

from vidswap.graph.errors import InputError
from vidswap.media import Reader, SegmentWriter, WriterOptions, join, probe
from vidswap.media.timestamps import increasing, without_jumps

X264 = {"g": "10", "bf": "0", "preset": "ultrafast"}


def cut_short(path: Path, part: float) -> Path:
    short = path.with_name(f"short_{path.name}")
    data = path.read_bytes()
    short.write_bytes(data[: int(len(data) * part)])
    return short


def written(path: Path, output: Path) -> tuple[Any, list[str]]:
    """Read all frames, encode them in one segment, join; returns the output's index and the reader's warnings."""
    index = probe(path)
    segment = output.with_name("0.nut")
    with Reader(index) as reader:
        writer = SegmentWriter(segment, index, WriterOptions(preset="ultrafast"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
        told = reader.take_warnings()
    join(index, [segment], output)
    return probe(output), told


@pytest.mark.parametrize(
    ("name", "says"),
    [("front.mp4", r"its header promises 24 frames, the last \d+ are missing"), ("hevc.mkv", r"promises 0.9\d\d s")],
)
def test_a_file_that_ends_early_says_where_and_what_was_promised(tmp_path, name, says):
    whole = make_clips(tmp_path, [name])[name]
    assert probe(whole).warnings == ()
    short = cut_short(whole, 0.5)
    index = probe(short)
    assert 0 < index.frame_count < 24
    (warning,) = index.warnings
    assert warning.startswith(f"short_{name} ends at 0.")
    assert f"after {index.frame_count} frames" in warning
    assert re.search(says, warning), warning
    result, _ = written(short, tmp_path / "out.mp4")
    assert result.frame_count == index.frame_count


def test_an_mp4_without_its_index_is_told_so(tmp_path):
    short = cut_short(make_clips(tmp_path, ["h264_aac.mp4"])["h264_aac.mp4"], 0.5)
    with pytest.raises(InputError, match=r"is cut off: .* \(moov\), is missing; get the whole file"):
        probe(short)


def test_a_flipped_byte_is_named_with_its_time_though_the_decoder_conceals_it(tmp_path):
    clip = make_clips(tmp_path, ["ffv1.mkv"])["ffv1.mkv"]
    with av.open(str(clip)) as container:
        packet = next(p for p in container.demux(video=0) if p.pts == 400)
        position, size = packet.pos, packet.size
    data = bytearray(clip.read_bytes())
    data[position + size // 2] ^= 0x55
    clip.write_bytes(data)
    with Reader(probe(clip)) as reader:
        assert len(list(reader.read(0, 24))) == 24
        (warning,) = reader.take_warnings()
    assert "is damaged at 0.400 s (frame 10)" in warning


def test_a_damaged_keyframe_is_concealed_with_the_picture_before(tmp_path):
    y, x = np.mgrid[0:144, 0:176]
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={**X264, "x264-params": "slices=4:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
        for i in range(30):
            image = (128 + 90 * np.sin((x + i) / 9) * np.cos(y / 7)).astype(np.uint8)[..., None].repeat(3, 2)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(whole)) as container:
        keyframe = [p for p in container.demux(video=0) if p.is_keyframe][1]
        position, size = keyframe.pos, keyframe.size
    data = bytearray(whole.read_bytes())
    data[position + size // 3] ^= 0x10
    data[position + size // 3 + 1] ^= 0x10
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    seen = {}
    for path in (whole, damaged):
        with Reader(probe(path)) as reader:
            seen[path] = [picture.crop(np.eye(2, 3), (176, 144)).astype(int) for picture in reader.read(8, 12)]
            told = reader.take_warnings()
    assert "(frame 10)" in told[0]
    # Without a picture before it, what is damaged is grey or green.
    assert all(np.abs(a - b).mean() < 5 for a, b in zip(seen[whole], seen[damaged], strict=True))


def changing(path: Path, kinds: list[tuple[int, int, str]]) -> Path:
    """Ten frames of each size and format, one after the other in one H.264 stream."""
    with av.open(str(path), "w") as container:
        stream: Any = None
        for part, (width, height, pixel_format) in enumerate(kinds):
            encoder: Any = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, pixel_format
            encoder.time_base, encoder.framerate, encoder.options = Fraction(1, 25), Fraction(25), X264
            if stream is None:
                stream = container.add_stream("libx264", rate=25, options=X264)
                stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            packets = []
            for i in range(10):
                image = np.full((height, width, 3), 20 * i, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = 10 * part + i, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                container.mux(packet)
    return path


def test_a_size_that_changes_in_the_middle_is_scaled_and_told(tmp_path):
    clip = changing(tmp_path / "clip.ts", [(96, 64, "yuv420p"), (128, 96, "yuv420p"), (96, 64, "yuv420p")])
    result, told = written(clip, tmp_path / "out.mp4")
    assert (result.frame_count, result.stored_width, result.stored_height) == (30, 96, 64)
    (warning,) = told
    assert "changes to 128x96 pixels at 0.400 to 0.760 s (frames 10 to 19)" in warning
    assert "scaled to 96x64" in warning


def test_a_pixel_format_that_changes_in_the_middle_is_converted_and_told(tmp_path):
    clip = changing(tmp_path / "clip.ts", [(96, 64, "yuv420p"), (96, 64, "yuv444p10le")])
    result, told = written(clip, tmp_path / "out.mp4")
    assert (result.frame_count, result.pixel_format) == (20, "yuv420p")
    assert ["changes to yuv444p10le at 0.400 to 0.760 s (frames 10 to 19)" in w for w in told] == [True]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (33, 57), (32, 57), (16, 1)])
def test_any_size_keeps_its_size_with_the_default_encoder(tmp_path, make_clip, size):
    clip = make_clip(
        tmp_path / "clip.mkv", 3, codec="ffv1", size=size, image=lambda i, w, h: np.full((h, w, 3), 50 * i, np.uint8)
    )
    result, told = written(clip, tmp_path / "out.mp4")
    assert (result.stored_width, result.stored_height, result.frame_count, told) == (*size, 3, [])


@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_sound_shorter_or_longer_than_the_picture_comes_through(tmp_path, make_clip, seconds):
    clip = make_clip(tmp_path / "clip.mkv", 25, options=X264)
    sound = tmp_path / "both.mkv"
    with av.open(str(clip)) as source, av.open(str(sound), "w") as result:
        video = result.add_stream_from_template(source.streams.video[0])
        tone: Any = result.add_stream("pcm_s16le", rate=8000, layout="mono")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                result.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.ones((1, int(8000 * seconds)), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        result.mux(tone.encode(frame))
        result.mux(tone.encode(None))
    made, _ = written(sound, tmp_path / "out.mkv")
    assert made.frame_count == 25
    with av.open(str(tmp_path / "out.mkv")) as container:
        heard = sum(f.samples for f in container.decode(audio=0))
    assert heard == int(8000 * seconds)


HUGE = 1 << 62


@pytest.mark.parametrize(
    ("given", "expected", "wrong"),
    [
        ([0, 10, 20], [0, 10, 20], 0),
        ([0, 0, 0, 0], [0, 10, 20, 30], 3),
        ([30, 20, 10, 0], [0, 10, 20, 30], 3),
        ([None, None, None], [0, 10, 20], 3),
        ([0, 10, 10, 30], [0, 10, 20, 30], 1),
        ([0, 10, None, 30], [0, 10, 20, 30], 1),
        ([-20, -10, 0], [-20, -10, 0], 0),
        ([0, 10, HUGE, 30, 40], [0, 10, 20, 30, 40], 1),
        ([HUGE, 10, 20, 30], [0, 10, 20, 30], 1),
        ([0, 1, 1, 2, 3], [0, 10, 20, 30, 40], 1),
    ],
)
def test_absurd_timestamps_become_an_increasing_series(given, expected, wrong):
    times, found = increasing(given, 10)
    assert (times.tolist(), len(found)) == (expected, wrong)
    assert all(given[frame] != expected[frame] or given.count(given[frame]) > 1 for frame in found)


@pytest.mark.parametrize(
    ("given", "expected", "jumps"),
    [
        ([0, 40, 80], [0, 40, 80], []),
        ([0, 40, HUGE], [0, 40, 80], [2]),
        ([-HUGE, 0, 40, 80], [-40, 0, 40, 80], [1]),
        ([0, 40, 10_000_000, 10_000_040, 10_000_080], [9_999_920, 9_999_960, 10_000_000, 10_000_040, 10_000_080], [2]),
        ([HUGE, HUGE + 40], [0, 40], []),
        ([0, 3_599_999], [0, 3_599_999], []),
    ],
)
def test_jumps_of_more_than_an_hour_are_closed(given, expected, jumps):
    times, found = without_jumps(np.array(given, np.int64), 40, Fraction(1, 1000))
    assert (times.tolist(), found.tolist()) == (expected, jumps)


def test_frames_behind_a_jump_in_time_are_found_by_the_stamps_of_the_file(tmp_path, make_clip, shown_number):
    pts = [*range(0, 600, 40), *range(90_000_000, 90_000_600, 40)]
    index = probe(make_clip(tmp_path / "jump.mkv", 30, pts=pts, time_base=Fraction(1, 1000), options=X264))
    assert np.diff(index.pts).tolist() == [40] * 29
    assert "jump by more than an hour at frame 15" in index.warnings[0]
    with Reader(index) as reader:
        assert [shown_number(p) for p in reader.read(20, 30)] == list(range(20, 30))
    result, _ = written(index.path, tmp_path / "out.mp4")
    assert (np.diff(result.pts) * result.time_base).tolist() == [Fraction(1, 25)] * 29
    assert result.duration_s == pytest.approx(1.2)


def noisy_stream(path: Path, damaged: set[int]) -> Path:
    """An MPEG-TS with 24 frames and AAC, the headers of whose sound packets `damaged` are spoiled."""
    whole = make_clips(path.parent, ["stream.ts"])["stream.ts"]
    data = bytearray(whole.read_bytes())
    headers = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0]
    with av.open(str(whole)) as container:
        heads = [bytes(p)[:12] for p in container.demux(audio=0) if p.size]
    starts = [at for at in headers if bytes(data[at : at + 12]) in heads]
    for number in damaged:
        data[starts[number] + 1] = 0x0B
    path.write_bytes(data)
    return path


def heard(path: Path) -> int:
    """How many samples of sound decode."""
    found = 0
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            with contextlib.suppress(av.error.InvalidDataError):
                found += sum(frame.samples for frame in packet.decode())
    return found


@pytest.mark.parametrize("extension", [".mkv", ".mp4", ".mov"])
def test_sound_whose_first_packets_are_damaged_goes_on_behind_them(tmp_path, extension):
    clip = noisy_stream(tmp_path / "clip.ts", {0, 1, 7})
    index = probe(clip)
    segment = tmp_path / "0.nut"
    with Reader(index) as reader:
        writer = SegmentWriter(segment, index, WriterOptions(preset="ultrafast"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
    output = tmp_path / f"out{extension}"
    (warning,) = join(index, [segment], output)
    assert re.search(r"damaged packets of stream 1 \(audio, aac\) between 0\.\d+ and 0\.\d+ s are left out", warning)
    assert heard(output) == heard(clip) >= 30 * 1024


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_sound_that_nothing_tells_how_to_decode_is_left_out_and_told(tmp_path, extension):
    clip = make_clips(tmp_path, ["front.mp4"])["front.mp4"]
    data = bytearray(clip.read_bytes())
    place = data.index(b"esds")
    # ISO/IEC 14496-1, 7.2.6: the descriptor of the decoder's own header has the tag 5.
    data[data.index(b"\x05\x80\x80\x80", place)] = 0x7F
    clip.write_bytes(data)
    index = probe(clip)
    with Reader(index) as reader:
        writer = SegmentWriter(tmp_path / "0.nut", index, WriterOptions(preset="ultrafast"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
    (warning,) = join(index, [tmp_path / "0.nut"], tmp_path / f"out{extension}")
    assert warning == "stream 1 (audio, aac) is damaged: nothing tells how to decode it, and it is left out"
    assert probe(tmp_path / f"out{extension}").frame_count == 24


def test_sound_whose_header_mp4_asks_for_is_encoded_anew_where_it_is_lost(tmp_path):
    clip = make_clips(tmp_path, ["vp9.webm"])["vp9.webm"]
    data = bytearray(clip.read_bytes())
    # RFC 9559: CodecPrivate is the element 0x63A2; one of an unknown number is passed over.
    data[data.rindex(b"\x63\xa2", 0, data.index(b"OpusHead")) + 1] = 0xA3
    clip.write_bytes(data)
    result, _ = written(clip, tmp_path / "out.mkv")
    assert [s.codec for s in result.streams] == ["opus"]
    result, _ = written(clip, tmp_path / "out.mp4")
    assert [s.codec for s in result.streams] == ["aac"]
    assert heard(tmp_path / "out.mp4") == pytest.approx(48000 * 0.96, abs=4000)
