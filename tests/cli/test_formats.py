"""Animated pictures and sequences of images through the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidswap.media import probe, read


@pytest.fixture(scope="module")
def animated(clip, tmp_path_factory):
    """The first 8 frames of the swinging portrait as a WebP with uneven times."""
    index = probe(clip)
    path = tmp_path_factory.mktemp("formats") / "in.webp"
    images = [Image.fromarray(p.rgb(index.width, index.height)) for p in read(index, 0, 8)]
    durations = [40, 80] * 4
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=2, lossless=True)
    return path


def starts_ms(path):
    index = probe(path)
    return [int(p * index.time_base * 1000) for p in index.pts - index.pts[0]]


def shown(path):
    index = probe(path)
    return [p.rgb(index.width, index.height) for p in read(index, 0, index.frame_count)]


def test_an_animation_becomes_others_whatever_the_segments(vidswap, animated, grace, tmp_path):
    frames = {}
    for name, segment in (("a.webp", 5), ("b.webp", 8), ("c.apng", 7)):
        code, _, err = vidswap(
            "swap", "-s", grace, "-t", animated, "-o", tmp_path / name, "--segment-frames", segment, "-j", 0, "-q"
        )
        assert (code, err) == (0, "")
        assert starts_ms(tmp_path / name) == starts_ms(animated)
        frames[name] = shown(tmp_path / name)
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()
    assert np.array_equal(frames["a.webp"], frames["c.apng"])
    before = np.array(shown(animated))
    changed = (np.array(frames["a.webp"]) != before).any(axis=(0, 3))
    assert changed.any()
    assert not changed[:10].any()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_appears_whole_and_goes_in_again(vidswap, animated, grace, tmp_path):
    frames = tmp_path / "frames"
    arguments = ["swap", "-s", grace, "-t", animated, "-j", 0, "-q", "-o"]
    assert vidswap(*arguments, frames)[0] == 0
    assert sorted(p.name for p in frames.iterdir()) == [*(f"{i:06d}.png" for i in range(1, 9)), "vidswap.json"]
    assert "Faces in this video were changed" in json.loads((frames / "vidswap.json").read_text())["comment"]
    code, _, err = vidswap(*arguments, frames)
    assert code == 2 and "--overwrite replaces them" in err
    assert vidswap(*arguments, frames, "--overwrite", "--end", "3f")[0] == 0
    assert len(list(frames.iterdir())) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frames"]
    code, out, _ = vidswap("inspect", frames, "--input-rate", "30000/1001", "--json")
    assert (code, json.loads(out)["rate"], json.loads(out)["frames"]) == (0, "30000/1001", 3)
    webm = tmp_path / "out.webm"
    assert vidswap("swap", "-s", grace, "-t", frames, "--input-rate", 12, "-o", webm, "-j", 0, "-q")[0] == 0
    found = probe(webm)
    assert (found.codec, found.frame_count, found.rate) == ("vp9", 3, 12)


def test_a_pattern_replaces_only_its_own_files(vidswap, animated, grace, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "p_0099.jpg").write_bytes(b"of a longer sequence")
    arguments = ["swap", "-s", grace, "-t", animated, "--end", "4f", "-j", 0, "-q", "-o", tmp_path / "p_%04d.jpg"]
    code, _, err = vidswap(*arguments)
    assert code == 2 and "matches 1 files that exist" in err
    code, _, err = vidswap(*arguments, "--overwrite")
    assert code == 0 and "times" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", *(f"p_000{i}.jpg" for i in range(1, 5))]


def test_a_photograph_is_swapped_into_a_photograph(vidswap, astronaut, grace, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "in.jpg", quality=95)
    out = tmp_path / "out.jpg"
    assert vidswap("swap", "-s", grace, "-t", tmp_path / "in.jpg", "-o", out, "-j", 0, "-q")[0] == 0
    with Image.open(out) as image:
        assert image.size == (512, 512)
        assert b"Faces in this video were changed" in image.info["comment"]


def test_a_changed_picture_is_noticed_when_a_run_goes_on(vidswap, animated, grace, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, image in enumerate(shown(animated)[:5]):
        Image.fromarray(image).save(folder / f"{number}.png")
    job = ["--job", tmp_path / "job", "-j", 0, "-q", "-y"]
    arguments = ["swap", "-s", grace, "-t", folder, "-o", tmp_path / "out.mp4", *job]
    assert vidswap(*arguments)[0] == 0
    Image.fromarray(shown(animated)[7]).save(folder / "3.png")
    code, _, err = vidswap(*arguments)
    assert code == 2 and "target has another content" in err


def test_a_folder_with_animations_is_a_batch_of_them(vidswap, animated, grace, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "one.webp").write_bytes(animated.read_bytes())
    Image.new("RGB", (32, 32)).save(folder / "still.webp")
    arguments = ["batch", folder, "-s", grace, "-o", tmp_path / "done", "--end", "3f", "-j", 0, "-q"]
    assert vidswap(*arguments)[0] == 0
    assert [p.name for p in (tmp_path / "done").glob("[!.]*")] == ["one.webp"]


def test_a_run_killed_while_it_renames_pictures_is_completed_by_the_same_command(vidswap, faceless, tmp_path):
    pipeline, folder = tmp_path / "through.yaml", tmp_path / "pictures"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    folder.mkdir()
    arguments = ["run", pipeline, "-t", faceless, "-j", "0", "-q", "-o", folder / "p_%03d.png"]
    replace = Path.replace

    def killed(self, target):
        if Path(target) == folder / "p_006.png":
            raise SystemExit
        return replace(self, target)

    with pytest.MonkeyPatch.context() as crash, pytest.raises(SystemExit):
        crash.setattr(Path, "replace", killed)
        vidswap(*arguments)
    assert len(list(folder.glob("p_*.png"))) == 5
    code, _, err = vidswap(*arguments)
    assert code == 0, err
    assert sorted(p.name for p in folder.iterdir()) == [f"p_{i:03d}.png" for i in range(1, 13)]
    code, _, err = vidswap(*arguments)
    assert code == 2 and "matches 12 files that exist" in err
