"""Losses of reenactment: what they do not see, and the published values."""

import numpy as np
import torch
from golden_nets import largest_gap, tensors_of

from vidswap.nets import ir_se50, losses


def test_what_moves_as_a_whole_is_no_difference_of_eyes_and_mouth():
    points = torch.rand(2, 68, 2) * 200
    assert losses.eye_distance(points + 7, points) < 1e-4
    assert losses.mouth_distance(points + 7, points) < 1e-4
    assert abs(float(losses.shape_distance(points + 7, points)) - 7) < 1e-4


def test_a_closed_lid_is_a_difference_of_the_eyes_alone():
    points = torch.rand(1, 68, 2) * 200
    closed = points.clone()
    closed[:, 37] = closed[:, 41]
    assert losses.eye_distance(closed, points) > 0
    assert losses.mouth_distance(closed, points) == 0


def test_a_face_is_itself():
    unit = torch.nn.functional.normalize(torch.randn(4, 16), dim=1)
    assert abs(float(losses.identity_distance(unit, unit))) < 1e-6
    assert abs(float(losses.identity_distance(unit, -unit)) - 2) < 1e-6
    assert abs(float(losses.code_distance(unit + 0.1, unit)) - 0.1) < 1e-6


# Published values.


def test_distances_of_landmarks_are_the_published_ones(shared):
    golden = tensors_of(shared / "fixtures/stylemask/losses.safetensors")
    of, to = golden["in.landmarks_reenacted"], golden["in.landmarks_gt"]
    assert abs(losses.eye_distance(of, to) - golden["out.eye"]) <= 1e-5
    assert abs(losses.mouth_distance(of, to) - golden["out.mouth"]) <= 1e-5
    ours = losses.shape_distance(golden["in.vertices_reenacted"], golden["in.vertices_gt"])
    assert abs(ours - golden["out.shape"]) <= 1e-5
    picture = np.random.RandomState(42).random_sample((1, 3, 512, 512)) * 2 - 1
    crop = ir_se50.identity_crop(torch.from_numpy(picture).float())
    assert largest_gap(crop, golden["out.identity_crop_112"]) <= 1e-5
