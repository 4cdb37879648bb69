"""The index counts frames as decoding does, and tells what a player must know."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidswap.graph.errors import InputError
from vidswap.media import probe

X264 = {"g": "10", "bf": "3", "preset": "ultrafast"}


def decoded(path: Path) -> list[int | None]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(container.streams.video[0])]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b_frames.mp4", "libx264", X264),
        ("b_frames.mkv", "libx264", X264),
        ("open_gop.mp4", "libx264", {**X264, "preset": "fast", "x264-params": "open-gop=1:bframes=3:keyint=8"}),
        ("hevc.mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=8"}),
        ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "8"}),
        ("lossless.mkv", "ffv1", {}),
        ("mpeg4.avi", "mpeg4", {}),
        ("x264.avi", "libx264", X264),
    ],
)
def test_the_index_holds_the_frames_that_decoding_yields(tmp_path, make_clip, name, codec, options):
    path = make_clip(tmp_path / name, 25, codec=codec, options=options)
    index = probe(path)
    found = decoded(path)
    assert index.frame_count == len(found) == 25
    if not name.endswith(".avi"):  # which knows no timestamps
        assert index.pts.tolist() == found
    assert (np.diff(index.pts) > 0).all()
    assert index.keyframes[0] == 0


def test_variable_frame_rate_keeps_its_timestamps(tmp_path, make_clip):
    pts = np.cumsum([7, 13, 40, 1, 90, 33, 33, 34, 200, 5] * 2).tolist()
    index = probe(make_clip(tmp_path / "vfr.mp4", 20, pts=pts, time_base=Fraction(1, 1000), options=X264))
    assert (index.pts * index.time_base).tolist() == [Fraction(p, 1000) for p in pts]
    assert index.variable_rate


def test_a_clip_that_starts_between_keyframes_counts_what_can_be_decoded(tmp_path, make_clip):
    whole = make_clip(tmp_path / "whole.mkv", 30, options=X264)
    cut = tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as result:
        stream = result.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if number >= 4:
                packet.stream = stream
                result.mux(packet)
    index = probe(cut)
    assert index.pts.tolist() == decoded(cut)
    assert index.frame_count < 26


def test_an_edit_list_hides_frames(tmp_path, make_clip, ffmpeg):
    whole = make_clip(tmp_path / "whole.mp4", 40, options=X264)
    cut = tmp_path / "cut.mp4"
    assert ffmpeg("-ss", "0.52", "-i", whole, "-c", "copy", cut) == ""
    index = probe(cut)
    assert index.pts.tolist() == decoded(cut)
    assert index.frame_count == 27


TURNS = [
    ((0, False, False), "upright"),
    ((-90, False, False), "rotated 90"),
    ((180, False, False), "rotated 180"),
    ((90, False, False), "rotated 270"),
    ((0, True, False), "mirrored"),
    ((0, False, True), "mirrored rotated 180"),
    ((-90, True, False), "mirrored rotated 270"),
    ((90, True, False), "mirrored rotated 90"),
]


@pytest.mark.parametrize(("rotation", "name"), TURNS)
def test_display_matrix_and_aspect_ratio_give_the_displayed_size(tmp_path, make_clip, rotation, name):
    path = make_clip(
        tmp_path / "turned.mp4", 3, rotation=rotation, sample_aspect_ratio=Fraction(4, 3), size=(120, 96), options=X264
    )
    index = probe(path)
    assert (index.stored_width, index.stored_height) == (120, 96)
    assert {index.width, index.height} == {160, 96}
    assert index.orientation.swaps == (abs(rotation[0]) == 90)
    assert (index.width == 96) == index.orientation.swaps
    assert index.sample_aspect_ratio == Fraction(4, 3)
    if rotation[1:] == (False, False):
        assert index.orientation.name == name


def test_colour_tags_are_read(tmp_path, make_clip):
    path = make_clip(tmp_path / "tagged.mp4", 3, tags=(1, 9, 16, 9), options=X264, pixel_format="yuv420p10le")
    assert probe(path).colour.names() == {
        "range": "limited",
        "primaries": "bt2020",
        "transfer": "smpte2084",
        "matrix": "bt2020nc",
        "chroma_location": "left",
    }
    assert probe(path).bit_depth == 10


def test_the_index_is_plain_data(tmp_path, make_clip):
    index = probe(make_clip(tmp_path / "a.mp4", 5, sound="aac"))
    again = pickle.loads(pickle.dumps(index))
    assert again.summary() == index.summary()
    assert again.summary()["streams"][0]["codec"] == "aac"
    assert again.content_hash.startswith("sha256:")


def test_a_still_image_is_a_video_of_one_frame(tmp_path):
    import cv2

    for suffix in ("png", "jpg", "webp", "bmp"):
        path = tmp_path / f"a picture, 50% & more: {suffix}.{suffix}"
        cv2.imwrite(str(path), np.full((20, 30, 3), 90, np.uint8))
        index = probe(path)
        assert (index.frame_count, index.width, index.height) == (1, 30, 20)


def test_exif_orientation_turns_a_photograph(tmp_path):
    import cv2

    plain = tmp_path / "plain.jpg"
    cv2.imwrite(str(plain), np.full((20, 30, 3), 90, np.uint8))
    data = plain.read_bytes()
    for value, name in ((1, "upright"), (2, "mirrored"), (6, "rotated 90"), (8, "rotated 270")):
        tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([value, 0, 0, 0]) + b"\0\0\0\0"
        exif = b"Exif\0\0" + tiff
        path = tmp_path / f"{value}.jpg"
        path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
        index = probe(path)
        assert index.orientation.name == name
        assert (index.width < index.height) == (value > 4)


def no_file(folder: Path) -> Path:
    return folder / "missing.mp4"


def a_folder(folder: Path) -> Path:
    return folder


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def text(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("to be, or not to be\n" * 50)
    return path


def noise(folder: Path) -> Path:
    path = folder / "noise.mp4"
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    return path


def sound_alone(folder: Path) -> Path:
    path = folder / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_file, "no such file"),
        (a_folder, "is a folder"),
        (empty, "is empty"),
        (text, "is not a video"),
        (noise, "is not a video"),
        (sound_alone, "holds sound alone"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, make, says):
    path = make(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_footage_is_indexed_as_it_decodes(media):
    for path in sorted(media.glob("*.[mg][pi][4f]")):
        index = probe(path)
        assert index.frame_count == len(decoded(path)), path.name
    assert probe(media / "made_rotated_90.mp4").orientation.name == "rotated 90"
    nonsquare = probe(media / "made_nonsquare_4_3.mp4")
    assert (nonsquare.width, nonsquare.height) == (320, 180)
