"""decode.decord: the frames of decode.pyav, or one line that says why not."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vidswap.operators.decode_decord import DecodeDecord, DecodeDecordOptions

from vidswap import media
from vidswap.demo import portrait
from vidswap.graph import InputError, VidswapError
from vidswap.media import decord_reader

FRAMES = 30
CLIPS = {
    "ffv1.mkv": ("ffv1", "bgr0", {"level": "3"}),
    "raw.avi": ("rawvideo", "bgr24", {}),
    "raw.mov": ("rawvideo", "rgb24", {}),
    "png.mov": ("png", "rgb24", {}),
    "planar.avi": ("utvideo", "gbrp", {}),
    "rle.mov": ("qtrle", "rgb24", {"g": "8"}),
    "b_frames.mp4": ("libx264rgb", "bgr0", {"crf": "20", "g": "10", "bf": "3"}),
}


def make(path: Path, codec, pixel_format, options, pts=None, base=None) -> Path:
    random = np.random.default_rng(4)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = 98, 66, pixel_format
        if base:
            stream.codec_context.time_base = base
        for i in range(FRAMES):
            image = np.kron(random.integers(0, 256, (33, 49, 3)), np.ones((2, 2, 1))).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
            frame.pts = pts[i] if pts else i
            if base:
                frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def planes(pictures):
    return [(p.frame, p.pts, b"".join(v.tobytes() for v in p.planes)) for p in pictures]


def decoder():
    return DecodeDecord(DecodeDecordOptions())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    pytest.importorskip("decord")
    folder = tmp_path_factory.mktemp("rgb")
    return {name: make(folder / name, *how) for name, how in CLIPS.items()}


@pytest.fixture(scope="module")
def wholes(clips):
    return {name: planes(media.read(media.probe(path), 0, FRAMES)) for name, path in clips.items()}


@pytest.mark.parametrize("name", CLIPS)
def test_frames_of_rgb_videos_are_those_of_pyav_bit_for_bit(clips, wholes, name):
    operator = decoder()
    index = operator.probe(clips[name])
    assert index.working_format == "gbrp"
    assert planes(operator.read(index, 0, FRAMES)) == wholes[name]
    assert operator.take_warnings() == []
    operator.teardown()


@pytest.mark.parametrize("name", ["ffv1.mkv", "rle.mov", "b_frames.mp4"])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges=st.lists(st.tuples(st.integers(0, FRAMES - 1), st.integers(1, 9)), min_size=1, max_size=5))
def test_whatever_is_read_first_gives_the_same_frames(clips, wholes, name, ranges):
    operator = decoder()
    index = operator.probe(clips[name])
    for start, length in ranges:
        stop = min(start + length, FRAMES)
        assert planes(operator.read(index, start, stop)) == wholes[name][start:stop]


def test_a_reading_that_is_given_up_does_not_move_the_next(clips, wholes):
    operator = decoder()
    index = operator.probe(clips["b_frames.mp4"])
    one, two = operator.read(index, 5, 15), operator.read(index, 20, 25)
    found = [planes([next(reading)])[0] for reading in (one, two, one, two)]
    assert found == [wholes["b_frames.mp4"][i] for i in (5, 20, 6, 21)]


def test_part_of_a_video_has_the_frames_of_the_whole(clips, wholes):
    operator = decoder()
    part = operator.trim(operator.probe(clips["b_frames.mp4"]), "12f", "22f")
    found = [data for _, _, data in planes(operator.read(part, 0, part.frame_count))]
    assert found == [data for _, _, data in wholes["b_frames.mp4"][12:22]]


def test_variable_frame_rate_keeps_its_times(tmp_path):
    pytest.importorskip("decord")
    pts = np.cumsum([20, 40, 7, 100, 33, 34] * 5).tolist()
    path = make(tmp_path / "vfr.mkv", "ffv1", "bgr0", {"level": "3"}, pts, Fraction(1, 1000))
    operator = decoder()
    index = operator.probe(path)
    assert [round(p.pts * index.time_base * 1000) for p in operator.read(index, 0, FRAMES)] == pts


@pytest.mark.parametrize("pixel_format", ["yuv420p", "gbrp10le", "gray", "bgra"])
def test_videos_that_it_would_change_are_refused_in_one_line(tmp_path, pixel_format):
    pytest.importorskip("decord")
    path = make(tmp_path / "clip.mkv", "ffv1", pixel_format, {"level": "3"})
    complaint = f"clip.mkv: decord gives 8-bit RGB alone; frames of a {pixel_format} video would not .*use decode.pyav$"
    with pytest.raises(InputError, match=complaint):
        decoder().probe(path)


def test_other_counts_sizes_and_times_are_told(clips):
    index = media.probe(clips["ffv1.mkv"])
    shorter = dataclasses.replace(index, pts=index.pts[:-1], durations=index.durations[:-1])
    later = dataclasses.replace(index, pts=index.pts + 10 * (np.arange(FRAMES) == 29))
    turned = dataclasses.replace(index, display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    wider = dataclasses.replace(index, stored_width=100)
    for wrong, complaint in (
        (shorter, "counts 30 frames, there are 29"),
        (later, "puts frame 29 1.160000 s after the first, it is 1.170000 s after"),
        (turned, "decord turns frames"),
        (wider, "98x66 pixels, not 100x66"),
    ):
        with pytest.raises(InputError, match=complaint):
            decord_reader.check(wrong, 1)


def test_a_file_that_vanishes_is_an_error_of_one_line(clips, tmp_path):
    index = dataclasses.replace(media.probe(clips["ffv1.mkv"]), path=tmp_path / "gone.mkv")
    with pytest.raises(VidswapError, match=r"^gone\.mkv: decord cannot open it \(.*\): use decode\.pyav$"):
        list(decoder().read(index, 0, 1))


def test_the_portrait_of_a_source_is_read_as_pyav_reads_it():
    pytest.importorskip("decord")
    operator = decoder()
    index = operator.probe(portrait("astronaut"))
    assert planes(operator.read(index, 0, 1)) == planes(media.read(media.probe(portrait("astronaut")), 0, 1))
    operator.teardown()


def test_without_decord_the_remedy_is_told(clips, monkeypatch):
    monkeypatch.setattr(decord_reader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed: pip install 'vidswap\[decord\]'"):
        decoder().probe(clips["ffv1.mkv"])
