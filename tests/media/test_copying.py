"""Stretches that nothing changes come through packet by packet, and the rest stands between them as if it belonged."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from vidswap.operators.encode import EncodeOptions, EncodePyAV

from vidswap.graph.errors import VidswapError
from vidswap.graph.segments import complement
from vidswap.media import VideoIndex, copying, probe, read, trim, video_packets
from vidswap.media.parameter_sets import ParameterSets, merged, split_start_codes, with_lengths

FRAMES = 60
HEVC = "keyint=10:scenecut=0:log-level=none:pools=1:frame-threads=1:"
X264 = {"preset": "ultrafast", "g": "10", "sc_threshold": "0"}


def make(path: Path, codec: str = "libx264", pixel_format: str = "yuv420p", **options: str) -> Path:
    """A clip whose frames all differ, with a keyframe every ten."""
    noise = np.random.default_rng(3).integers(0, 60, (48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={**(X264 if codec == "libx264" else {}), **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for i in range(FRAMES):
            image = np.roll(noise, i, axis=1) + np.uint8(3 * i)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def go(index: VideoIndex, output: Path, changed: np.ndarray, cuts: list[int], **options) -> list[tuple[int, int]]:
    """Encode what is changed and what cannot be copied, segment by segment, and join; returns what was copied."""
    encode = EncodePyAV(EncodeOptions(**options))
    assert encode.why_not_copied(index, output) is None
    copied, segments = [], []
    for start, stop in zip([0, *cuts], [*cuts, index.frame_count], strict=True):
        segments.append(output.parent / f"{start}{encode.extension}")
        spared = encode.stretches(index, changed[start:stop], start, stop)
        copied += spared
        runs = complement(spared, start, stop)
        if not runs:
            segments[-1].touch()
            continue
        encode.begin(segments[-1], index, threads=1)
        for a, b in runs:
            for picture in read(index, a, b):
                encode.write(picture)
        assert encode.finish()["frames"] == sum(b - a for a, b in runs)
    assert encode.join(index, segments, output, {}, copied) == []
    return copied


def planes(path: Path) -> list[bytes]:
    index = probe(path)
    return [b"".join(p.tobytes() for p in picture.planes) for picture in read(index, 0, index.frame_count)]


def packets(path: Path) -> list[bytes]:
    """Of the video, in presentation order."""
    with av.open(str(path)) as container:
        found = [(p.pts, bytes(p)) for p in container.demux(container.streams.video[0]) if p.size]
    return [data for _, data in sorted(found)]


def changes(*frames: int) -> np.ndarray:
    changed = np.zeros(FRAMES, bool)
    changed[list(frames)] = True
    return changed


KINDS = {
    "b-frames": ("in.mp4", "libx264", "yuv420p", {"bf": "3"}),
    "no b-frames": ("in.mp4", "libx264", "yuv420p", {"bf": "0"}),
    "baseline": ("in.mkv", "libx264", "yuv420p", {"profile": "baseline"}),
    "ten bits": ("in.mp4", "libx264", "yuv420p10le", {"bf": "2"}),
    "4:4:4": ("in.mkv", "libx264", "yuv444p", {"bf": "2"}),
    "transport stream": ("in.ts", "libx264", "yuv420p", {"bf": "2"}),
    "own numbers": ("in.mp4", "libx264", "yuv420p", {"x264-params": "sps-id=1"}),
    "hevc": ("in.mp4", "libx265", "yuv420p", {"x265-params": HEVC + "open-gop=0:bframes=3"}),
    "hevc, ten bits": ("in.mkv", "libx265", "yuv420p10le", {"x265-params": HEVC + "open-gop=0:slices=2"}),
    "hevc transport stream": ("in.ts", "libx265", "yuv420p", {"x265-params": HEVC + "open-gop=0:bframes=0"}),
    "vp9": ("in.webm", "libvpx-vp9", "yuv420p", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
    "ffv1": ("in.mkv", "ffv1", "yuv420p", {"level": "3", "slicecrc": "1", "g": "1"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cuts", [[], [7, 30, 40]], ids=["whole", "segments"])
def test_copied_stretches_are_the_inputs_own(tmp_path, kind, cuts):
    name, codec, pixel_format, options = KINDS[kind]
    index = probe(make(tmp_path / name, codec, pixel_format, **options))
    suffix = ".webm" if codec == "libvpx-vp9" else ".mkv" if codec == "ffv1" else ".mp4"
    output = tmp_path / f"out{suffix}"
    copied = go(index, output, changes(12, 13, 34), cuts, codec=codec)
    again = probe(output)
    assert sum(b - a for a, b in copied) == (57 if codec == "ffv1" else 30 if cuts else 40)
    assert (again.pts * again.time_base == index.pts * index.time_base).all()
    before, after = planes(index.path), planes(output)
    for a, b in copied:
        assert before[a:b] == after[a:b]
        if name.endswith((".mp4", ".mkv", ".webm")) and suffix != ".webm":
            assert packets(index.path)[a:b] == packets(output)[a:b]
    assert len(after) == FRAMES
    # What is not copied is still the picture that it was, up to the encoder.
    if pixel_format == "yuv420p":
        pairs = [(np.frombuffer(x, np.uint8), np.frombuffer(y, np.uint8)) for x, y in zip(before, after, strict=True)]
        assert max(np.abs(x - y.astype(int)).mean() for x, y in pairs) < 6


def test_everything_can_be_copied(tmp_path):
    index = probe(make(tmp_path / "in.mp4", bf="2"))
    assert go(index, tmp_path / "out.mkv", changes(), [20]) == [(0, 20), (20, 60)]
    assert packets(tmp_path / "out.mkv") == packets(tmp_path / "in.mp4")


def test_a_trimmed_video_is_cut_and_copied_by_groups(tmp_path):
    index = trim(probe(make(tmp_path / "in.mp4", bf="2")), "0.32", "2.0")
    assert (index.first, index.frame_count) == (8, 42)
    changed = np.zeros(42, bool)
    assert go(index, tmp_path / "out.mp4", changed, [21]) == [(2, 12), (22, 42)]
    again = probe(tmp_path / "out.mp4")
    assert (again.pts * again.time_base == (index.pts - index.pts[0]) * index.time_base).all()
    assert planes(tmp_path / "out.mp4")[2:12] == planes(tmp_path / "in.mp4")[10:20]


def test_open_groups_are_not_cut_apart(tmp_path):
    index = probe(make(tmp_path / "in.mp4", bf="3", **{"x264-params": "open-gop=1:keyint=10:scenecut=0"}))
    assert len(index.keyframes) > 3
    assert index.closed_groups.tolist() == [[0, 60]]
    assert EncodePyAV(EncodeOptions()).stretches(index, changes(31), 0, 60) == []


def test_why_nothing_is_copied_is_told(tmp_path):
    index = probe(make(tmp_path / "in.mp4"))
    output = tmp_path / "out.mp4"
    assert EncodePyAV(EncodeOptions()).why_not_copied(index, output) is None
    why = EncodePyAV(EncodeOptions(smart_copy=False)).why_not_copied(index, output)
    assert why == "smart copy is turned off"
    assert EncodePyAV(EncodeOptions(codec="ffv1")).why_not_copied(index, output) == "the input is h264, the output ffv1"
    deep = EncodePyAV(EncodeOptions(pixel_format="yuv420p10le")).why_not_copied(index, output)
    assert deep == "the input is yuv420p, the output yuv420p10le"


def test_stretches_are_whole_groups_without_a_change(tmp_path):
    index = probe(make(tmp_path / "in.mp4"))
    assert index.closed_groups.tolist() == [[a, a + 10] for a in range(0, 60, 10)]
    assert copying.stretches(index, changes(12, 34), 0, 60) == [(0, 10), (20, 30), (40, 60)]
    assert copying.stretches(index, changes(12, 34)[5:45], 5, 45) == [(20, 30)]


def test_segments_that_do_not_make_up_the_video_are_refused(tmp_path):
    index = probe(make(tmp_path / "in.mp4"))
    (tmp_path / "0.nut").touch()
    with pytest.raises(VidswapError, match="the segments hold 30 frames, the video has 60"):
        video_packets.plan(index, [tmp_path / "0.nut"], [(0, 30)])


def test_a_file_that_has_changed_is_not_copied_from(tmp_path):
    index = probe(make(tmp_path / "in.mp4"))
    make(tmp_path / "in.mp4", g="7")
    with pytest.raises(VidswapError, match="packets of frames 10 to 19"):
        list(copying.packets(index, [(10, 20)]))


def test_one_header_serves_both_encoders(tmp_path):
    def header(**options: str) -> bytes:
        container = av.open(io.BytesIO(), "w", format="nut")
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.open()
        return bytes(stream.codec_context.extradata)

    one = probe(make(tmp_path / "in.mp4", profile="main"))
    first, second = ParameterSets.parse(one.codec_header), ParameterSets.parse(header(**{"x264-params": "sps-id=5"}))
    assert (first.length_bytes, second.length_bytes) == (4, None)
    assert (first.numbers(), second.numbers()) == ({0}, {5})
    joint = ParameterSets.parse(merged(first, second))
    assert (joint.sequence, joint.numbers()) == ((*first.sequence, *second.sequence), {0, 5})
    with pytest.raises(ValueError, match="bear one number"):
        merged(first, ParameterSets.parse(header(crf="30", profile="high")))
    with pytest.raises(ValueError, match="cut off"):
        ParameterSets.parse(one.codec_header[:20])


def test_start_codes_become_lengths():
    stream = b"\0\0\0\1\x67\1\2\0\0\1\x68\3\0\0\0\1\x65\0\0\3\1\x80"
    assert split_start_codes(stream) == [b"\x67\1\2", b"\x68\3", b"\x65\0\0\3\1\x80"]
    assert with_lengths(stream, 4) == b"\0\0\0\3\x67\1\2\0\0\0\2\x68\3\0\0\0\6\x65\0\0\3\1\x80"
