"""Restorers give what their networks give, in whatever company."""

import numpy as np
import pytest
import torch
from learned_files import write_gpen, write_realesrnet

from vidswap.latents.restorers import LARGEST, Restorer, load_restorer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces():
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (side, side, 3), np.uint8) for side in (32, 48, 32)]


def test_gpen_sees_and_gives_its_own_size(faces, tmp_path):
    net = load_restorer(str(write_gpen(tmp_path / "gpen.pth")))
    restore = Restorer(net, CPU, 8)
    made = restore(faces)
    assert [image.shape for image in made] == [(32, 32, 3)] * 3
    given = torch.from_numpy(faces[2]).permute(2, 0, 1)[None] / 127.5 - 1
    expected = ((net(given)[0].permute(1, 2, 0) + 1) * 127.5).clamp(0, 255)
    assert (torch.from_numpy(made[2]) - expected).abs().max() <= 0.51
    assert np.array_equal(restore(faces[1:2])[0], made[1])


def test_realesrnet_enlarges_four_times_what_it_sees(faces, tmp_path):
    net = load_restorer(str(write_realesrnet(tmp_path / "sr.pth")))
    restore = Restorer(net, CPU, 8)
    large = np.full((LARGEST + 20, LARGEST + 20, 3), 90, np.uint8)
    made = restore([*faces, large])
    assert [len(image) for image in made] == [128, 192, 128, 4 * LARGEST]
    expected = net(torch.from_numpy(faces[1]).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0) * 255
    assert (torch.from_numpy(made[1]) - expected.clamp(0, 255)).abs().max() <= 0.51
