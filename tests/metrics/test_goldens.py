"""Parity with the published definitions (shared/fixtures/encoders/latent_ops.safetensors)."""

import numpy as np
import pytest
from safetensors_file import arrays_of

from vidswap.metrics import flow, seam
from vidswap.metrics.identity import temporal_identity


@pytest.fixture(scope="module")
def golden(shared):
    path = shared / "fixtures" / "encoders" / "latent_ops.safetensors"
    if not path.is_file():
        pytest.skip(f"no goldens at {path}")
    return arrays_of(path)


def test_warp_is_the_published_one(golden):
    assert flow.warped(golden["flow.im_t1"], golden["flow.fw"]) == pytest.approx(golden["flow.warped"], abs=1e-12)


def test_occlusion_mask_is_the_published_one(golden):
    hidden = flow.occluded(golden["flow.fw"], golden["flow.bw"])
    assert np.array_equal(hidden, golden["flow.occ"] > 0)
    assert 0 < hidden.sum() < hidden.size


def test_warping_error_is_the_published_one(golden):
    first, second, forward = (golden[f"flow.{name}"] for name in ("im_t", "im_t1", "fw"))
    hidden = golden["flow.occ"] > 0
    assert flow.warping_error(first, second, forward, hidden) == pytest.approx(golden["flow.warp_error"][0], rel=1e-9)


def test_tl_id_and_tg_id_are_the_published_ones(golden):
    local, overall = temporal_identity(golden["id.source"], golden["id.edited"])
    assert local == pytest.approx(golden["id.tl"][0], rel=1e-9)
    assert overall == pytest.approx(golden["id.tg"][0], rel=1e-9)


def test_border_band_lies_within_the_mask_that_stitching_changes(golden):
    full = golden["stit.full"][0, 0] > 0
    band = seam.border_band(full, 4)
    assert band.any() and not (band & ~full).any()
    assert (full & ~band).any()
