"""Parameters that PyAV has no attributes for reach the output's header."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from vidswap.media import SegmentWriter, WriterOptions, codecs, join, probe, read

CODECS = ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"]
PRESETS = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "12", "libvpx-vp9": "8"}


def through(index, tmp_path, codec, extension):
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    segment = tmp_path / f"0{codecs.encoder(codec).segment_extension}"
    writer = SegmentWriter(segment, index, WriterOptions(codec=codec, preset=PRESETS.get(codec)))
    for picture in read(index, 0, index.frame_count):
        writer.add(picture)
    writer.close()
    output = tmp_path / f"out{extension}"
    return join(index, [segment], output), output


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ratio", [Fraction(16, 11), Fraction(12, 11), Fraction(3, 4)])
def test_matroska_says_the_shape_of_pixels(tmp_path, make_clip, ffmpeg, codec, ratio):
    source = make_clip(tmp_path / "in.mp4", 3, sample_aspect_ratio=ratio, sound="aac", options={"preset": "ultrafast"})
    index = probe(source)
    warnings, output = through(index, tmp_path, codec, ".mkv")
    result = probe(output)
    assert warnings == []
    assert result.sample_aspect_ratio == ratio
    assert "title" not in {name.lower() for name in result.video_metadata}
    assert ffmpeg("-i", output, "-f", "null", "-") == ""


def test_a_track_keeps_its_name_beside_the_shape_of_its_pixels(tmp_path, make_clip, ffmpeg):
    plain = make_clip(tmp_path / "plain.mp4", 3, sample_aspect_ratio=Fraction(16, 11))
    assert ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", "title=Hauptfilm", tmp_path / "in.mkv") == ""
    _, output = through(probe(tmp_path / "in.mkv"), tmp_path, "ffv1", ".mkv")
    assert probe(output).video_metadata["title"] == "Hauptfilm"
    assert probe(output).sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("place", ["topleft", "top", "center", "left"])
@pytest.mark.parametrize("codec", ["ffv1", "libvpx-vp9", "libx264", "libx265"])
def test_matroska_says_where_chroma_stands(tmp_path, make_clip, codec, place):
    source = make_clip(tmp_path / "in.mp4", 3, options={"preset": "ultrafast", "chroma_sample_location": place})
    index = probe(source)
    assert index.colour.chroma_location == place
    _, output = through(index, tmp_path, codec, ".mkv")
    assert probe(output).colour.chroma_location == place


@pytest.mark.parametrize(("cut_s", "hidden_s"), [("0.5", 0.02), ("0.74", 0.02)])
def test_sound_before_zero_is_left_out_in_matroska_and_moves_nothing(tmp_path, make_clip, ffmpeg, cut_s, hidden_s):
    """A cut without re-encoding leaves an edit list: frames and sound before it are there, and not shown."""
    whole = make_clip(tmp_path / "whole.mp4", 50, sound="aac", options={"preset": "ultrafast", "g": "10"})
    source = tmp_path / "in.mp4"
    assert ffmpeg("-ss", cut_s, "-i", whole, "-c", "copy", source) == ""
    index = probe(source)
    warnings, output = through(index, tmp_path, "ffv1", ".mkv")
    result = probe(output)
    assert warnings == []
    assert abs(result.pts * result.time_base - index.pts * index.time_base).max() <= Fraction(1, 1000)

    def heard(path):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
            return float(frames[0].pts * frames[0].time_base), sum(f.samples for f in frames)

    (start, samples), (wanted_start, wanted_samples) = heard(output), heard(source)
    assert start == pytest.approx(wanted_start, abs=hidden_s)
    assert samples == pytest.approx(wanted_samples, abs=1024)
