"""`vidswap compare`: two videos in one, with the times and the sound of the first."""

import json

import av
import numpy as np
import pytest
from cli_media import decoded, packets, write_clip


@pytest.fixture(scope="module")
def bright(tmp_path_factory, clip):
    """The clip, 40 grey levels brighter, half as large, at the same times."""
    frames, times = decoded(clip, "rgb24")
    changed = [np.clip(f[::2, ::2].astype(int) + 40, 0, 255).astype(np.uint8) for f in frames]
    pts = [round(float(t) * 1000) for t in times]
    return write_clip(tmp_path_factory.mktemp("compare") / "bright.mp4", changed, pts=pts)


def test_side_by_side_has_both_and_the_times_and_sound_of_the_first(vidswap, clip, bright, tmp_path):
    output = tmp_path / "both.mp4"
    code, out, err = vidswap("compare", clip, bright, "-o", output, "--labels", "target,result", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["mode"], facts["frames"]) == ("side-by-side", 26)
    (shown, times), (first, wanted) = decoded(output, "rgb24"), decoded(clip, "rgb24")
    assert times == wanted
    assert packets(output, "audio") == packets(clip, "audio")
    assert shown[0].shape == (240, 640, 3)
    below = np.s_[60:]
    assert np.abs(shown[7][below, :320].astype(int) - first[7][below]).mean() < 4
    apart = shown[7][below, 320:].astype(int) - shown[7][below, :320]
    assert np.median(apart) == pytest.approx(40, abs=6)


def test_a_wipe_shows_the_first_left_of_the_line(vidswap, clip, bright, tmp_path):
    code, _, err = vidswap("compare", clip, bright, "-o", tmp_path / "wipe.mkv", "--wipe", "--codec", "ffv1", "-q")
    assert code == 0, err
    shown, times = decoded(tmp_path / "wipe.mkv", "rgb24")
    first = decoded(clip, "rgb24")[0]
    assert shown[0].shape == (240, 320, 3)
    # At first all of it is the second video; a quarter of the way is reached after two thirds of a second.
    assert np.median(shown[0].astype(int) - first[0]) > 20
    late = next(i for i, t in enumerate(times) if t >= 0.9)
    line = round(320 * (0.5 - 0.5 * np.cos(2 * np.pi * float(times[late]) / 4)))
    assert np.abs(shown[late][:, : line - 3].astype(int) - first[late][:, : line - 3]).mean() < 3
    assert np.median(shown[late][:, line + 3 :].astype(int) - first[late][:, line + 3 :]) > 20


def test_the_difference_of_equal_videos_is_black(vidswap, clip, tmp_path):
    code, _, err = vidswap("compare", clip, clip, "-o", tmp_path / "d.mkv", "--difference", "--codec", "ffv1", "-q")
    assert code == 0, err
    assert max(int(f.max()) for f in decoded(tmp_path / "d.mkv", "rgb24")[0]) == 0


def test_what_the_result_says_of_itself_stays_said(vidswap, clip, tmp_path):
    marked = tmp_path / "marked.mkv"
    with av.open(str(clip)) as source, av.open(str(marked), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        copy.metadata["comment"] = "Faces in this video were changed"
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    code, _, err = vidswap("compare", clip, marked, "-o", tmp_path / "both.mp4", "-q")
    assert code == 0, err
    with av.open(str(tmp_path / "both.mp4")) as written:
        assert written.metadata["comment"] == "Faces in this video were changed"


@pytest.mark.parametrize("suffix", [".webm", ".gif", ".mkv"])
def test_the_name_of_the_output_chooses_the_codec(vidswap, clip, tmp_path, suffix):
    code, _, err = vidswap("compare", clip, clip, "-o", tmp_path / f"both{suffix}")
    assert code == 0, err
    assert len(decoded(tmp_path / f"both{suffix}")[0]) == 26


def test_bad_input_is_one_line_and_nothing_is_written(vidswap, clip, faceless, bright, tmp_path):
    output = tmp_path / "out.mp4"
    slower = write_clip(tmp_path / "slower.mp4", [np.zeros((120, 160, 3), np.uint8)] * 26)
    for arguments, told in (
        ((clip, faceless), "26 frames and faceless.mp4 has 12"),
        ((clip, slower), "frame 1 is at 0.053 s in clip.mp4 and at 0.040 s in slower.mp4"),
        ((clip, bright, "--wipe", "--difference"), "give one of --wipe and --difference"),
        ((clip, bright, "--labels", "one"), "write two texts with a comma between"),
        ((clip, bright, "--codec", "libx246"), "libx246"),
        ((clip, tmp_path / "none.mp4"), "none.mp4"),
    ):
        code, _, err = vidswap("compare", *arguments, "-o", output)
        assert code == 2 and told in err
        assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slower.mp4"]
    code, _, err = vidswap("compare", clip, bright, "-o", bright, "-y")
    assert code == 2
