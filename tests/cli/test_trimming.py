"""--start and --end: exact to the frame, with the sound that belongs to it, however it is run and written."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from cli_media import decoded

from vidswap.graph import InputError
from vidswap.media import probe, trim

CLICK_S = 0.70


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """50 frames at 25 per second, each of its own grey; a click at 0.7 s; a subtitle and two chapters."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"g": "12", "bf": "2", "preset": "ultrafast", "crf": "10"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = out.add_stream("aac", rate=48000, layout="mono")
        out.set_chapters(
            [
                {"id": i, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for i, (a, b, title) in enumerate([(0, 1000, "one"), (1000, 2000, "two")])
            ]
        )
        for i in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 5 * i, np.uint8), format="rgb24")
            picture.pts, picture.time_base = i, Fraction(1, 25)
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
        samples = np.zeros(96000, np.float32)
        samples[int(48000 * CLICK_S) :][:24] = 0.9
        for start in range(0, len(samples), 1024):
            tone = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(tone))
        out.mux(sound.encode(None))
    return path


def greys(path):
    return [round(float(frame.mean()) / 5) for frame in decoded(path, "rgb24")[0]]


def click_s(path):
    """When the click sounds, in seconds from the first frame on."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
        began = float(first.pts * first.time_base)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.3)
            if len(loud):
                return float(frame.pts * frame.time_base) + loud[0] / frame.sample_rate - began
    return None


@pytest.fixture(scope="module")
def passing(tmp_path_factory):
    """A pipeline that changes nothing."""
    path = tmp_path_factory.mktemp("pipeline") / "pass.yaml"
    path.write_text("name: pass\nstages:\n  - {use: decode.pyav}\n  - {use: encode.pyav}\n")
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize(("start", "end", "first", "stop"), [("0.5", "1.2", 12, 30), ("13f", None, 13, 50)])
def test_a_part_has_its_frames_its_sound_and_begins_at_zero(
    vidswap, film, passing, tmp_path, suffix, start, end, first, stop
):
    output = tmp_path / f"out{suffix}"
    ends = ["--end", end] if end else []
    code, _, err = vidswap("run", passing, "-t", film, "-o", output, "--start", start, *ends, "-j", 0)
    assert code == 0, err
    assert greys(output) == list(range(first, stop))
    times = decoded(output)[1]
    assert float(times[-1] - times[0]) == pytest.approx((stop - first - 1) / 25, abs=1e-3)
    assert float(times[0]) == pytest.approx(0, abs=0.022)
    assert click_s(output) == pytest.approx(CLICK_S - first / 25, abs=0.002)
    with av.open(str(output)) as container:
        assert float(container.duration / av.time_base) == pytest.approx((stop - first) / 25, abs=0.05)
        titles = [(round(float(c["start"] * c["time_base"]), 2), c["metadata"]["title"]) for c in container.chapters()]
    # Matroska moves everything by AAC's priming.
    assert [t for _, t in titles] == ["one", "two"]
    assert [at for at, _ in titles] == pytest.approx([0, 1 - first / 25], abs=0.025)


def test_a_part_does_not_depend_on_how_it_was_run(vidswap, film, passing, tmp_path):
    pictures = []
    for number, how in enumerate((["-j", 0], ["-j", 2, "--segment-frames", 7])):
        output = tmp_path / f"{number}.mkv"
        arguments = ["-t", film, "-o", output, "--codec", "ffv1", "--start", "0.3", "--end", "1.7", *how]
        assert vidswap("run", passing, *arguments)[0] == 0
        pictures.append(decoded(output)[0])
    assert len(pictures[0]) == 36
    assert all(np.array_equal(a, b) for a, b in zip(*pictures, strict=True))


def test_an_interrupted_run_of_another_part_is_not_gone_on_with(vidswap, film, passing, tmp_path):
    common = ["run", passing, "-t", film, "--job", tmp_path / "job", "-j", 0]
    assert vidswap(*common, "-o", tmp_path / "a.mp4", "--start", "0.4")[0] == 0
    code, _, err = vidswap(*common, "-o", tmp_path / "b.mp4", "--start", "0.8")
    assert (code, "differs: --start was" in err) == (2, True)


def test_nothing_found_in_a_part_is_a_copy_of_the_part(vidswap, film, grace, tmp_path):
    output = tmp_path / "out.mp4"
    code, out, _ = vidswap("swap", "-s", grace, "-t", film, "-o", output, "--start", "12f", "--json", "-j", 0)
    report = json.loads(out.splitlines()[-1])
    assert (code, report["frames"], report["frames_copied"]) == (0, 38, 38)
    assert greys(output) == list(range(12, 50))


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("1:00", None, "--start 1:00 lies behind the end of film.mkv, which has 50 frames in 2.000 s"),
        ("1.5", "1.2", "nothing of film.mkv lies between --start 1.5 and --end 1.2"),
        (None, "0", "nothing of film.mkv lies between --start 0 and --end 0"),
        ("half", None, "--start 'half' is no time; write seconds as 75.5, a clock as 1:15.5, or a frame as 1875f"),
        ("-1", None, "--start '-1' is no time"),
    ],
)
def test_a_part_that_is_none_is_told_in_one_line(vidswap, film, passing, tmp_path, start, end, told):
    ends = [f"--start={start}"] * bool(start) + [f"--end={end}"] * bool(end)
    code, _, err = vidswap("run", passing, "-t", film, "-o", tmp_path / "out.mp4", *ends, "-j", 0)
    assert (code, err.count("\n"), told in err) == (2, 1, True)
    assert not list(tmp_path.iterdir())


def test_times_are_frames_seconds_or_a_clock(film):
    index = probe(film)
    for text in ("1.2", "1.2s", "0:01.2", "0:00:01.2", "30f", "1.21", "1.239"):
        assert trim(index, text, None).first == 30
    assert trim(index, None, "1.2").frame_count == trim(index, None, "30f").frame_count == 30
    assert trim(index, None, "1.21").frame_count == 31
    assert trim(index, "0", "99") is index
    part = trim(index, "20f", "45f")
    assert (part.keyframes.tolist(), part.closed_groups.tolist()) == ([4, 16], [[4, 16]])
    with pytest.raises(InputError, match="behind the end"):
        trim(index, "50f", None)
