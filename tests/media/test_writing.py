"""Segments join to a file that has the input's frames, times, sound and tags, and that ffmpeg reads in silence."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidswap.graph.errors import InputError, VidswapError
from vidswap.media import SegmentWriter, WriterOptions, codecs, containers, join, probe, read

X264 = {"g": "10", "bf": "3", "preset": "ultrafast"}


def write(index, folder: Path, cuts=(), options: WriterOptions | None = None) -> list[Path]:
    options = options or WriterOptions(preset="ultrafast")
    edges = [0, *cuts, index.frame_count]
    paths = []
    for start, stop in zip(edges, edges[1:], strict=False):
        paths.append(folder / f"{start:06d}{codecs.encoder(options.codec).segment_extension}")
        writer = SegmentWriter(paths[-1], index, options)
        for picture in read(index, start, stop):
            writer.add(picture)
        report = writer.close()
        assert (report.frames, report.first_pts) == (stop - start, index.pts[start])
    return paths


def moved_by(result, index) -> Fraction:
    """By how much all frames were moved, in seconds; fails when they were not moved alike."""
    moved = set((result.pts * result.time_base - index.pts * index.time_base).tolist())
    assert len(moved) == 1
    return Fraction(moved.pop())


def packets(path: Path, kind: str, number: int = 0) -> list[tuple]:
    with av.open(str(path)) as container:
        stream = container.streams.get({kind: number})[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


PAIRS = [
    ("libx264", ".mp4"),
    ("libx264", ".mov"),
    ("libx264", ".mkv"),
    ("libx265", ".mp4"),
    ("libx265", ".mkv"),
    ("libsvtav1", ".mp4"),
    ("libsvtav1", ".webm"),
    ("libvpx-vp9", ".webm"),
    ("libvpx-vp9", ".mp4"),
    ("prores_ks", ".mov"),
    ("ffv1", ".mkv"),
]


@pytest.mark.parametrize(("codec", "extension"), PAIRS)
def test_frames_times_and_sound_come_through(tmp_path, make_clip, shown_number, ffmpeg, codec, extension):
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    pts = np.cumsum([40, 20, 60, 33, 33, 34, 100] * 5).tolist()
    source = make_clip(
        tmp_path / "in.mp4", 35, pts=pts, time_base=Fraction(1, 1000), options=X264, sound="aac", tags=(1, 1, 1, 1)
    )
    index = probe(source)
    output = tmp_path / f"out{extension}"
    preset = {"libvpx-vp9": "8", "libsvtav1": "12", "prores_ks": None, "ffv1": None}.get(codec, "ultrafast")
    segments = write(index, tmp_path, (12, 20), WriterOptions(codec=codec, preset=preset))
    warnings = join(index, segments, output, metadata={"vidswap": "swap-mesh 0.1.0", "comment": "faces were changed"})
    result = probe(output)
    # AAC begins 1024 samples before the first frame; Matroska, which has no times below 0, says so in another way.
    assert moved_by(result, index) == 0
    assert [shown_number(p) for p in read(result, 0, 35)] == list(range(35))
    # Its own frame rate would be too coarse for this one's timestamps.
    assert ffmpeg("-i", output, "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "null", "-") == ""
    if extension == ".webm":
        assert [w for w in warnings if "encoded anew as libopus" in w]
    else:
        assert warnings == []
        sound, original = packets(output, "audio"), packets(source, "audio")
        assert [data for _, data in sound] == [data for _, data in original]
        assert max(abs(a[0] - b[0]) for a, b in zip(sound, original, strict=True)) <= Fraction(1, 1000)
    tags = {key.lower(): value for key, value in result.metadata.items()}
    assert tags["vidswap"] == "swap-mesh 0.1.0"
    assert tags["comment"] == "faces were changed"
    assert tags["title"] == "made for a test"
    assert (result.colour.primaries, result.colour.matrix) == (1, 1)


@pytest.mark.parametrize("cuts", [(), (7,), (5, 6, 13, 22)])
def test_cuts_do_not_move_frames(tmp_path, make_clip, shown_number, cuts):
    index = probe(make_clip(tmp_path / "in.mp4", 30, options=X264))
    output = tmp_path / "out.mp4"
    assert join(index, write(index, tmp_path, cuts, WriterOptions(preset="medium")), output) == []
    result = probe(output)
    assert (result.pts * result.time_base == index.pts * index.time_base).all()
    assert (result.durations * result.time_base == index.durations * index.time_base).all()
    assert [shown_number(p) for p in read(result, 0, 30)] == list(range(30))
    assert set(cuts) <= set(result.keyframes.tolist())


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    "rotation", [(-90, False, False), (90, False, False), (180, False, False), (0, True, False), (90, True, False)]
)
def test_rotation_and_aspect_ratio_are_written(tmp_path, make_clip, extension, rotation):
    source = make_clip(
        tmp_path / "in.mp4", 5, rotation=rotation, sample_aspect_ratio=Fraction(4, 3), size=(120, 96), options=X264
    )
    index = probe(source)
    output = tmp_path / f"out{extension}"
    warnings = join(index, write(index, tmp_path), output)
    result = probe(output)
    assert result.sample_aspect_ratio == Fraction(4, 3)
    assert (result.orientation, result.width, result.height) == (index.orientation, index.width, index.height)
    assert warnings == []


@pytest.mark.parametrize("options", [{"color_range": "pc"}, {"color_range": "tv"}])
def test_hdr_tags_and_depth_are_kept(tmp_path, make_clip, options):
    wide = 2 if options["color_range"] == "pc" else 1
    source = make_clip(
        tmp_path / "in.mkv",
        5,
        codec="libx265",
        pixel_format="yuv420p10le",
        tags=(wide, 9, 16, 9),
        options={"preset": "ultrafast", "x265-params": "log-level=none"},
    )
    index = probe(source)
    output = tmp_path / "out.mp4"
    join(index, write(index, tmp_path), output)
    result = probe(output)
    assert result.pixel_format == "yuv420p10le"
    assert result.colour == index.colour
    assert index.colour.names()["transfer"] == "smpte2084"


def test_an_offset_and_a_long_sound_keep_their_place(tmp_path, make_clip):
    pts = [i + 20 for i in range(25)]
    source = make_clip(tmp_path / "in.mp4", 25, pts=pts, options=X264, sound="aac")
    index = probe(source)
    assert index.time_s(0) == pytest.approx(0.8)
    for extension in (".mp4", ".mkv"):
        output = tmp_path / f"out{extension}"
        join(index, write(index, tmp_path, (11,)), output)
        result = probe(output)
        assert moved_by(result, index) == 0
        rounding = 0 if extension == ".mp4" else Fraction(1, 1000)
        sound = zip(packets(output, "audio"), packets(source, "audio"), strict=True)
        assert max(abs(a[0] - b[0]) for a, b in sound) <= rounding


def test_subtitles_chapters_and_attachments_are_copied(tmp_path, make_clip, ffmpeg):
    plain = make_clip(tmp_path / "plain.mp4", 50, options=X264, sound="aac")
    titles, chapters = tmp_path / "t.srt", tmp_path / "c.txt"
    titles.write_text("1\n00:00:00,200 --> 00:00:01,000\nhello\n\n2\n00:00:01,200 --> 00:00:01,800\nworld\n")
    chapters.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=900\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=900\nEND=2000\ntitle=two\n"
    )
    font = tmp_path / "font.ttf"
    font.write_bytes(b"not a real font")
    source = tmp_path / "in.mkv"
    attach = ("-attach", font, "-metadata:s:t", "mimetype=font/ttf")
    inputs = ("-i", plain, "-i", titles, "-i", chapters)
    maps = ("-map", "0", "-map", "1", "-map_metadata", "2", "-metadata:s:a:0", "language=fra")
    assert ffmpeg(*inputs, *maps, "-c", "copy", *attach, source) == ""
    index = probe(source)
    segments = write(index, tmp_path)
    assert join(index, segments, tmp_path / "out.mkv") == []
    result = probe(tmp_path / "out.mkv")
    assert [(s.kind, s.codec, s.language) for s in result.streams] == [
        (s.kind, s.codec, s.language) for s in index.streams
    ]
    assert [(c["start_s"], c["end_s"], c["title"]) for c in result.summary()["chapters"]] == [
        (0.0, 0.9, "one"),
        (0.9, 2.0, "two"),
    ]
    assert packets(tmp_path / "out.mkv", "subtitles") == packets(source, "subtitles")
    assert ffmpeg("-i", tmp_path / "out.mkv", "-map", "0", "-c", "copy", "-f", "null", "-") == ""
    warnings = join(index, segments, tmp_path / "out.mp4")
    assert [w.rpartition(" and is ")[2] for w in warnings] == ["converted to mov_text", "left out"]
    assert [s.language for s in probe(tmp_path / "out.mp4").streams if s.kind == "audio"] == ["fra"]
    assert ffmpeg("-i", tmp_path / "out.mp4", "-f", "null", "-") == ""
    json.dumps(result.summary())


@pytest.mark.parametrize(
    ("size", "pixel_format"), [((161, 97), "yuv444p"), ((160, 97), "yuv422p"), ((1, 1), "yuv444p")]
)
def test_odd_sizes_are_written(tmp_path, make_clip, ffmpeg, size, pixel_format):
    source = make_clip(
        tmp_path / "in.mkv", 3, codec="ffv1", size=size, image=lambda n, w, h: np.full((h, w, 3), 99, np.uint8)
    )
    index = probe(source)
    output = tmp_path / "out.mp4"
    join(index, write(index, tmp_path), output)
    result = probe(output)
    assert (result.width, result.height, result.pixel_format) == (*size, pixel_format)
    assert ffmpeg("-i", output, "-f", "null", "-") == ""


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"])
def test_the_same_frames_give_the_same_bits(tmp_path, make_clip, codec):
    """The encoder's threads are a setting of the result, the reader's are not, and chance has no part in it."""
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    index = probe(make_clip(tmp_path / "in.mp4", 20, size=(480, 270), options=X264))
    files = []
    for threads in (1, 3, 2):
        noise = [np.random.default_rng(threads).bytes(size) for size in range(1000, 200_000, 7919)]
        path = tmp_path / "a.nut"
        writer = SegmentWriter(path, index, WriterOptions(codec=codec))
        del noise
        for picture in read(index, 0, 20, threads=threads):
            writer.add(picture)
        writer.close()
        with av.open(str(path)) as container:
            files.append([bytes(p) for p in container.demux(video=0)])
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize(("size", "free"), [((1280, 96), True), ((384, 130), True), ((480, 96), False)])
def test_x264_gives_the_bits_that_processors_without_avx512_give(tmp_path, make_clip, monkeypatch, size, free):
    """Which instructions it may use depends on the width; what comes out does not."""
    assert free == (codecs.steady_instructions(size[0]) is None) or codecs.steady_instructions(480) is None
    index = probe(make_clip(tmp_path / "in.mp4", 20, size=size, options=X264))
    found = []
    for instructions in ("own", "MMX2,SSE2Fast,SSSE3,SSE4.2,AVX"):
        if instructions != "own":
            monkeypatch.setattr("vidswap.media.writer.steady_instructions", lambda width, given=instructions: given)
        path = tmp_path / "a.nut"
        writer = SegmentWriter(path, index, WriterOptions())
        for picture in read(index, 0, 20):
            writer.add(picture)
        writer.close()
        with av.open(str(path)) as container:
            found.append([bytes(p) for p in container.demux(video=0)])
    assert found[0] == found[1]


def test_abort_leaves_no_file(tmp_path, make_clip):
    index = probe(make_clip(tmp_path / "in.mp4", 5))
    writer = SegmentWriter(tmp_path / "a.nut", index)
    writer.add(next(iter(read(index, 0, 1))))
    writer.abort()
    writer.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_segments_that_do_not_fit_are_refused(tmp_path, make_clip):
    index = probe(make_clip(tmp_path / "in.mp4", 20))
    first, second = write(index, tmp_path, (10,))
    output = tmp_path / "out.mp4"
    with pytest.raises(VidswapError, match="hold 10 frames, the video has 20"):
        join(index, [first], output)
    (tmp_path / "other").mkdir()
    others = write(index, tmp_path / "other", (10,), WriterOptions(preset="slow", pixel_format="yuv444p"))
    with pytest.raises(VidswapError, match="other parameters"):
        join(index, [first, others[1]], output)
    assert second.exists()
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (WriterOptions(codec="libx246"), "did you mean"),
        (WriterOptions(preset="quick"), "has no preset 'quick'"),
        (WriterOptions(pixel_format="yuv421p"), "has no pixel format 'yuv421p'; did you mean"),
    ],
)
def test_options_that_do_not_exist_are_refused(tmp_path, make_clip, options, says):
    index = probe(make_clip(tmp_path / "in.mp4", 2))
    with pytest.raises(InputError, match=says):
        SegmentWriter(tmp_path / "a.nut", index, options)
    assert not (tmp_path / "a.nut").exists()


def test_an_unknown_container_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the extension \.docx is not one of .*\.mp4"):
        containers.container_of(tmp_path / "a.docx")


def test_timestamps_before_zero_are_moved_and_told(tmp_path, make_clip):
    index = probe(make_clip(tmp_path / "in.mp4", 10, sound="aac"))
    early = dataclasses.replace(index, pts=index.pts - 3 * int(index.durations[0]))
    segments = write(index, tmp_path)
    warnings = join(early, segments, tmp_path / "out.mp4")
    assert "moved by 0.120 s" in warnings[0]
    assert probe(tmp_path / "out.mp4").pts[0] == 0


@pytest.mark.parametrize(
    "name",
    [
        "made_rotated_90.mp4",
        "made_nonsquare_4_3.mp4",
        "clip_head_turn.gif",
        "clip_head_turn.mp4",
        "clip_face_leaves.mp4",
    ],
)
def test_footage_passes_through(media, tmp_path, ffmpeg, name):
    index = probe(media / name)
    output = tmp_path / "out.mp4"
    assert join(index, write(index, tmp_path, (9,)), output) == []
    result = probe(output)
    assert (result.pts * result.time_base == index.pts * index.time_base).all()
    assert (result.width, result.height, result.orientation) == (index.width, index.height, index.orientation)
    assert ffmpeg("-i", output, "-f", "null", "-") == ""
    if index.streams:
        assert packets(output, "audio") == packets(media / name, "audio")


def test_time_codes_and_covers_stay(tmp_path, make_clip, ffmpeg):
    plain = make_clip(tmp_path / "plain.mp4", 10, options=X264, sound="aac")
    source = tmp_path / "in.mp4"
    cover = ("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-map", "0", "-map", "1")
    kinds = ("-c", "copy", "-c:v:1", "png", "-disposition:v:1", "attached_pic", "-timecode", "01:00:00:00")
    assert ffmpeg("-i", plain, *cover, *kinds, source) == ""
    index = probe(source)
    for extension in (".mp4", ".mkv"):
        output = tmp_path / f"out{extension}"
        assert join(index, write(index, tmp_path), output) == []
        assert ffmpeg("-i", output, "-map", "0:v", "-c", "copy", "-f", "null", "-") == ""
        assert [s.codec for s in probe(output).streams if s.kind == "video"] == ["png"]
    result = probe(tmp_path / "out.mp4")
    if av.__version__ >= "18":
        assert result.video_metadata["timecode"] == "01:00:00:00"


def test_sound_that_does_not_fit_is_encoded_anew_in_step(tmp_path, make_clip, ffmpeg):
    plain = make_clip(tmp_path / "plain.mp4", 50, options=X264, sound="aac")
    source = tmp_path / "in.mkv"
    assert ffmpeg("-i", plain, "-c:v", "copy", "-c:a", "libvorbis", source) == ""
    index = probe(source)
    warnings = join(index, write(index, tmp_path), tmp_path / "out.mov")
    assert warnings == ["stream 1 (audio, vorbis) cannot lie in mov and is encoded anew as aac"]
    assert ffmpeg("-i", tmp_path / "out.mov", "-f", "null", "-") == ""
    sound = packets(tmp_path / "out.mov", "audio")
    assert sound[-1][0] == pytest.approx(packets(source, "audio")[-1][0], abs=0.05)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm"])
def test_sound_whose_channels_have_no_names_is_written(tmp_path, make_clip, ffmpeg, channels, extension):
    """As AVI and WMV have it, and PCM in Matroska."""
    plain = make_clip(tmp_path / "plain.mp4", 10, options=X264)
    tone = ("-f", "lavfi", "-i", f"aevalsrc={'|'.join(['sin(440*t)'] * channels)}:d=0.4:s=44100")
    assert ffmpeg("-i", plain, *tone, "-c:v", "copy", "-c:a", "pcm_s16le", tmp_path / "in.mkv") == ""
    index = probe(tmp_path / "in.mkv")
    output = tmp_path / f"out{extension}"
    codec = "libvpx-vp9" if extension == ".webm" else "libx264"
    join(index, write(index, tmp_path, (), WriterOptions(codec=codec, preset=None)), output)
    with av.open(str(output)) as container:
        assert container.streams.audio[0].channels == channels
    if extension in (".mp4", ".mov"):
        assert packets(output, "audio")[0][1] == packets(tmp_path / "in.mkv", "audio")[0][1]
    assert ffmpeg("-i", output, "-f", "null", "-") == ""


@pytest.mark.parametrize("codec", ["libsvtav1", "libvpx-vp9", "prores_ks"])
@pytest.mark.parametrize("colour_range", [1, 2])
def test_grey_keeps_its_levels_with_encoders_that_have_none(tmp_path, codec, colour_range):
    if codec not in codecs.available_encoders():
        pytest.skip(f"no {codec} in this build of FFmpeg")
    ramp = np.tile(np.linspace(16, 235, 64).round().astype(np.uint8), (48, 1))
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.color_range = colour_range
        container.mux(stream.encode(av.VideoFrame.from_ndarray(ramp, format="gray")))
        container.mux(stream.encode(None))
    index = probe(tmp_path / "in.mkv")
    crf, extension = (None, ".mov") if codec == "prores_ks" else (4, ".mkv")
    join(index, write(index, tmp_path, (), WriterOptions(codec=codec, crf=crf)), tmp_path / f"out{extension}")
    as_it_is = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    results = (index, probe(tmp_path / f"out{extension}"))
    before, after = (next(iter(read(i, 0, 1))).crop(as_it_is, (64, 48)) for i in results)
    assert np.abs(before.astype(int) - after).mean() < 1.5
