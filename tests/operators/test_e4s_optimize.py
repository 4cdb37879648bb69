"""Style vectors by gradient descent, on pictures that the tiny networks can make."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_e4s import tiny_net, write_tiny
from vidswap.operators.e4s import InvertE4S
from vidswap.operators.e4s_optimize import InvertE4SOptimize

from vidswap.graph import Batch, object_column
from vidswap.graph.operator import Setting
from vidswap.inversion import vectors
from vidswap.inversion.losses import ImageLoss, LossNetworks
from vidswap.inversion.optimiser import Rows, Schedule
from vidswap.latents import region_networks


@pytest.fixture(autouse=True)
def no_store(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture(scope="module")
def net():
    return tiny_net()


@pytest.fixture(scope="module")
def labels():
    """Two maps (512, 512): background above, skin or hair below."""
    made = torch.zeros(2, 512, 512, dtype=torch.uint8)
    made[0, 256:], made[1, 256:] = 6, 4
    return made


@pytest.fixture(scope="module")
def pictures(net, labels):
    drawn = torch.randn(2, *region_networks.vector_shape(net), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        return net(net.codes(drawn), labels)


LOSS = ImageLoss({"mse": 1.0}, LossNetworks())


def test_pictures_come_nearer_and_absent_regions_stay_zero(net, pictures, labels):
    begin = torch.zeros(2, 12, 48)
    begin[:, 0] = begin[0, 6] = begin[1, 4] = 0.1
    rows = vectors.starting(begin)
    found = vectors.optimised(net, LOSS, pictures, labels, rows, Schedule(25, 0.1))
    assert all(best < 0.7 * first for best, first in zip(rows.best_loss, rows.first_loss, strict=True))
    shown = found.any(dim=2)
    assert shown[0].nonzero().flatten().tolist() == [0, 6]
    assert shown[1].nonzero().flatten().tolist() == [0, 4]


def test_a_row_does_not_depend_on_its_company(net, pictures, labels):
    begin = torch.full((2, 12, 48), 0.1)
    both = vectors.optimised(net, LOSS, pictures, labels, vectors.starting(begin), Schedule(4, 0.1))
    alone = vectors.optimised(net, LOSS, pictures[1:], labels[1:], vectors.starting(begin[1:]), Schedule(4, 0.1))
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_what_was_interrupted_goes_on_to_the_same_bits(net, pictures, labels):
    begin, kept = torch.full((1, 12, 48), 0.1), []
    whole = vectors.optimised(
        net,
        LOSS,
        pictures[:1],
        labels[:1],
        vectors.starting(begin),
        Schedule(6, 0.1),
        keep=lambda rows: kept.append(rows.tensors(0)),
        keep_every=3,
    )
    again = Rows.of_tensors([kept[0]])
    assert again.steps == [3]
    assert torch.equal(vectors.optimised(net, LOSS, pictures[:1], labels[:1], again, Schedule(6, 0.1)), whole)


@pytest.fixture
def batch(pictures, labels):
    crops = region_networks.to_bytes(pictures).numpy()
    return Batch(
        frame=np.arange(2), crop=object_column(list(crops)), regions=object_column([one.numpy() for one in labels])
    )


def inverter(tmp_path, weights, **options):
    stage = InvertE4SOptimize(
        InvertE4SOptimize.Options(weights=weights, cache=str(tmp_path / "cache"), lr=0.05, **options)
    )
    stage.setup(Setting())
    return stage


def test_the_stage_betters_what_the_encoder_sees_and_keeps_it(tmp_path, net, batch, pictures, labels):
    weights = str(write_tiny(tmp_path / "tiny.pt"))
    plain = InvertE4S(InvertE4S.Options(weights=weights))
    plain.setup(Setting())
    stage = inverter(tmp_path, weights, steps=12)
    begun, found = plain(batch)["vectors"], stage(batch)["vectors"]

    def apart(given):
        with torch.no_grad():
            images = net(net.codes(torch.from_numpy(given.astype(np.float32))), labels)
        return float((images - pictures).square().mean())

    assert apart(found) < apart(begun)
    told = stage.take_warnings()
    assert any("without the loss lpips" in line for line in told)
    stored = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert len(stored) == 2
    again = inverter(tmp_path, weights, steps=12)
    again._net = SimpleNamespace(config=net.config)  # with which nothing could be worked out again
    assert np.array_equal(again(batch)["vectors"], found)
    inverter(tmp_path, weights, steps=2)(batch)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_driven_faces_are_optimised_too(tmp_path, batch):
    weights = str(write_tiny(tmp_path / "tiny.pt"))
    rows = batch.with_columns(driven=batch["crop"][::-1].copy(), driven_regions=batch["regions"][::-1].copy())
    found = inverter(tmp_path, weights, steps=2)(rows)
    assert np.array_equal(found["driven_vectors"], found["vectors"][::-1])
