"""Text subtitles go into every container: as they are, or converted with their times, language, title and place."""

from __future__ import annotations

import re

import av
import pytest

from vidswap.media import SegmentWriter, WriterOptions, codecs, join, probe, read, trim

LINES = [(0.2, 1.0, "hello there"), (1.2, 1.8, "wörld\nline two")]
FORMS = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "srt", ".webm": "webvtt"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory, make_clip, ffmpeg):
    """The same subtitles as MP4 holds them, and in three forms as Matroska does."""
    folder = tmp_path_factory.mktemp("subtitles")
    plain = make_clip(folder / "plain.mp4", 50, options={"preset": "ultrafast"}, sound="aac")
    titles, chapters = folder / "t.srt", folder / "c.txt"
    titles.write_text(
        "1\n00:00:00,200 --> 00:00:01,000\nhello <i>there</i>\n\n2\n00:00:01,200 --> 00:00:01,800\nwörld\nline two\n"
    )
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=one\n")
    tags = ("-metadata:s:s:0", "language=deu", "-metadata:s:s:0", "title=Untertitel", "-disposition:s:0", "forced")
    inputs = ("-i", plain, "-i", titles, "-i", chapters, "-map", "0", "-map_metadata", "2", "-c", "copy")
    assert ffmpeg(*inputs, "-map", "1", "-c:s", "mov_text", *tags, folder / "in.mp4") == ""
    forms = ("-c:s:0", "srt", "-c:s:1", "ass", "-c:s:2", "webvtt")
    assert ffmpeg(*inputs, "-map", "1", "-map", "1", "-map", "1", *forms, *tags, folder / "in.mkv") == ""
    return folder


def joined(index, tmp_path, extension):
    codec = {".webm": "libvpx-vp9"}.get(extension, "libx264")
    segment = tmp_path / f"0{codecs.encoder(codec).segment_extension}"
    preset = "8" if codec == "libvpx-vp9" else "ultrafast"
    writer = SegmentWriter(segment, index, WriterOptions(codec=codec, preset=preset))
    for picture in read(index, 0, index.frame_count):
        writer.add(picture)
    writer.close()
    output = tmp_path / f"out{extension}"
    return join(index, [segment], output), output


def lines(path, number=0):
    """(start, end, text) of what is shown, in seconds."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        for packet in container.demux(stream):
            for shown in stream.codec_context.decode2(packet) or () if packet.size else ():
                text = shown.ass.decode().split(",", 8)[8].replace("\\N", "\n")
                plain = re.sub(r"\{[^}]*\}", "", text)
                begin = float(packet.pts * packet.time_base)
                found.append((begin, begin + float(packet.duration * packet.time_base), plain))
    return found


def assert_same(found, wanted):
    assert [text for _, _, text in found] == [text for _, _, text in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one[:2] == pytest.approx(other[:2], abs=2e-3)


@pytest.mark.parametrize("extension", FORMS)
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_text_is_kept_in_every_container(sources, tmp_path, ffmpeg, name, extension):
    index = probe(sources / name)
    before = [s for s in index.streams if s.kind == "subtitle"]
    warnings, output = joined(index, tmp_path, extension)
    result = probe(output)
    after = [s for s in result.streams if s.kind == "subtitle"]
    assert len(after) == len(before)
    for number in range(len(before)):
        assert_same(lines(output, number), LINES)
    # QuickTime has its own code for German, and no mark of forced ones.
    assert after[0].language == ("ger" if extension == ".mov" else "deu")
    title = {k.lower(): v for k, v in after[0].metadata.items()}
    assert title.get("title", title.get("name")) == "Untertitel"
    if extension != ".mov":
        assert after[0].disposition & av.stream.Disposition.forced
    told = [w for w in warnings if "subtitle" in w]
    assert all(w.endswith(f"is converted to {'subrip' if extension == '.mkv' else FORMS[extension]}") for w in told)
    assert (told == []) is ((name[2:], extension) in {(".mp4", ".mp4"), (".mp4", ".mov"), (".mkv", ".mkv")})
    assert not [w for w in warnings if "data" in w or "left out" in w]
    assert [c["title"] for c in result.summary()["chapters"]] == ["one"]
    assert ffmpeg("-i", output, "-f", "null", "-") == ""


def test_titles_of_a_trimmed_video_are_cut_and_converted(sources, tmp_path):
    index = trim(probe(sources / "in.mkv"), "0.4", "1.4")
    _, output = joined(index, tmp_path, ".mp4")
    assert_same(lines(output), [(0.0, 0.6, LINES[0][2]), (0.8, 1.0, LINES[1][2])])
