"""Files with more than one picture: several video streams, covers; one is worked on, the others stay as they are."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vidswap.graph.errors import InputError
from vidswap.media import Reader, SegmentWriter, WriterOptions, join, probe

SIZES = [(64, 48), (96, 64), (32, 32)]


def several(path: Path, sizes: list[tuple[int, int]], frames: int = 10) -> Path:
    """A video stream of each size; the frames of each have brightness of their own."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for width, height in sizes:
            stream = container.add_stream("libx264", rate=25, options={"g": "5", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for i in range(frames):
            for number, stream in enumerate(streams):
                image = np.full((stream.height, stream.width, 3), 20 + 60 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def packets(path: Path) -> dict[tuple[int, int], list[bytes]]:
    """The packets of each video stream, by its size."""
    found: dict[tuple[int, int], list[bytes]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux(video=list(range(len(container.streams.video)))):
            context = packet.stream.codec_context
            if packet.size:
                found.setdefault((context.width, context.height), []).append(bytes(packet))
    return found


def rewritten(index: Any, output: Path, tags: dict[str, str] | None = None) -> list[str]:
    segment = output.with_name("0.nut")
    with Reader(index) as reader:
        writer = SegmentWriter(segment, index, WriterOptions(preset="ultrafast"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
    return join(index, [segment], output, metadata=tags)


@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_the_chosen_stream_is_worked_on_and_the_others_are_copied(tmp_path, extension, chosen):
    clip = several(tmp_path / f"clip{extension}", SIZES)
    index = probe(clip, video_stream=chosen)
    assert ((index.width, index.height), index.frame_count, index.warnings) == (SIZES[chosen], 10, ())
    assert rewritten(index, tmp_path / f"out{extension}") == []
    before, after = packets(clip), packets(tmp_path / f"out{extension}")
    assert {size: len(found) for size, found in after.items()} == dict.fromkeys(SIZES, 10)
    assert all(before[size] == after[size] for size in SIZES if size != SIZES[chosen])


def test_without_a_choice_what_is_taken_is_told(tmp_path):
    index = probe(several(tmp_path / "clip.mkv", SIZES[:2]))
    (warning,) = index.warnings
    assert f"2 video streams: 0 (64x48), 1 (96x64); {index.stream_index} is worked on" in warning
    assert "--video-stream chooses" in warning


def test_a_stream_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    clip = several(tmp_path / "clip.mkv", SIZES[:2])
    with pytest.raises(InputError, match=r"no video stream 7; there are 0 \(64x48\), 1 \(96x64\)$"):
        probe(clip, video_stream=7)


def test_a_choice_where_there_is_none_is_told_but_not_of_a_picture(tmp_path, make_clip):
    Image.new("RGB", (32, 32)).save(tmp_path / "one.png")
    assert probe(tmp_path / "one.png", video_stream=1).warnings == ()
    assert probe(several(tmp_path / "clip.mkv", SIZES[:1]), video_stream=0).warnings == ()


def with_cover(path: Path, clip: Path) -> bytes:
    """The clip with a cover picture; returns the picture's bytes."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)).save(file, "JPEG")
    picture = file.getvalue()
    with av.open(str(clip)) as source, av.open(str(path), "w") as result:
        video = result.add_stream_from_template(source.streams.video[0])
        if path.suffix == ".mkv":
            result.add_attachment("front.jpg", "image/jpeg", picture)
        else:
            with av.open(io.BytesIO(picture), format="jpeg_pipe") as still:
                cover = result.add_stream_from_template(still.streams.video[0])
                cover.disposition = av.stream.Disposition.attached_pic
                packet = next(still.demux(video=0))
                packet.stream = cover
                result.mux(packet)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                result.mux(packet)
    return picture


@pytest.mark.parametrize("to", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_a_cover_is_kept_and_not_taken_for_the_video(tmp_path, extension, to):
    clip, output = tmp_path / f"clip{extension}", tmp_path / f"out{to}"
    picture = with_cover(clip, several(tmp_path / f"plain{extension}", SIZES[:1]))
    index = probe(clip)
    assert ((index.width, index.height), index.frame_count, index.warnings) == (SIZES[0], 10, ())
    assert rewritten(index, output, {"comment": "changed", "own": "x"}) == []
    with av.open(str(output)) as container:
        (cover,) = (s for s in container.streams.video if s.disposition & av.stream.Disposition.attached_pic)
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert bytes(next(container.demux(cover))) == picture
    assert (tags["comment"], tags["own"], "vidswap_cover" in tags) == ("changed", "x", False)
    result = probe(output)
    assert (result.frame_count, result.warnings) == (10, ())
    with Reader(result) as reader:
        assert len(list(reader.read(0, 10))) == 10


def test_a_cover_that_the_container_has_no_room_for_is_told(tmp_path):
    clip = tmp_path / "clip.mkv"
    with_cover(clip, several(tmp_path / "plain.mkv", SIZES[:1]))
    index = probe(clip)
    with Reader(index) as reader:
        writer = SegmentWriter(tmp_path / "0.mkv", index, WriterOptions(codec="libvpx-vp9", preset="8"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
    (warning,) = join(index, [tmp_path / "0.mkv"], tmp_path / "out.webm")
    assert "is a cover picture that webm has no room for, and is left out" in warning
