"""The stages of E4S on rows made from two portraits, with a tiny checkpoint."""

import numpy as np
import pytest
import torch
from mesh_faces import Canvas, face_row
from PIL import Image
from tiny_e4s import GENERATOR, write_tiny
from vidswap.operators.drive import GenerateDriven, InvertHead
from vidswap.operators.e4s import BlendE4S, GenerateE4S, InvertE4S
from vidswap.operators.map_e4s import MapE4S, MapE4SShape, SmoothVectors
from vidswap.operators.parse_faces import ParseBiSeNet, ParseFiles

from vidswap.faces import label_maps
from vidswap.faces.regions import HAIR, LIP, NOSE, SKIN
from vidswap.graph import Batch, object_column
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting
from vidswap.latents import differences, region_networks, regions
from vidswap.nets import bisenet
from vidswap.nets.layers import seeded


class Video:
    """What stages ask of a target."""

    def __init__(self, frames=30, first=0, whole=None):
        self.frame_count, self.first, self.whole = frames, first, whole


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt"))


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path_factory):
    """No weights are installed but those that a test installs."""
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path_factory.mktemp("store")))


def made(operator, batch, **setting):
    stage = operator
    stage.setup(Setting(**{"video": Video(), **setting}))
    try:
        return stage(batch)
    finally:
        stage.teardown()


def prepared(image, model, weights, frames=1):
    """Rows as they come to `invert.e4s`, inverted; what a source has."""
    rows = Batch.concat([face_row(image, model, 128, number) for number in range(frames)])
    rows = made(InvertHead(InvertHead.Options()), rows)
    rows = made(ParseBiSeNet(ParseBiSeNet.Options()), rows)
    return made(InvertE4S(InvertE4S.Options(weights=weights)), rows)


@pytest.fixture(scope="module")
def source(grace_hopper, face_model, weights):
    return prepared(grace_hopper, face_model, weights)


@pytest.fixture(scope="module")
def target(astronaut, face_model, weights, source):
    """Three rows of one track, through all stages up to the label map."""
    rows = Batch.concat([face_row(astronaut, face_model, 128, number) for number in range(3)])
    rows = rows.with_columns(track=np.zeros(3, np.int64))
    rows = made(GenerateDriven(GenerateDriven.Options(size=256)), rows, sources={"source": source})
    rows = made(ParseBiSeNet(ParseBiSeNet.Options()), rows)
    rows = made(InvertE4S(InvertE4S.Options(weights=weights)), rows)
    return made(MapE4SShape(MapE4SShape.Options()), rows)


def mapped(target, source, **options):
    return made(MapE4S(MapE4S.Options(**options)), target, sources={"source": source})


def labels_of(batch, row=0):
    return label_maps.unpacked(bytes(batch["label_map"][row]))


def test_a_source_has_vectors_and_a_head(source):
    assert source["vectors"].shape == (1, 12, 48)
    assert source["vectors"].dtype == np.float16
    assert np.array_equal(source["driven_vectors"], source["vectors"])
    assert source["portrait"].shape == (1, 512, 512, 3)


def test_vectors_are_those_of_the_networks(target, weights):
    net = region_networks.load_networks(weights)
    images = region_networks.encoder_input(target["crop"][1])
    with torch.inference_mode():
        wanted = net.vectors(images, region_networks.stacked([target["regions"][1]]))
    np.testing.assert_allclose(target["vectors"][1], wanted[0], rtol=2e-3, atol=1e-3)


def test_target_and_driven_face_differ_and_both_have_faces(target):
    assert not np.array_equal(target["vectors"], target["driven_vectors"])
    for row in target["driven_regions"]:
        assert {NOSE, SKIN, LIP} <= set(np.unique(row))
        assert row.shape == (512, 512)


def test_the_label_map_has_the_driven_faces_nose_and_the_targets_hair(target):
    labels, hole = labels_of(target)
    both = (target["driven_regions"][0] == NOSE) & (target["regions"][0] != 0)
    assert (labels[both & ~np.isin(target["regions"][0], (4, 7, 10, 11))] == NOSE).all()
    assert (labels[target["regions"][0] == HAIR] == HAIR).all()
    assert (labels[hole] == SKIN).all()


def test_strength_of_shape_and_of_texture_are_apart(target, source):
    still = made(MapE4SShape(MapE4SShape.Options(strength_shape=0)), target)
    assert np.array_equal(labels_of(still)[0], target["regions"][0])
    same = mapped(target, source, strength_texture=0)
    # Regions that only the source shows come from it all the same, as the code of nothing is nobody's.
    own = target["vectors"].astype(np.float32)
    there = own.any(-1)
    assert np.array_equal(same["style_vectors"][there], own[there])


def test_regions_chosen_change_alone(target, source):
    found = mapped(target, source, regions="nose")
    changed = (found["style_vectors"] != target["vectors"].astype(np.float32)).any(-1)[0]
    assert changed[NOSE]
    assert not changed[[LIP, SKIN, HAIR]].any()


def test_several_pictures_of_the_source_are_averaged(target, source, astronaut, face_model, weights):
    second = prepared(astronaut, face_model, weights)
    one = mapped(target, source)
    both = made(MapE4S(MapE4S.Options()), target, sources={"source": source, "source.2": second})
    np.testing.assert_allclose(one["style_vectors"][0, NOSE], target["driven_vectors"][0, NOSE].astype(np.float32))
    mean = (source["vectors"][0, NOSE].astype(np.float32) + second["vectors"][0, NOSE]) / 2
    np.testing.assert_allclose(both["style_vectors"][0, NOSE], mean, rtol=1e-5)
    driven = made(MapE4S(MapE4S.Options(texture="driven")), target, sources={"source": source, "source.2": second})
    assert np.array_equal(driven["style_vectors"], one["style_vectors"])


def test_two_people_are_told_apart(target, source, astronaut, face_model, weights):
    other = prepared(astronaut, face_model, weights)
    rows = target.with_columns(source=np.array([0, 1, 0]))
    people = {"source": source, "source2": other}
    found = made(MapE4S(MapE4S.Options(texture="source")), rows, sources=people)
    np.testing.assert_array_equal(found["style_vectors"][1, NOSE], other["vectors"][0, NOSE].astype(np.float32))
    np.testing.assert_array_equal(found["style_vectors"][2, NOSE], source["vectors"][0, NOSE].astype(np.float32))


def test_vectors_are_smoothed_per_track(target):
    operator = SmoothVectors(SmoothVectors.Options(sigma=1.0))
    assert operator.context == 4
    rows = target.with_columns(track=np.array([0, 1, 0]), frame=np.array([0, 0, 1]))
    moved = rows["vectors"].copy()
    moved[1] += 1
    found = operator(rows.with_columns(vectors=moved))
    np.testing.assert_allclose(found["vectors"][1], moved[1], rtol=1e-3)
    np.testing.assert_allclose(found["vectors"][0], rows["vectors"][0], rtol=2e-3)


def test_pictures_are_those_of_the_networks_and_brought_to_the_crop(target, source, weights):
    rows = mapped(target, source)
    found = made(GenerateE4S(GenerateE4S.Options(weights=weights)), rows)
    assert [i.shape for i in found["image"]] == [(128, 128, 3)] * 3
    net = region_networks.load_networks(weights)
    labels = region_networks.stacked([labels_of(rows)[0]])
    with torch.inference_mode():
        images = net(net.codes(torch.from_numpy(rows["style_vectors"][:1])), labels)
    wanted = region_networks.to_bytes(images)[0].numpy()
    from vidswap.operators.e4s import brought

    assert np.abs(brought(wanted, 128).astype(int) - found["image"][0]).max() <= 1


def test_every_face_is_made_by_its_tracks_generator(target, source, weights, tmp_path):
    base = region_networks.load_networks(weights)
    moved = {name: value + 0.3 for name, value in base.state_dict().items() if name.startswith("MLPs.6.")}
    file = tmp_path / "track-4.safetensors"
    differences.save(file, base, moved, named=weights, base_sha256="0" * 64, track=4)
    rows = mapped(target, source).with_columns(track=np.array([0, 4, 0]))

    def pictures(**options):
        stage = GenerateE4S(GenerateE4S.Options(weights=weights, **options))
        stage.ready("cpu", {})
        return made(stage, rows)["image"]

    plain, by_track, for_all = pictures(), pictures(tuned=str(tmp_path)), pictures(tuned=str(file))
    assert not np.array_equal(plain[1], for_all[1])
    for found, expected in zip(by_track, (plain[0], for_all[1], plain[2]), strict=True):
        assert np.array_equal(found, expected)
    with pytest.raises(InputError, match="not on these weights"):
        GenerateE4S(GenerateE4S.Options(weights="random:64", tuned=str(file))).ready("cpu", {})
    with pytest.raises(InputError, match="is neither a tuned generator nor a folder"):
        GenerateE4S(GenerateE4S.Options(weights=weights, tuned=str(tmp_path / "none"))).files()


def test_rows_do_not_depend_on_their_company(target, source, weights):
    rows = mapped(target, source)
    stage = GenerateE4S(GenerateE4S.Options(weights=weights))
    stage.setup(Setting(video=Video()))
    whole = stage(rows)["image"]
    for row in range(3):
        assert np.array_equal(stage(rows.take(slice(row, row + 1)))["image"][0], whole[row])


@pytest.mark.parametrize("mode", ["multiband", "gradient", "feather", "soft", "laplacian"])
def test_every_blending_changes_the_face_and_nothing_far_from_it(target, source, astronaut, mode):
    image = np.full((128, 128, 3), (20, 200, 60), np.uint8)
    rows = target.take(slice(0, 1)).with_columns(
        image=object_column([image]), picture=object_column([Canvas(astronaut)])
    )
    found = made(BlendE4S(BlendE4S.Options(mode=mode)), rows)["picture"][0].image
    nose = target["landmarks"][0][4, :2].astype(int)
    assert np.abs(found[nose[1], nose[0]].astype(int) - astronaut[nose[1], nose[0]]).max() > 20
    x, y = target["landmarks"][0][:, :2].mean(0)
    yy, xx = np.mgrid[0 : len(astronaut), 0 : astronaut.shape[1]]
    far = np.hypot(xx - x, yy - y) > 1.6 * np.ptp(target["landmarks"][0][:, 1])
    assert np.array_equal(found[far], astronaut[far])


def test_pictures_show_the_neck_and_videos_keep_the_targets(target):
    picture, video = BlendE4S(BlendE4S.Options()), BlendE4S(BlendE4S.Options())
    picture.setup(Setting(video=Video(1)))
    video.setup(Setting(video=Video(30)))
    labels = np.full((64, 64), 8, np.uint8)
    assert picture._shown(labels, labels > 8).all()
    assert not video._shown(labels, labels > 8).any()
    chosen = BlendE4S(BlendE4S.Options(cover="hair,lips"))
    chosen.setup(Setting(video=Video()))
    assert not chosen._shown(labels, labels > 8).any()
    assert chosen._shown(np.full((64, 64), HAIR, np.uint8), labels > 8).all()


def test_random_weights_are_said_loudly(target):
    stage = InvertE4S(InvertE4S.Options(weights="random:64"))
    stage.load()
    assert "RANDOM weights" in stage.take_warnings()[0]


def test_the_parser_says_that_it_does_without_weights(target):
    stage = ParseBiSeNet(ParseBiSeNet.Options())
    stage.setup(Setting())
    told = stage.take_warnings()
    stage.teardown()
    assert "bisenet are not installed" in told[0]


def test_a_face_that_the_parser_does_not_see_is_left_out_and_told(astronaut, face_model):
    rows = Batch.concat([face_row(astronaut, face_model, 128, number) for number in range(2)])
    blank = rows.with_columns(
        crop=object_column([rows["crop"][0], np.zeros((128, 128, 3), np.uint8)]),
        landmarks=np.stack([rows["landmarks"][0], rows["landmarks"][1] + 5000]),
    )
    stage = ParseBiSeNet(ParseBiSeNet.Options())
    stage.setup(Setting())
    found = stage(blank)
    assert found["frame"].tolist() == [0]
    assert any("sees no face in frames 1" in told for told in stage.take_warnings())
    stage.teardown()


def test_bisenet_parses_where_it_is_given(astronaut, face_model, tmp_path):
    net = seeded(bisenet.BiSeNet, 1)
    path = tmp_path / "parser.pth"
    torch.save(net.state_dict(), path)
    rows = face_row(astronaut, face_model, 512)
    stage = ParseBiSeNet(ParseBiSeNet.Options(weights=str(path)))
    stage.setup(Setting())
    labels = stage._parsed(list(rows["crop"]), [])[0]
    image = torch.from_numpy(rows["crop"][0]).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        wanted = net(bisenet.normalised_faces(image)).argmax(1)[0].numpy()
    assert np.array_equal(labels, label_maps.to_regions(wanted, "bisenet"))
    assert stage.files() == [path]


def drawn(path, labels):
    Image.fromarray(labels).save(path)
    return path


def test_a_drawn_map_becomes_the_shape_and_tells_what_it_changes(target, tmp_path):
    labels = target["regions"][0].copy()
    labels[240:260, 240:260] = HAIR
    path = drawn(tmp_path / "map.png", labels)
    rows = made(ParseFiles(ParseFiles.Options(path=path, order="regions")), target)
    rows = made(MapE4SShape(MapE4SShape.Options(rule="drawn")), rows)
    found, hole = labels_of(rows)
    assert np.array_equal(found, labels)
    assert np.array_equal(hole, labels != target["regions"][0])


def test_maps_of_single_frames_count_for_those_alone(target, tmp_path):
    labels = np.full((512, 512), 17, np.uint8)
    drawn(tmp_path / "000001.png", labels)
    rows = made(ParseFiles(ParseFiles.Options(path=tmp_path, order="bisenet")), target)
    assert np.array_equal(rows["driven_regions"][0], target["regions"][0])
    assert (rows["driven_regions"][1] == HAIR).all()
    alone = made(ParseFiles(ParseFiles.Options(path=tmp_path, order="bisenet", only=True)), target)
    assert alone["frame"].tolist() == [1]
    source = made(ParseFiles(ParseFiles.Options(path=tmp_path, order="bisenet")), target, video=None)
    assert np.array_equal(source["driven_regions"][1], target["regions"][1])


def test_maps_for_frames_that_are_not_there_are_one_line(tmp_path):
    drawn(tmp_path / "000030.png", np.zeros((512, 512), np.uint8))
    stage = ParseFiles(ParseFiles.Options(path=tmp_path))
    with pytest.raises(InputError, match="for frame 30, but there are frames 0..29 alone"):
        stage.setup(Setting(video=Video(30)))


def test_maps_are_numbered_by_the_frames_of_the_file_whatever_part_is_asked_for(target, tmp_path):
    drawn(tmp_path / "000012.png", np.full((512, 512), 17, np.uint8))
    part = Video(3, first=11, whole=Video(30))
    rows = made(ParseFiles(ParseFiles.Options(path=tmp_path, order="bisenet")), target, video=part)
    assert [bool((one == HAIR).all()) for one in rows["driven_regions"]] == [False, True, False]
    stage = ParseFiles(ParseFiles.Options(path=tmp_path))
    with pytest.raises(InputError, match=r"no label map for frames 15\.\.17, which are asked for"):
        stage.setup(Setting(video=Video(3, first=15, whole=Video(30))))


@pytest.mark.parametrize(
    ("names", "told"),
    [((), "holds no label maps named by frame"), (("1.png", "01.png"), "are both for frame 1")],
)
def test_folders_that_make_no_sense_are_one_line(tmp_path, names, told):
    for name in names:
        drawn(tmp_path / name, np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match=told):
        ParseFiles(ParseFiles.Options(path=tmp_path)).files()
    with pytest.raises(InputError, match="no such label map"):
        ParseFiles(ParseFiles.Options(path=tmp_path / "none")).files()


def test_a_region_that_the_source_does_not_show_is_one_line(target, source):
    with pytest.raises(InputError, match="show no eye_glass"):
        mapped(target, source, regions="nose,glasses")


def test_a_region_that_the_target_does_not_show_is_told(target, source):
    marked = source.with_columns(vectors=np.where(source["vectors"].any(-1, keepdims=True), source["vectors"], 1))
    stage = MapE4S(MapE4S.Options(regions="nose,glasses"))
    stage.setup(Setting(sources={"source": marked}))
    stage(target)
    assert stage.take_warnings() == ["map: some faces of the target show no glasses; there is nothing to change there"]
    assert stage.take_warnings() == []


@pytest.mark.parametrize("channels", [(16, 12, 8), (16, 16, 12, 8, 8, 8)])
def test_generators_of_other_sizes_are_brought_to_the_crop(target, source, tmp_path, channels):
    generator = type(GENERATOR)(channels, w_dim=16, z_dim=16, mapping_layers=2)
    path = str(write_tiny(tmp_path / "other.pt", generator=generator, rows=3))
    assert region_networks.load_networks(path).config.generator.resolution == 4 << (len(channels) - 1)
    found = made(GenerateE4S(GenerateE4S.Options(weights=path)), mapped(target, source))
    assert [image.shape for image in found["image"]] == [(128, 128, 3)] * 3


def test_without_a_source_vectors_stay(target):
    found = made(MapE4S(MapE4S.Options()), target)["style_vectors"]
    own = target["vectors"].astype(np.float32)
    there = regions.present(own)
    assert np.array_equal(found[there], own[there])
