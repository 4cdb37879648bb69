"""invert.optimize: what it reaches, the cache, what it says of losses that are not there."""

import numpy as np
import pytest
import torch
from learned_files import FRAME, WITHIN, generator_file
from vidswap.operators import invert_optimize
from vidswap.operators.invert_optimize import InvertOptimize

from vidswap.graph import Batch, InputError, object_column
from vidswap.graph.operator import Setting
from vidswap.inversion import codes
from vidswap.latents import spaces
from vidswap.latents.generators import load_generator

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(generator_file(tmp_path_factory.mktemp("weights") / "generator.safetensors"))


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("VIDSWAP_INVERSIONS", str(tmp_path / "inversions"))
    return tmp_path / "inversions"


@pytest.fixture(scope="module")
def faces(weights):
    """Two crops that the generator can make."""
    loaded = load_generator(weights)
    with torch.no_grad():
        wplus = spaces.broadcast(loaded.net, loaded.net.mapping(spaces.seeded_z([5, 6], 512)))
        images = spaces.to_uint8(loaded.net.synthesis(wplus)).numpy()
    pictures = object_column([FRAME, FRAME])
    matrix = np.repeat(WITHIN[None], 2, 0)
    return Batch(frame=np.arange(2), picture=pictures, matrix=matrix, crop=object_column(images)), wplus.numpy()


def started(**options):
    made = InvertOptimize(InvertOptimize.Options(**options))
    sizes = {}
    made.ready("cpu", sizes)
    made.setup(Setting())
    return made, sizes


def quick(weights, **more):
    return {"weights": weights, "space": "w", "steps": 60, "lr": 0.05, **more}


def test_faces_are_found_and_stay_found(weights, faces, store):
    batch, _ = faces
    operator, sizes = started(**quick(weights))
    assert sizes["wplus"] == (8, 512)
    made = operator(batch)
    loaded = load_generator(weights)
    with torch.no_grad():
        again = spaces.to_uint8(loaded.net.synthesis(torch.from_numpy(made["wplus"]))).numpy()
        mean = spaces.broadcast(loaded.net, spaces.mean_latent(loaded.net)[None])
        start = spaces.to_uint8(loaded.net.synthesis(mean)).numpy()
    wanted = np.stack(list(batch["crop"])).astype(float)
    assert np.abs(again - wanted).mean() < 0.6 * np.abs(start - wanted).mean()
    assert len(list(store.glob("*.safetensors"))) == 2

    alone, _ = started(**quick(weights, cache="off"))
    assert np.array_equal(alone(batch.take(slice(1, 2)))["wplus"][0], made["wplus"][1])


def test_what_is_in_the_cache_is_not_worked_out_again(weights, faces, store, monkeypatch):
    batch, _ = faces
    first = started(**quick(weights, steps=3))[0](batch)
    monkeypatch.setattr(codes, "invert", lambda *a, **k: pytest.fail("worked out again"))
    assert np.array_equal(started(**quick(weights, steps=3))[0](batch)["wplus"], first["wplus"])
    with pytest.raises(pytest.fail.Exception):
        started(**quick(weights, steps=4))[0](batch)


def test_an_interrupted_face_goes_on_to_the_same_bits(weights, faces, store, monkeypatch):
    batch = faces[0].take(slice(0, 1))
    monkeypatch.setattr(invert_optimize, "KEPT_EVERY", 5)
    whole = started(**quick(weights, steps=12, cache="off"))[0](batch)
    operator, _ = started(**quick(weights, steps=12))
    stored = operator._keeper.keep

    def keep_and_break(key, row):
        stored(key, row)
        raise KeyboardInterrupt

    monkeypatch.setattr(operator._keeper, "keep", keep_and_break)
    with pytest.raises(KeyboardInterrupt):
        operator(batch)
    assert len(list(store.glob("*.part.safetensors"))) == 1
    assert np.array_equal(started(**quick(weights, steps=12))[0](batch)["wplus"], whole["wplus"])
    assert not list(store.glob("*.part.safetensors"))


def test_an_encoders_codes_are_where_it_starts(weights, faces, store):
    batch, wplus = faces
    options = quick(weights, space="wplus", steps=1, cache="off")
    begun = started(**options)[0](batch.with_columns(wplus=wplus))
    assert np.array_equal(begun["wplus"], wplus)
    anew = started(**options, start="mean")[0](batch.with_columns(wplus=wplus))
    assert not np.array_equal(anew["wplus"], wplus)


def test_losses_that_are_not_there_are_named_or_refused(weights, store):
    operator, _ = started(**quick(weights))
    told = operator.take_warnings()
    assert [line.split(":")[0] for line in told] == ["without the loss lpips", "without the loss identity"]
    with pytest.raises(InputError, match="loss lpips: the weights lpips-alex are not installed"):
        started(**quick(weights, losses="mse,lpips"))
    with pytest.raises(ValueError, match="no loss 'clip'"):
        InvertOptimize.Options(losses="clip")
    with pytest.raises(ValueError, match="runs in fp32"):
        InvertOptimize.Options(precision="fp16")
    with pytest.raises(InputError, match="no loss is left"):
        started(**quick(weights, mse=0.0))


def test_codes_of_another_generator_are_refused_before_any_work(weights, store):
    made = InvertOptimize(InvertOptimize.Options(**quick(weights)))
    with pytest.raises(InputError, match="codes of 18 rows of 512 do not fit"):
        made.ready("cpu", {"wplus": (18, 512)})
