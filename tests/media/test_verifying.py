"""A segment counts as done only when it can be read again."""

import av
import numpy as np
import pytest

from vidswap.graph.errors import VidswapError
from vidswap.media.verifying import verify_segment


@pytest.fixture(params=[("libx264", "mkv"), ("ffv1", "nut")], ids=lambda p: p[0])
def segment(request, tmp_path):
    """Twelve frames, with B-frames where the codec has them."""
    codec, suffix = request.param
    path = tmp_path / f"segment.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * i, np.uint8), format="rgb24")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def test_a_whole_segment_is_accepted(segment):
    verify_segment(segment, 12)


@pytest.mark.parametrize("frames", [11, 13])
def test_another_number_of_frames_is_refused(segment, frames):
    with pytest.raises(VidswapError, match=rf"segment\.\w+ holds 12 of {frames} frames when read again"):
        verify_segment(segment, frames)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_truncated_segment_is_refused_in_one_line(segment, share):
    content = segment.read_bytes()
    segment.write_bytes(content[: int(share * len(content))])
    with pytest.raises(VidswapError, match="when read again|cannot be read again|cannot be decoded") as told:
        verify_segment(segment, 12)
    assert "\n" not in str(told.value)


def test_a_missing_segment_is_refused(tmp_path):
    with pytest.raises(VidswapError, match="none.mkv cannot be read again"):
        verify_segment(tmp_path / "none.mkv", 1)
