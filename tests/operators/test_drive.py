"""The source's face in the target's place, by landmarks and by a tiny FaceVid2Vid."""

import numpy as np
import pytest
import torch
from learned_files import write_gpen, write_realesrnet
from mesh_faces import face_row
from vidswap.operators.drive import GenerateDriven, InvertHead
from vidswap.operators.parse_faces import ParseBiSeNet

from vidswap.faces.regions import SKIN
from vidswap.graph import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting
from vidswap.nets import bisenet, facevid2vid
from vidswap.nets import facevid2vid_generator as rendering
from vidswap.nets.layers import seeded

TINY = facevid2vid.Config(
    rendering.Config(3, (4, 4), 4, 2, 4, 2, 4, 2, 8), base=4, levels=2, most=8, pose_base=4, pose_units=(1, 1, 1, 1)
)


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture(scope="module")
def source(grace_hopper, face_model):
    return InvertHead(InvertHead.Options())(face_row(grace_hopper, face_model, 128))


@pytest.fixture(scope="module")
def rows(astronaut, face_model):
    return Batch.concat([face_row(astronaut, face_model, size, number) for number, size in enumerate((128, 256, 300))])


class Looked(facevid2vid.FaceVid2Vid):
    """Counts how often portraits are looked at."""

    looks = 0

    def source(self, portraits):
        self.looks += 1
        return super().source(portraits)


@pytest.fixture
def net(monkeypatch):
    made = seeded(lambda: Looked(TINY), 2)
    monkeypatch.setattr(GenerateDriven, "load", lambda self: made)
    return made


def driver(sources, **options):
    stage = GenerateDriven(GenerateDriven.Options(**options))
    stage.setup(Setting(sources=sources))
    return stage


def test_without_weights_it_says_so_and_drives_by_landmarks(rows, source):
    stage = driver({"source": source}, size=256)
    assert "driven by landmarks" in stage.take_warnings()[0]
    found = stage(rows)
    assert [image.shape for image in found["driven"]] == [(256, 256, 3)] * 3
    assert found["driven_landmarks"].shape == (3, 478, 2)
    assert not driver({"source": source}, weights="none").take_warnings()


def test_the_networks_look_at_a_portrait_once(rows, source, net):
    stage = driver({"source": source})
    found = stage(rows)
    stage(rows)
    assert net.looks == 1
    assert [image.shape for image in found["driven"]] == [(256, 256, 3)] * 3
    assert np.isnan(found["driven_landmarks"]).all()
    alone = stage(rows.take(slice(1, 2)))["driven"][0]
    assert np.array_equal(alone, found["driven"][1])


def test_two_people_are_told_apart(rows, source, net, astronaut, face_model):
    other = InvertHead(InvertHead.Options())(face_row(astronaut, face_model, 128))
    both = driver({"source": source, "source2": other})(rows.with_columns(source=np.array([0, 1, 0])))["driven"]
    assert net.looks == 2
    one, two = (driver({"source": person})(rows)["driven"] for person in (source, other))
    assert np.array_equal(both[0], one[0])
    assert np.array_equal(both[1], two[1])
    assert not np.array_equal(one[1], two[1])


def test_pictures_are_what_the_networks_make(rows, source, net):
    from vidswap.operators.drive import _head, _network_input

    found = driver({"source": source})(rows)["driven"][1]
    with torch.inference_mode():
        portrait = net.source(_network_input([_head(source)]))
        made = net.animate(portrait, net.motion(_network_input([rows["crop"][1]])))
    assert np.abs(found.astype(int) - (made[0] * 255).byte().permute(1, 2, 0).numpy()).max() <= 1


def test_a_driven_face_without_landmarks_is_parsed_by_a_model(rows, source):
    driven = driver({"source": source}, weights="none")(rows)
    nowhere = driven.with_columns(driven_landmarks=np.full((3, 478, 2), np.nan, np.float32))
    stage = ParseBiSeNet(ParseBiSeNet.Options(weights="none"))
    stage.setup(Setting())
    known, found = stage(driven)["driven_regions"], stage(nowhere)["driven_regions"]
    stage.teardown()
    for one, other in zip(known, found, strict=True):
        assert (other == SKIN).sum() > 0.1 * other.size
        assert (one == other).mean() > 0.9


def test_what_is_no_driver_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no weights 'facevid3vid' are installed or known"):
        GenerateDriven(GenerateDriven.Options(weights="facevid3vid")).ready("cpu", {})
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="other.pth"):
        GenerateDriven(GenerateDriven.Options(weights=str(tmp_path / "other.pth"))).ready("cpu", {})


def test_a_restorer_has_the_last_word_and_landmarks_follow(rows, source, tmp_path):
    plain = driver({"source": source}, weights="none", size=128)(rows)
    for path, side in ((write_gpen(tmp_path / "gpen.pth"), 32), (write_realesrnet(tmp_path / "sr.pth"), 512)):
        stage = driver({"source": source}, weights="none", size=128, enhance=str(path))
        stage.ready("cpu", {})
        assert stage.files() == [path]
        found = stage(rows)
        assert [image.shape for image in found["driven"]] == [(side, side, 3)] * 3
        scale = side / 128
        expected = (plain["driven_landmarks"] + 0.5) * scale - 0.5
        assert np.allclose(found["driven_landmarks"], expected, atol=1e-3)
        again = stage(rows.take(slice(1, 2)))["driven"][0]
        assert np.array_equal(again, found["driven"][1])


def test_what_does_not_restore_is_one_line_before_any_work(tmp_path):
    with pytest.raises(InputError, match="weights gpen-512 are not installed"):
        GenerateDriven(GenerateDriven.Options(enhance="gpen-512")).ready("cpu", {})
    torch.save(bisenet.BiSeNet().state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: holds BiSeNet face parser, neither a GPEN nor an RRDBNet"):
        GenerateDriven(GenerateDriven.Options(enhance=str(tmp_path / "other.pth"))).ready("cpu", {})
