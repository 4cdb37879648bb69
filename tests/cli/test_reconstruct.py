"""`vidswap run reconstruct-e4e`: learned stages through the engine, with a tiny checkpoint."""

import numpy as np
import pytest
import torch
from cli_media import decoded
from learned_files import checkpoint

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """e4e for 32 px: eight rows."""
    return checkpoint(tmp_path_factory.mktemp("weights") / "e4e_tiny.pt", "e4e")


def reconstruct(vidswap, clip, out, *more):
    return vidswap("run", "reconstruct-e4e", "-t", clip, "-o", out, "--codec", "ffv1", "--end", "6f", *more)


def test_any_cut_and_batch_and_number_of_workers_gives_the_same_frames(vidswap, clip, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    assert vidswap("weights", "add", "mine", weights, "--licence", "for my friends alone", "-q")[0] == 0
    kept = ("invert.weights=mine", "generate.weights=mine")
    code, out, err = reconstruct(vidswap, clip, tmp_path / "a.mkv", "--workers", "0", *kept)
    assert (code, err) == (0, "") and "6 faces changed in 6 of 6 frames" in out
    assert out.count("for my friends alone") == 2 * out.count("licence:") == 2  # as word and as terms, before the work
    assert out.index("licence:") < out.index("faces changed")
    both = (f"invert.weights={weights}", f"generate.weights={weights}")
    cut = ("--workers", "0", "--segment-frames", "5", "generate.batch=1", "invert.batch=3")
    assert reconstruct(vidswap, clip, tmp_path / "b.mkv", *cut, *both)[0] == 0
    served = tmp_path / "served.yaml"
    served.write_text("owners: 1\nworkers: 2\nsegment_frames: 5\n")
    assert reconstruct(vidswap, clip, tmp_path / "c.mkv", "--profile", served, "--device", "cpu", *both)[0] == 0
    first, _ = decoded(tmp_path / "a.mkv")
    for name in "bc":
        other, _ = decoded(tmp_path / f"{name}.mkv")
        assert len(other) == 6 and all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    before, _ = decoded(clip)
    assert all((a != b).any() for a, b in zip(first, before, strict=False))


def test_random_weights_run_and_are_named_in_a_warning(vidswap, clip, tmp_path):
    more = ("--workers", "0", "--end", "2f", "invert.weights=random:32", "generate.weights=random:32")
    code, _, err = reconstruct(vidswap, clip, tmp_path / "a.mkv", *more)
    assert code == 0 and "warning: the weights are random" in err and err.count("\n") == 1
    code, _, err = reconstruct(vidswap, clip, tmp_path / "b.mkv", "--strict", *more)
    assert code != 0 and "weights are random" in err and not (tmp_path / "b.mkv").exists()


def test_missing_weights_are_one_line_with_the_remedy_before_anything_starts(vidswap, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    code, _, err = reconstruct(vidswap, clip, tmp_path / "a.mkv")
    assert code == 2 and err.count("\n") == 1
    assert err.startswith("error: stage 'invert' (invert.e4e): the weights e4e-ffhq are not installed: get ")
    assert "vidswap weights add e4e-ffhq" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device is there")
@pytest.mark.parametrize(
    ("device", "match"), [("cuda", "sees no CUDA device here"), ("tpu", "device"), ("cuda:x", "device")]
)
def test_a_device_that_is_not_there_is_one_line_before_anything_starts(device, match, vidswap, clip, tmp_path):
    more = ("--device", device, "invert.weights=random:32", "generate.weights=random:32")
    code, _, err = reconstruct(vidswap, clip, tmp_path / "a.mkv", *more)
    assert code == 2 and err.count("\n") == 1 and match in err and list(tmp_path.iterdir()) == []
