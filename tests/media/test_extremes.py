"""Files at the edge of what there is: no frame, one frame, very large ones, sound that begins late, equal times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidswap.graph.errors import InputError
from vidswap.media import Reader, SegmentWriter, WriterOptions, join, probe

X264 = {"g": "8", "bf": "0", "preset": "ultrafast"}


def make(path: Path, times_ms: list[int], size: tuple[int, int] = (64, 48), sound_s: Any = None) -> Path:
    """A video with frames at these times, and a tone between two times in seconds."""
    with av.open(str(path), "w") as container:
        base = Fraction(1, 1000)
        stream: Any = container.add_stream("libx264", rate=25, options=X264)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        tone: Any = container.add_stream("aac", rate=48000, layout="mono") if sound_s else None
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
        encoder.time_base, encoder.framerate, encoder.options = base, Fraction(25), X264
        packets: list[Any] = []
        for i in range(len(times_ms)):
            luma = np.full((size[1] * 3 // 2, size[0]), 30 + 5 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
            frame.pts, frame.time_base = 40 * i, base
            packets += encoder.encode(frame)
        for packet, time in zip(packets + encoder.encode(None), times_ms, strict=False):
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, base, time, time
            container.mux(packet)
        if tone is not None:
            first, last = (round(t * 48000 / 1024) for t in sound_s)
            for i in range(first, last):
                heard = av.AudioFrame.from_ndarray(np.full((1, 1024), 0.1, np.float32), format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 48000, 1024 * i
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    return path


def rewritten(path: Path, output: Path) -> list[str]:
    index = probe(path)
    segment = output.with_name("0.nut")
    with Reader(index) as reader:
        writer = SegmentWriter(segment, index, WriterOptions(preset="ultrafast"))
        for picture in reader.read(0, index.frame_count):
            writer.add(picture)
        writer.close()
        told = reader.take_warnings()
    return [*index.warnings, *told, *join(index, [segment], output)]


def times(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        return [round(float(p.pts * p.time_base), 3) for p in container.demux(streams) if p.size] if streams else []


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_a_video_without_a_frame_is_refused_in_one_line(tmp_path, extension):
    with pytest.raises(InputError, match=r"no frame of .* can be decoded|holds sound alone") as told:
        probe(make(tmp_path / f"clip{extension}", [], sound_s=(0, 0.5)))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_one_frame_stays_one_frame(tmp_path, extension):
    clip, output = make(tmp_path / f"clip{extension}", [0]), tmp_path / f"out{extension}"
    assert rewritten(clip, output) == []
    assert times(output, "video") == times(clip, "video") == [0.0]


def test_8k_goes_through(tmp_path):
    clip, output = make(tmp_path / "clip.mp4", [0, 40], (7680, 4320)), tmp_path / "out.mp4"
    assert rewritten(clip, output) == []
    result = probe(output)
    assert (result.width, result.height, result.frame_count) == (7680, 4320, 2)


@pytest.mark.parametrize("extension", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("sound_s", [(0.5, 1.0), (0, 0.2), (0, 3.0), (2.0, 3.0), None])
def test_sound_begins_and_ends_when_it_did(tmp_path, extension, sound_s):
    clip = make(tmp_path / f"clip{extension}", [40 * i for i in range(25)], sound_s=sound_s)
    output = tmp_path / f"out{extension}"
    assert rewritten(clip, output) == []
    assert times(output, "video") == times(clip, "video")
    assert times(output, "audio") == times(clip, "audio")
    assert bool(times(output, "audio")) == (sound_s is not None)


@pytest.mark.parametrize("extension", [".mkv", ".mp4"])
def test_frames_at_equal_times_are_all_kept_and_told(tmp_path, extension):
    clip = make(tmp_path / "clip.mkv", [0, 40, 80, 80, 120, 160])
    warnings = rewritten(clip, tmp_path / f"out{extension}")
    (warning,) = warnings
    assert "timestamps of 1 of 6 frames, from frame 3 (0.100 s) on, are missing or do not follow" in warning
    found = times(tmp_path / f"out{extension}", "video")
    assert len(found) == 6 and found == sorted(set(found))
    assert (found[0], found[-1]) == (0.0, 0.16)
