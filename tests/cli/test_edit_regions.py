"""`vidswap edit-regions` on a picture and on some frames, with a tiny checkpoint."""

import cv2
import numpy as np
import pytest
from cli_media import decoded
from PIL import Image
from tiny_e4s import write_tiny

from vidswap.faces.regions import HAIR, SKIN


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt")


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path, one_core):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture
def picture(tmp_path, astronaut):
    path = tmp_path / "astronaut.png"
    cv2.imwrite(str(path), astronaut[:, :, ::-1])
    return path


@pytest.fixture
def edit(vidswap, weights):
    def run(target, *more):
        stages = [f"{stage}.weights={weights}" for stage in ("invert", "generate")] if "-o" in more else []
        sizes = ["align.size=128", "crop.size=128"] if "-o" in more else []
        code, out, told = vidswap("edit-regions", "-t", target, *more, *stages, *sizes)
        return code, out + told

    return run


def changed_by(path, before):
    after = cv2.imread(str(path))[:, :, ::-1].astype(int)
    return np.abs(after - before).max(2) > 8


def test_texture_goes_toward_a_reference_in_the_regions_chosen(edit, picture, grace, astronaut, tmp_path):
    where = {}
    for regions in ("hair", "nose"):
        code, told = edit(picture, "-r", grace, "--regions", regions, "-o", tmp_path / f"{regions}.png", "-j", "0")
        assert code == 0, told
        where[regions] = changed_by(tmp_path / f"{regions}.png", astronaut)
    assert where["hair"].sum() > 5 * where["nose"].sum() > 50
    assert (where["hair"] & where["nose"]).sum() < 0.2 * where["nose"].sum()
    code, told = edit(
        picture, "-r", grace, "--regions", "nose", "--amount", "0.2", "-o", tmp_path / "less.png", "-j", "0"
    )
    assert code == 0, told
    less, whole = (cv2.imread(str(tmp_path / name)) for name in ("less.png", "nose.png"))
    assert not np.array_equal(less, whole)


def test_a_label_map_is_written_drawn_on_and_changes_what_was_drawn(edit, picture, astronaut, tmp_path):
    code, told = edit(picture, "--write-label-maps", tmp_path / "maps")
    assert code == 0, told
    path = tmp_path / "maps" / "000000.png"
    image = Image.open(path)
    assert image.mode == "P"
    labels = np.asarray(image).copy()
    assert labels.shape == (512, 512)
    assert {HAIR, SKIN} <= set(np.unique(labels))
    code, told = edit(picture, "--write-label-maps", tmp_path / "maps")
    assert code == 2
    assert "--overwrite replaces it" in told
    code, told = edit(picture, "--labels", path, "-o", tmp_path / "same.png", "-j", "0")
    assert code == 0, told
    assert changed_by(tmp_path / "same.png", astronaut).mean() < 0.002
    labels[330:400, 200:300] = HAIR
    drawn = tmp_path / "drawn.png"
    Image.fromarray(labels).save(drawn)
    code, told = edit(picture, "--labels", drawn, "-o", tmp_path / "beard.png", "-j", "0")
    assert code == 0, told
    beard = changed_by(tmp_path / "beard.png", astronaut)
    assert 100 < beard.sum() < 0.05 * beard.size


def test_maps_of_single_frames_change_those_frames(edit, clip, tmp_path):
    folder = tmp_path / "maps"
    code, told = edit(clip, "--write-label-maps", folder, "--at", "2,3")
    assert code == 0, told
    assert sorted(p.name for p in folder.iterdir()) == ["000002.png", "000003.png"]
    for path in folder.iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[330:400, 200:300] = HAIR
        Image.fromarray(labels).save(path)
    output = tmp_path / "out.mkv"
    code, told = edit(clip, "--labels", folder, "-o", output, "--end", "6f", "--codec", "ffv1", "-j", "0")
    assert code == 0, told
    before, after = decoded(clip)[0], decoded(output)[0]
    apart = [(np.abs(a[:240].astype(int) - b[:240]) > 12).mean() for a, b in zip(after, before[:6], strict=True)]
    assert min(apart[2:4]) > 0.001
    assert max(apart[:2] + apart[4:]) < 0.0003


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "give -o"),
        (["-o", "out.png"], "nothing is to change"),
        (["-o", "out.png", "--labels", "map.png", "--amount", "0.5"], "give --reference"),
        (["-o", "out.png", "-r", "grace.jpg", "--regions", "chin"], "'all' or some of brows"),
        (["-o", "out.png", "--labels", "none.png"], "no such label map"),
        (["--write-label-maps", "maps", "--at", "7"], "frames 0 to 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(edit, picture, tmp_path, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    code, said = edit(picture, *more)
    assert code == 2
    assert told in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.full((64, 64), 14, np.uint8), "label 14 is none of 0..11"),
        (np.zeros((64, 48), np.uint8), "is 48x64 pixels"),
    ],
)
def test_bad_label_maps_are_one_line(edit, picture, tmp_path, labels, told):
    Image.fromarray(labels).save(tmp_path / "map.png")
    code, said = edit(picture, "--labels", tmp_path / "map.png", "-o", tmp_path / "out.png", "-j", "0")
    assert code == 2
    assert told in said
    assert not (tmp_path / "out.png").exists()


def test_a_map_for_a_frame_that_is_not_there_is_one_line(edit, picture, tmp_path):
    (tmp_path / "maps").mkdir()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "maps" / "000003.png")
    code, said = edit(picture, "--labels", tmp_path / "maps", "-o", tmp_path / "out.png", "-j", "0")
    assert code == 2
    assert "is a label map for frame 3" in said
