"""Deinterlacing is asked for, keeps number and time of frames, and does not depend on where reading begins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vidswap.operators.decode import DecodeOptions, DecodePyAV
from vidswap.operators.encode import EncodeOptions, EncodePyAV

from vidswap.media import Reader, deinterlaced, probe, trim

FRAMES = 21
INTERLACED_DCT = 0x40000


def make_interlaced(path: Path, *, top_first: bool = True, codec: str = "libx264", marked: bool = True) -> Path:
    """A bar that moves from field to field; the two fields of a frame are 1/50 s apart."""
    y, x = np.mgrid[0:96, 0:160]
    graph = av.filter.Graph()
    source = graph.add_buffer(width=160, height=96, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    field = graph.add("setfield", f"mode={'tff' if top_first else 'bff'}" if marked else "mode=prog")
    graph.link_nodes(source, field, graph.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "g": "6", "bf": "2"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        if marked:
            stream.codec_context.flags |= INTERLACED_DCT
        for i in range(FRAMES):
            first, second = (0, 1) if top_first else (1, 0)
            luma = np.zeros((96, 160), np.uint8)
            for parity, when in ((first, 2 * i), (second, 2 * i + 1)):
                shown = np.where(abs(x - (10 + 3 * when)) < 6, 220, 40 + y // 2)
                luma[parity::2] = shown[parity::2]
            planes = np.vstack([luma, np.full((48, 160), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            graph.vpush(frame)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_interlaced(tmp_path_factory.mktemp("fields") / "in.mp4")


@pytest.fixture(scope="module")
def whole(clip) -> list[bytes]:
    """All deinterlaced frames, read from the start."""
    index = deinterlaced(probe(clip))
    with Reader(index) as reader:
        return [b"".join(v.tobytes() for v in p.planes) for p in reader.read(0, FRAMES)]


def combing(picture) -> float:
    """How much rows differ from the rows beside them more than from those next but one."""
    luma = picture.planes[0].astype(int)
    return float(np.abs(luma[1:-1] * 2 - luma[:-2] - luma[2:]).mean())


@pytest.mark.parametrize("top_first", [True, False])
def test_the_order_of_fields_is_known(tmp_path, top_first):
    index = probe(make_interlaced(tmp_path / "in.mp4", top_first=top_first))
    assert (index.interlaced, index.top_field_first) == (True, top_first)
    assert index.summary()["interlaced"] == f"{'top' if top_first else 'bottom'} field first"
    assert deinterlaced(index).interlaced is False


@pytest.mark.parametrize("top_first", [True, False])
def test_a_frame_becomes_one_whole_picture(tmp_path, top_first):
    index = probe(make_interlaced(tmp_path / "in.mp4", top_first=top_first))
    smooth = deinterlaced(index)
    with Reader(index) as before, Reader(smooth) as after:
        pairs = list(zip(before.read(0, FRAMES), after.read(0, FRAMES), strict=True))
    assert [p.pts for p, _ in pairs] == [q.pts for _, q in pairs] == index.pts.tolist()
    assert max(combing(q) for _, q in pairs[1:-1]) < 0.4 * min(combing(p) for p, _ in pairs[1:-1])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, FRAMES - 1), st.integers(1, 9))
def test_frames_do_not_depend_on_where_reading_begins(clip, whole, start, count):
    stop = min(FRAMES, start + count)
    with Reader(deinterlaced(probe(clip))) as reader:
        found = [b"".join(v.tobytes() for v in p.planes) for p in reader.read(start, stop)]
    assert found == whole[start:stop]


def test_a_trimmed_video_has_the_frames_of_the_whole_one(clip, whole):
    index = trim(deinterlaced(probe(clip)), "7f", "12f")
    with Reader(index) as reader:
        assert [b"".join(v.tobytes() for v in p.planes) for p in reader.read(0, 5)] == whole[7:12]


def test_frames_that_are_not_marked_are_left_alone_unless_all_are_asked_for(tmp_path):
    index = probe(make_interlaced(tmp_path / "in.mkv", codec="ffv1", marked=False))
    assert not index.interlaced

    def planes(of):
        with Reader(of) as reader:
            return [p.planes[0].copy() for p in reader.read(0, FRAMES)]

    assert np.array_equal(planes(index), planes(deinterlaced(index)))
    assert not np.array_equal(planes(index), planes(deinterlaced(index, all_frames=True)))


@pytest.mark.parametrize(
    ("options", "deinterlace"),
    [({}, None), ({"deinterlace": True}, "interlaced"), ({"deinterlace": "all"}, "all")],
)
def test_the_operator_deinterlaces_on_request_alone(clip, tmp_path, options, deinterlace):
    index = DecodePyAV(DecodeOptions(**options)).probe(clip)
    assert (index.deinterlace or "").rpartition("=")[2] == (deinterlace or "")
    # What is to be deinterlaced is never copied as it is, neither in parts nor as a whole.
    encode = EncodePyAV(EncodeOptions())
    assert encode.can_copy(index, tmp_path / "out.mp4") is (deinterlace is None)
    if deinterlace is not None:
        assert encode.why_not_copied(index, tmp_path / "out.mp4") is not None
    told = encode.check(index, tmp_path / "out.mp4")
    assert [("interlaced (top field first) and stays so" in line) for line in told] == [True] * (deinterlace is None)


@pytest.mark.parametrize(("codec", "extension"), [("libx264", ".mp4"), ("ffv1", ".mkv"), ("prores_ks", ".mov")])
@pytest.mark.parametrize("top_first", [True, False])
def test_an_interlaced_video_stays_so(tmp_path, codec, extension, top_first):
    decode, encode = DecodePyAV(DecodeOptions()), EncodePyAV(EncodeOptions(codec=codec))
    index = decode.probe(make_interlaced(tmp_path / "in.mp4", top_first=top_first))
    segment = tmp_path / f"0{encode.extension}"
    encode.begin(segment, index, threads=1)
    for picture in decode.read(index, 0, FRAMES):
        encode.write(picture)
    encode.finish()
    encode.join(index, [segment], tmp_path / f"out{extension}", {})
    result = probe(tmp_path / f"out{extension}")
    assert (result.interlaced, result.top_field_first) == (True, top_first)
    assert (result.pts * result.time_base == index.pts * index.time_base).all()
