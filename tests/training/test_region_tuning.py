"""E4S tuned to a clip's faces: pictures come nearer where there is face, and its weights are told as differences."""

import pytest
import torch

from vidswap.inversion.losses import LossNetworks
from vidswap.latents import differences
from vidswap.latents.region_networks import load_networks
from vidswap.nets import rgi, rgi_keys, stylegan2
from vidswap.nets.layers import seeded
from vidswap.training.exporting import export
from vidswap.training.loop import Plan, Run
from vidswap.training.region_tuning import RegionTuningTask, face_mask


@pytest.fixture(scope="module")
def net():
    shape = stylegan2.Config((8,) * 4, z_dim=16, w_dim=16, mapping_layers=1)
    return seeded(lambda: rgi.RGI(rgi.Config(shape, 7, 12, (16,) * 5)), 2)


@pytest.fixture(scope="module")
def faces(net):
    """Vectors, label maps with a face of skin in the middle, and pictures of 32 px."""
    random = torch.Generator().manual_seed(4)
    vectors = torch.randn(2, 12, net.encoder.vector_width, generator=random)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 12:52, 12:52] = 6
    colours = torch.rand(2, 3, 1, 1, generator=random) * 2 - 1
    return vectors, labels, colours.expand(-1, -1, 32, 32).clone()


def test_pictures_come_nearer_and_files_of_differences_are_weights(net, faces, tmp_path):
    task = RegionTuningTask(net, *faces, LossNetworks(), {"mse": 1.0, "lpips": 1.0})
    run = Run(task, Plan(40, 1, 5e-3, log_every=10), tmp_path / "run", settings={})
    outcome = run.train()
    assert outcome.last["mse"] < 0.5 * outcome.first["mse"]

    tensors, mean = rgi_keys.into_published(net.state_dict())
    base = tmp_path / "base.safetensors"
    export(tensors, base, licence="mine", beside=mean)
    file = tmp_path / "track-0.safetensors"
    differences.save(file, net, run.exported(), named=str(base), base_sha256="0" * 64)
    assert not any(name.startswith("encoder.") for name in differences.read(file)[1])
    loaded = load_networks(str(file))
    vectors, labels, _ = faces
    with torch.no_grad():
        expected = task.players["net"](task.players["net"].codes(vectors), labels)
        assert torch.allclose(loaded(loaded.codes(vectors), labels), expected, atol=1e-5)


def test_only_the_face_is_looked_at(faces):
    mask = face_mask(faces[1], 32)
    assert mask.shape == (2, 1, 32, 32)
    assert float(mask[0, 0, 16, 16]) == 1
    assert float(mask[0, 0, 6, 16]) == 0
    assert float(mask[0, 0, 8, 16]) == 1
