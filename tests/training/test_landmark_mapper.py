"""The landmark mapper learns from what a generator makes, with a detector of a kind."""

import numpy as np
import pytest
import torch

from vidswap import weights
from vidswap.faces import topology
from vidswap.graph import InputError
from vidswap.nets import landmark_mapper
from vidswap.nets.layers import seeded
from vidswap.training.exporting import export
from vidswap.training.landmark_data import Drawing, MediaPipeLandmarker, aligned_points, prepare
from vidswap.training.landmark_mapper import LandmarkMapperTask
from vidswap.training.loop import Plan, Run

SIZE = 64
CONFIG = landmark_mapper.Config(widths=(8, 16, 16, 16), size=SIZE, hidden=32, rows=8, w_dim=16)


def features(image):
    """A face whose mouth opens and whose brows rise with the picture's colours: what there is of a person in them."""
    points = topology.canonical().astype(np.float64) * [100, 100, 30] + [200, 200, 0]
    red, green, blue = image.reshape(-1, 3).mean(0) / 255 - 0.5
    points[list(topology.LIPS_INNER + topology.LIPS_OUTER), 1] += 160 * red
    points[list(topology.BROWS), 1] -= 160 * green
    points[list(topology.EYES), 0] += 160 * blue
    return points


def drawing(generator):
    return Drawing(generator, rows=4, psi=0.7, seed=1)


def pairs(generator, folder, landmarker=features, count=160):
    return prepare(generator, drawing(generator), landmarker, folder, count=count, size=SIZE)


def test_the_loss_falls_and_the_mapper_loads_like_any_weights(generator, tmp_path):
    made = pairs(generator, tmp_path / "data")
    net = seeded(lambda: landmark_mapper.LandmarkMapper(CONFIG), 0)
    task = LandmarkMapperTask(net, made, drawing(generator), batch_size=16, seed=0)
    assert task.steps_per_epoch == 9
    before = task.held_out_loss()
    run = Run(task, Plan(steps=70, batch=16, lr=2e-3, log_every=10), tmp_path / "run", settings={"what": "mapper"})
    outcome = run.train()
    assert outcome.last["code"] < 0.85 * outcome.first["code"]
    assert task.held_out_loss() < before
    target = tmp_path / "mapper.safetensors"
    export(run.exported(), target, licence="mine")
    read = weights.load(target)
    assert read.parts[""].network == "landmark-mapper"
    assert landmark_mapper.config_of(read.part(""), w_dim=16, size=SIZE) == CONFIG


def test_pairs_are_made_once_and_twins_differ_in_their_first_rows(generator, tmp_path):
    seen = []

    def counting(image):
        seen.append(image.shape)
        return features(image)

    first = pairs(generator, tmp_path, counting, count=70)
    assert seen == [(32, 32, 3)] * 140
    shard = tmp_path / "00000064-6.npz"
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(InputError, match="is damaged; remove it"):
        pairs(generator, tmp_path, counting, count=70)
    shard.unlink()
    again = pairs(generator, tmp_path, counting, count=70)
    assert len(seen) == 140 + 12
    assert np.array_equal(first.points, again.points)
    source, driven = drawing(generator)([3, 4])
    assert torch.equal(source[:, 4:], driven[:, 4:])
    assert not torch.equal(source[:, :4], driven[:, :4])
    assert torch.allclose(drawing(generator)([4])[1][0], driven[1], atol=1e-5)


def test_points_are_where_the_picture_is_drawn():
    points = aligned_points(features(np.full((8, 8, 3), 127, np.uint8)), 580)
    assert points.shape == (70, 2)
    assert 100 < points[:, 0].min() < points[:, 0].max() < 480


def test_generators_of_anything_but_faces_are_told(generator, tmp_path):
    with pytest.raises(InputError, match="in 0 of 8 pairs of generated pictures faces were found"):
        pairs(generator, tmp_path, lambda image: None, count=8)
    with pytest.raises(InputError, match="--rows 40: the generator's codes have 8"):
        Drawing(generator, rows=40, psi=1.0, seed=0)
    (tmp_path / "00000000-8.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"00000000-8.npz: is damaged; remove it"):
        pairs(generator, tmp_path, count=8)


def test_the_projects_own_detector_finds_a_face(astronaut):
    landmarks = MediaPipeLandmarker()(np.ascontiguousarray(astronaut[:300, 80:380]))
    points = aligned_points(landmarks, 580)
    eyes, mouth = points[[68, 69]], points[48:60].mean(0)
    assert abs(eyes[0, 1] - eyes[1, 1]) < 20
    assert mouth[1] > eyes[:, 1].max() + 60
    assert MediaPipeLandmarker()(np.zeros((64, 64, 3), np.uint8)) is None
