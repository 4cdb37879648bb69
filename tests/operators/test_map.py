import numpy as np
import pytest
from pydantic import ValidationError
from vidswap.operators.map import MapMesh

from vidswap.faces import resting, shape, topology
from vidswap.graph import Batch
from vidswap.graph.operator import Setting


def landmarks(seed, count=1):
    generator = np.random.default_rng(seed)
    mean = topology.canonical()[None].astype(np.float64) * (1 + generator.normal(0, 0.04, (count, 1, 3)))
    return (mean * 70 + (300, 200, 0) + generator.normal(0, 0.2, mean.shape)).astype(np.float32)


def mapper(**options):
    operator = MapMesh(MapMesh.Options(**options))
    operator.setup(Setting(sources={"source": Batch(landmarks=landmarks(1))}))
    return operator


def test_the_shape_is_that_of_the_source_under_the_targets_outline():
    batch = Batch(frame=np.arange(3), landmarks=landmarks(2, 3))
    worn = mapper()(batch)["shape"]
    assert worn.shape == (3, 478, 3) and worn.dtype == np.float32
    moved = np.abs(worn - batch["landmarks"])
    assert moved.max() > 0.5 and moved[:, list(topology.FACE_OVAL)].max() < 1e-3


def test_how_the_target_is_at_rest_brings_it_nearer_to_the_source():
    batch = Batch(landmarks=landmarks(2, 5))
    rests = resting.at_rest(np.arange(5), [resting.reading(points) for points in batch["landmarks"]], 4)
    plain, told = (mapper()(b)["shape"] for b in (batch, batch.with_columns(resting=rests)))
    source = shape.identity_shape(landmarks(1)[0])
    assert not np.array_equal(plain, told)
    apart = [shape.distance(shape.identity_shape(points), source) for points in (plain[2], told[2])]
    assert apart[1] < apart[0]
    assert np.array_equal(mapper(strength_shape=0)(batch.with_columns(resting=rests))["shape"], batch["landmarks"])


def test_no_strength_no_change():
    batch = Batch(landmarks=landmarks(2))
    assert np.array_equal(mapper(strength_shape=0)(batch)["shape"], batch["landmarks"])


def test_rows_do_not_depend_on_their_company():
    batch = Batch(landmarks=landmarks(2, 7))
    whole = mapper()(batch)["shape"]
    parts = [mapper()(batch.take(slice(a, b)))["shape"] for a, b in ((0, 2), (2, 3), (3, 7))]
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("wrong", [{"strength_shape": 1.5}, {"regions": "ears"}, {"regions": ""}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        MapMesh.Options(**wrong)


def test_noise_of_the_target_is_not_amplified():
    still = np.repeat(landmarks(2), 40, 0)
    noisy = (still + np.random.default_rng(0).normal(0, 0.3, still.shape)).astype(np.float32)
    made = mapper()(Batch(landmarks=noisy))["shape"] - mapper()(Batch(landmarks=still))["shape"]
    assert made[..., :2].std() < 1.02 * (noisy - still)[..., :2].std()
