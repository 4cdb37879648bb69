"""GIF, APNG and animated WebP: read, and written from segments. Pillow, which is no part of the writers of GIF and
APNG, tells what other readers see."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidswap.graph.errors import InputError, VidswapError
from vidswap.media import Reader, SegmentWriter, WriterOptions, probe, read
from vidswap.media.animation import times, write_animation
from vidswap.media.image_sequences import SEQUENCE, numbered_name
from vidswap.media.image_writing import write_images
from vidswap.media.loops import loop_count
from vidswap.media.outputs import check_image_output, output_of

NOTES = {"comment": "Faces were changed.", "vidswap": json.dumps({"version": "1", "sign": "<&>"})}
DURATIONS_MS = [40, 80, 40, 40, 100, 40, 40, 70]


def frame(number, alpha):
    image = np.zeros((48, 64, 4), np.uint8)
    image[..., 3] = 255
    image[8:24, 4 * number : 4 * number + 12] = (200, 30 * number, 40, 255)
    if alpha:
        image[30:40, :, 3] = 0
        image[30:40, 4 * number : 4 * number + 4, 3] = 255
    return image


@pytest.fixture(params=[".gif", ".apng", ".webp"])
def animated(request, tmp_path):
    """An animation with transparency, uneven delays and three loops, as Pillow writes it."""
    path = tmp_path / f"in{request.param}"
    images = [Image.fromarray(frame(i, True)) for i in range(8)]
    how = {"disposal": 2} if request.param == ".gif" else {"lossless": True} if request.param == ".webp" else {}
    kind = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}[request.param]
    images[0].save(path, kind, save_all=True, append_images=images[1:], duration=DURATIONS_MS, loop=3, **how)
    return path


def rgba(index, start=0, stop=None):
    found = []
    for picture in read(index, start, index.frame_count if stop is None else stop):
        alpha = picture.planes[3] if picture.layout.alpha else np.full((index.height, index.width), 255, np.uint8)
        found.append(np.dstack([picture.rgb(index.width, index.height), alpha]))
    return found


def same_look(ours, expected):
    visible = expected[..., 3] > 0
    return np.array_equal(ours[..., 3], expected[..., 3]) and np.array_equal(ours[visible], expected[visible])


def segments_of(index, folder, cut=5):
    paths = []
    with Reader(index) as reader:
        for start in range(0, index.frame_count, cut):
            paths.append(Path(folder) / f"{start}.nut")
            writer = SegmentWriter(paths[-1], index, WriterOptions(codec="ffv1"))
            for picture in reader.read(start, min(start + cut, index.frame_count)):
                writer.add(picture)
            writer.close()
    return paths


def starts_ms(index):
    return [int((p - index.pts[0]) * index.time_base * 1000) for p in index.pts]


def test_frames_times_and_transparency_are_read_exactly(animated):
    index = probe(animated)
    assert starts_ms(index) == [0, 40, 120, 160, 200, 300, 340, 380]
    assert int(index.durations[-1]) * index.time_base == Fraction(7, 100)
    assert all(same_look(seen, frame(i, True)) for i, seen in enumerate(rgba(index)))
    assert same_look(rgba(index, 6, 7)[0], frame(6, True))


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_an_animation_comes_out_as_it_went_in(animated, tmp_path, suffix):
    index = probe(animated)
    output = tmp_path / f"out{suffix}"
    write_animation(index, segments_of(index, tmp_path), output, notes=NOTES)
    again = probe(output)
    assert again.frame_count == 8
    assert starts_ms(again) == starts_ms(index)
    assert again.durations[-1] * again.time_base == Fraction(7, 100)
    assert all(same_look(seen, frame(i, True)) for i, seen in enumerate(rgba(again)))
    assert loop_count(output) == loop_count(animated)
    with Image.open(output) as image:
        assert image.n_frames == 8
        told = str(image.info.get("comment" if suffix == ".gif" else "xmp", ""))
    if suffix == ".apng":
        told = output.read_bytes().decode("latin-1")
        assert told.index("iTXtComment") < told.index("IEND")
    assert "Faces were changed." in told
    assert '"sign"' in told


def test_opaque_gifs_have_no_alpha_to_lose(tmp_path):
    images = [Image.fromarray(frame(i, False)[..., :3]) for i in range(4)]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=100)
    assert probe(tmp_path / "in.gif").working_format == "gbrp"
    assert loop_count(tmp_path / "in.gif") == 1
    index = probe(tmp_path / "in.gif")
    write_animation(index, segments_of(index, tmp_path, 10), tmp_path / "out.gif")
    assert loop_count(tmp_path / "out.gif") == 1


def test_video_becomes_gif_without_drift(make_clip, tmp_path, shown_number):
    clip = make_clip(
        tmp_path / "in.mkv", 31, codec="ffv1", time_base=Fraction(1, 1000), pts=[33 * i for i in range(31)]
    )
    index = probe(clip)
    write_animation(index, segments_of(index, tmp_path, 10), tmp_path / "out.gif")
    again = probe(tmp_path / "out.gif")
    assert again.pts.tolist() == [round(3.3 * i) for i in range(31)]
    assert [shown_number(p) for p in read(again, 0, 31)] == list(range(31))
    assert loop_count(tmp_path / "out.gif") == 0


def test_times_are_rounded_by_themselves_and_never_meet(make_clip, tmp_path):
    index = probe(
        make_clip(tmp_path / "in.mkv", 8, codec="ffv1", time_base=Fraction(1, 1000), pts=[4 * i for i in range(8)])
    )
    assert times(index, Fraction(1, 1000))[:-1] == list(range(0, 32, 4))
    assert times(index, Fraction(1, 100))[:-1] == list(range(8))


def test_deep_video_stays_deep_in_png_and_tiff(make_clip, tmp_path):
    clip = make_clip(tmp_path / "in.mkv", 3, codec="ffv1", pixel_format="gbrp12le")
    index = probe(clip)
    segments = segments_of(index, tmp_path)
    planes = [p.planes for p in read(index, 0, 3)]
    for name in ("out.apng", "png/%03d.png", "tif/%03d.tif"):
        output = tmp_path / name
        output.parent.mkdir(exist_ok=True)
        if output.suffix == ".apng":
            write_animation(index, segments, output)
        else:
            write_images(index, segments, output_of(output), notes=NOTES)
        again = probe(output)
        assert again.bit_depth == 16
        for picture, before in zip(read(again, 0, 3), planes, strict=True):
            for plane, old in zip(picture.planes, before, strict=False):
                assert np.array_equal(plane >> 4, old)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_numbered_pictures_hold_every_frame_and_the_note(animated, tmp_path, suffix):
    if animated.suffix != ".apng":
        pytest.skip("one input is enough")
    index = probe(animated)
    folder = tmp_path / "made"
    folder.mkdir()
    pattern = folder / f"p%04d{suffix}"
    write_images(index, segments_of(index, tmp_path), output_of(pattern), notes=NOTES)
    again = probe(pattern)
    assert (again.container, again.frame_count) == (SEQUENCE, 8)
    with Image.open(numbered_name(pattern, 3)) as image:
        image.load()
        assert b"Faces were changed." in Path(image.filename).read_bytes()
        seen = np.asarray(image.convert("RGBA"))
    if suffix != ".jpg":
        assert same_look(seen, frame(2, True))
    else:
        assert np.abs(seen[8:24, 8:20, :3].astype(int) - (200, 60, 40)).max() < 16


def test_a_folder_gets_png_and_a_note_of_times(animated, tmp_path):
    index = probe(animated)
    write_images(index, segments_of(index, tmp_path), output_of(tmp_path / "frames"), notes=NOTES)
    told = json.loads((tmp_path / "frames" / "vidswap.json").read_text())
    assert told["comment"] == "Faces were changed."
    assert told["frames"] == 8
    assert len(told["pts"]) == 8
    assert sorted(p.name for p in (tmp_path / "frames").glob("*.png"))[::7] == ["000001.png", "000008.png"]


def test_turned_and_narrow_video_is_written_as_it_is_shown(make_clip, tmp_path):
    clip = make_clip(
        tmp_path / "in.mp4", 3, options={"crf": "10"}, rotation=(90, False, False), sample_aspect_ratio=Fraction(4, 3)
    )
    index = probe(clip)
    write_images(index, segments_of(index, tmp_path), output_of(tmp_path / "frames"))
    again = probe(tmp_path / "frames")
    assert (again.width, again.height) == (index.width, index.height) == (96, 213)
    for before, after in zip(read(index, 0, 3), read(again, 0, 3), strict=True):
        difference = np.abs(before.rgb(96, 213).astype(int) - after.rgb(96, 213))
        assert difference.mean() < 2


def test_a_missing_frame_is_no_animation(animated, tmp_path):
    index = probe(animated)
    with pytest.raises(VidswapError, match="hold 5 of 8 frames"):
        write_animation(index, segments_of(index, tmp_path)[:1], tmp_path / "out.webp")
    assert not (tmp_path / "out.webp").exists()


@pytest.mark.parametrize("length", [0.3, 0.6, 0.95])
def test_a_cut_animation_is_read_as_far_as_it_goes_or_refused_in_one_line(animated, length):
    content = animated.read_bytes()
    animated.write_bytes(content[: int(length * len(content))])
    try:
        index = probe(animated)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert len(rgba(index)) == index.frame_count


@pytest.mark.parametrize(
    ("there", "overwrite", "says"),
    [
        (["000001.png"], False, "--overwrite replaces"),
        (["000001.png", "mine.txt"], True, r"holds other files \(mine.txt\)"),
        (["holiday.png"], True, "holds other files"),
    ],
)
def test_a_folder_with_something_in_it_is_not_lost(tmp_path, there, overwrite, says):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=says):
        check_image_output(tmp_path, overwrite)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(there)
