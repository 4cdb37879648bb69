"""Stages of learned reenactment: what drives, what stays the portrait's, and what is told before anything starts."""

import numpy as np
import pytest
import torch
from learned_files import FRAME, WITHIN, checkpoint, generator, mapper_file, masks_file
from vidswap.operators.generate_style import GenerateStyle, GenerateStyleOptions
from vidswap.operators.invert_encoders import WHOLE, InvertE4E, InvertE4EOptions
from vidswap.operators.invert_optimize import InvertOptimizeOptions
from vidswap.operators.invert_source import InvertSourceE4E, InvertSourceOptimize
from vidswap.operators.map_codes import MapLandmarks, MapLandmarksOptions, MapStyleMask, MapStyleMaskOptions

from vidswap.faces import topology
from vidswap.faces.pose import rotation_of
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Setting
from vidswap.latents import spaces
from vidswap.latents.driving import load_mapper, load_masks


@pytest.fixture(scope="module", autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {
        "e4e": str(checkpoint(folder / "e4e.pt", "e4e", rows=10, size=64)),
        "masks": str(masks_file(folder / "masks.pt", 64)),
        "mapper": str(mapper_file(folder / "mapper.pt")),
    }


def codes(seed, count, rows=10):
    return np.random.default_rng(seed).normal(0, 0.5, (count, rows, 512)).astype(np.float32)


def face(yaw=0.0, scale=90.0, seed=None):
    shape = topology.canonical().astype(np.float64)
    if seed is not None:
        shape = shape + np.random.default_rng(seed).normal(0, 0.03, shape.shape)
    return (shape @ rotation_of(yaw, 0, 0).T * scale + (300.0, 280.0, 0.0)).astype(np.float32)


def stylemask(files, **options):
    made = MapStyleMask(MapStyleMaskOptions(weights=files["masks"], generator=files["e4e"], **options))
    made.setup(Setting(sources={"source": Batch(source_wplus=codes(1, 1))}))
    return made


def test_a_portrait_that_drives_itself_is_rendered_as_it_is(files):
    own = codes(1, 1)
    batch = stylemask(files)(Batch(frame=np.arange(1), wplus=own))
    made = GenerateStyle(GenerateStyleOptions(weights=files["e4e"]))
    made.setup(Setting())
    image = made(batch)["image"][0]
    plain = spaces.to_uint8(generator(64).synthesis(torch.from_numpy(own)))[0].numpy()
    assert image.shape == (64, 64, 3)
    assert np.abs(image.astype(int) - plain).max() <= 1


def test_rows_that_masks_do_not_control_are_not_read(files):
    driver = codes(2, 3)
    one = stylemask(files)(Batch(wplus=driver))["style"]
    assert np.array_equal(one, stylemask(files)(Batch(wplus=np.ascontiguousarray(driver[:, :4])))["style"])
    assert not np.allclose(one[0], one[1])


def test_presence_eases_to_the_portrait_and_psi_to_the_mean(files):
    driver = codes(2, 3)
    presence = np.array([1.0, 0.5, 0.0], np.float32)
    eased = stylemask(files)(Batch(wplus=driver, presence=presence))["style"]
    whole = stylemask(files)(Batch(wplus=driver))["style"]
    rest = stylemask(files)(Batch(wplus=codes(1, 1)))["style"]
    assert np.array_equal(eased[0], whole[0])
    assert np.allclose(eased[1], 0.5 * (whole[1] + rest[0]), atol=1e-4)
    assert np.allclose(eased[2], rest[0], atol=1e-4)
    mean = stylemask(files, psi=0.0)(Batch(wplus=driver))["style"]
    assert np.allclose(mean[0], mean[1], atol=1e-5) and not np.allclose(mean[0], whole[0])


def test_company_changes_no_bit(files):
    driver = codes(2, 5)
    mapped = stylemask(files)
    whole = mapped(Batch(wplus=driver))["style"]
    parts = [mapped(Batch(wplus=driver[i : i + 1]))["style"] for i in range(5)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_masks_over_rows_of_w_plus_are_another_variant():
    mixer, mean, warnings = load_masks("random", "random:64", "wplus")
    assert mixer.space == "wplus" and mixer.masks.config.widths == (512,) * 4
    assert mean.shape == (512,) and len(warnings) == 1


def test_the_first_rows_of_e4e_are_what_the_whole_code_begins_with(files):
    image = np.kron(np.random.RandomState(1).randint(0, 255, (8, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    batch = Batch(frame=np.arange(1), picture=object_column([FRAME]), matrix=WITHIN[None], crop=object_column([image]))
    whole, first = (InvertE4E(InvertE4EOptions(weights=files["e4e"], rows=rows)) for rows in (None, 4))
    source = InvertSourceE4E(InvertE4EOptions(weights=files["e4e"]))
    for operator in (whole, first, source):
        operator.setup(Setting())
    code = whole(batch)["wplus"]
    assert code.shape == (1, 10, 512)
    assert np.array_equal(first(batch)["wplus"], code[:, :4])
    made = source(batch)
    assert np.array_equal(made["source_wplus"], code) and "wplus" not in made
    sizes = {}
    for operator in (first, source):
        operator.ready("cpu", sizes)
    assert sizes == {"wplus": (4, 512), WHOLE: (10, 512), "source_wplus": (10, 512)}


def test_an_encoder_of_a_larger_generator_is_refused_though_its_first_rows_would_do(files):
    operator = MapStyleMask(MapStyleMaskOptions(weights=str(files["masks"]), generator=str(files["e4e"])))
    with pytest.raises(InputError, match="the encoder of the driver gives 16 rows of 512, .* takes 10 of 512"):
        operator.ready("cpu", {"wplus": (12, 512), WHOLE: (16, 512), "source_wplus": (10, 512)})


def test_optimisation_begins_at_the_code_of_the_stage_before(files):
    image = np.kron(np.random.RandomState(1).randint(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    batch = Batch(frame=np.arange(1), picture=object_column([FRAME]), matrix=WITHIN[None], crop=object_column([image]))
    made = InvertSourceOptimize(
        InvertOptimizeOptions(weights=files["e4e"], steps=2, losses="mse", cache="off", lr=1e-4)
    )
    sizes = {"source_wplus": (10, 512)}
    made.ready("cpu", sizes)
    assert sizes == {"source_wplus": (10, 512)}
    made.setup(Setting())
    with torch.enable_grad():
        begun = made(batch.with_columns(source_wplus=codes(5, 1)))["source_wplus"]
        fresh = made(batch)["source_wplus"]
    assert np.abs(begun - codes(5, 1)).max() < 1e-3 < np.abs(fresh - begun).max()


def landmarks(files, source, driver, **options):
    made = MapLandmarks(MapLandmarksOptions(weights=files["mapper"], **options))
    bound = {"source": Batch(source_wplus=codes(3, 1, 16), landmarks=source[None])}
    if driver is not None:
        bound["driver"] = Batch(landmarks=driver[None])
    made.setup(Setting(sources=bound))
    return made


def test_a_driver_at_rest_does_not_move_the_portrait_whatever_its_shape(files):
    source, driver = face(scale=150, seed=1), face(seed=2)
    still = landmarks(files, source, driver)(Batch(landmarks=driver[None]))["wplus"]
    moved = landmarks(files, source, driver)(Batch(landmarks=face(20, seed=2)[None]))["wplus"]
    plain = landmarks(files, source, None, motion="absolute")(Batch(landmarks=driver[None]))["wplus"]
    zero = load_mapper(files["mapper"])[0](torch.zeros(1, 3, 145, 145)).numpy()
    own = codes(3, 1, 16) + zero
    leak, motion, absolute = (np.abs(made - own).mean() for made in (still, moved, plain))
    assert leak < 0.35 * motion
    assert leak < 0.35 * absolute


def test_strength_and_presence_say_how_far_the_code_moves(files):
    source, driver = face(seed=1), face(seed=2)
    rows = Batch(landmarks=np.stack([face(15, seed=2)] * 2), presence=np.array([1.0, 0.0], np.float32))
    made = landmarks(files, source, driver, strength=0.5)(rows)["wplus"]
    whole = landmarks(files, source, driver)(rows)["wplus"]
    own = codes(3, 1, 16)[0]
    assert np.allclose(made[0] - own, 0.5 * (whole[0] - own), atol=1e-6)
    assert np.array_equal(made[1], own)


def test_relative_motion_wants_the_driver_bound(files):
    with pytest.raises(InputError, match="bind the driving video as --source driver=VIDEO"):
        landmarks(files, face(), None)


def test_a_mapper_that_is_not_there_is_told_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match="nobody publishes one: make one with `vidswap train landmark-mapper`"):
        MapLandmarks(MapLandmarksOptions()).ready("cpu", {})


def test_what_does_not_fit_is_told_before_anything_starts(files):
    mapped = MapStyleMask(MapStyleMaskOptions(weights=files["masks"], generator=files["e4e"]))
    with pytest.raises(InputError, match="has 18 rows of 512, .* takes 10 of 512"):
        mapped.ready("cpu", {"source_wplus": (18, 512)})
    with pytest.raises(InputError, match="have 3 rows of 512, of which 4 of 512 are read"):
        mapped.ready("cpu", {"wplus": (3, 512)})
    sizes = {"source_wplus": (10, 512), "wplus": (4, 512)}
    mapped.ready("cpu", sizes)
    painted = GenerateStyle(GenerateStyleOptions(weights=files["e4e"]))
    painted.ready("cpu", sizes)
    with pytest.raises(InputError, match="codes of 7 styles do not fit"):
        painted.ready("cpu", {"style": (7,)})
    with pytest.raises(InputError, match="generator.*, no landmark mapper"):
        MapLandmarks(MapLandmarksOptions(weights=files["e4e"])).ready("cpu", {})
