"""Tuned generators in a pipeline: by file, by track, by name of the file as weights."""

import numpy as np
import pytest
import torch
from learned_files import generator, generator_file
from vidswap.operators.generate_stylegan import GenerateStyleGAN2
from vidswap.operators.tuned import Tuned

from vidswap.graph import Batch, InputError
from vidswap.graph.operator import Setting
from vidswap.latents import differences, spaces
from vidswap.latents.generators import load_generator


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights, and a folder with generators tuned for tracks 3 and 8."""
    folder = tmp_path_factory.mktemp("tuned")
    weights = generator_file(tmp_path_factory.mktemp("weights") / "base.safetensors")
    base = generator()
    for track in (3, 8):
        state = {
            name: value + 0.01 * track * torch.ones_like(value) for name, value in base.synthesis.named_parameters()
        }
        state = {f"synthesis.{name}": value for name, value in state.items()}
        file = folder / f"track-{track}.safetensors"
        differences.save(file, base, state, named=str(weights), base_sha256="0" * 64, track=track)
    return str(weights), folder


@pytest.fixture(scope="module")
def codes():
    net = generator()
    return spaces.broadcast(net, net.mapping(spaces.seeded_z(range(4), 512))).numpy()


def pictures(weights, batch, tuned=""):
    operator = GenerateStyleGAN2(GenerateStyleGAN2.Options(weights=weights, tuned=str(tuned), device="cpu"))
    operator.ready("cpu", {})
    operator.setup(Setting())
    return list(operator(batch)["image"])


def test_every_face_is_made_by_its_tracks_generator(made, codes):
    weights, folder = made
    batch = Batch(frame=np.arange(4), wplus=codes, track=np.array([8, 3, 5, 8]))
    by_track = pictures(weights, batch, folder)
    plain = pictures(weights, batch)
    eight, three = (pictures(weights, batch, folder / f"track-{track}.safetensors") for track in (8, 3))
    for made_here, expected in zip(by_track, (eight[0], three[1], plain[2], eight[3]), strict=True):
        assert np.array_equal(made_here, expected)
    assert not np.array_equal(eight[0], plain[0])
    assert not np.array_equal(eight[0], three[0])


def test_a_tuned_generator_is_weights_like_others(made, codes):
    weights, folder = made
    batch = Batch(frame=np.arange(4), wplus=codes)
    file = folder / "track-3.safetensors"
    both = pictures(str(file), batch), pictures(weights, batch, file)
    assert all(np.array_equal(a, b) for a, b in zip(*both, strict=True))
    assert load_generator(str(file)).title.endswith("tuned (track-3.safetensors)")


def test_other_weights_and_folders_are_refused(made, tmp_path):
    weights, folder = made
    operator = GenerateStyleGAN2(GenerateStyleGAN2.Options(weights="random:32", tuned=str(folder)))
    with pytest.raises(InputError, match="was tuned on .*base.safetensors .*, not on these weights"):
        operator.ready("cpu", {})
    with pytest.raises(InputError, match="is neither a tuned generator nor a folder"):
        Tuned(str(tmp_path))
    assert [path.name for path in Tuned(str(folder)).files] == ["track-3.safetensors", "track-8.safetensors"]
    files = GenerateStyleGAN2(GenerateStyleGAN2.Options(weights=weights, tuned=str(folder))).files()
    assert len(files) == 3
