"""`vidswap swap --method e4s` on real frames, with a tiny checkpoint."""

import numpy as np
import pytest
from cli_media import decoded, packets
from tiny_e4s import write_tiny

OPTIONS = ["align.size=128", "crop.size=128", "drive.size=256"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("weights") / "tiny.pt")


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path, one_core):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "store"))


@pytest.fixture
def swap(vidswap, clip, grace, weights, tmp_path):
    """Swap some frames of the clip; returns exit code, what was told, and the output."""

    def run(*more, output="out.mkv", source=grace, target=clip, trained=weights):
        chosen = [f"{stage}.weights={trained}" for stage in ("invert", "generate")] if trained else []
        path = tmp_path / output
        end = [] if path.suffix == ".png" else ["--end", "6f", "--codec", "ffv1"]
        given = ["swap", "--method", "e4s", "-s", source, "-t", target, "-o", path, *end]
        code, out, told = vidswap(*given, *more, *OPTIONS, *chosen)
        return code, out + told, path

    return run


def test_faces_change_and_nothing_hangs_on_how_it_is_run(swap, clip):
    code, told, path = swap("--segment-frames", "5", "-j", "2")
    assert code == 0, told
    assert "bisenet are not installed" in told
    assert "6 faces changed in 6 of 6 frames" in told
    code, told, other = swap("-j", "0", "generate.batch=3", output="other.mkv")
    assert code == 0, told
    (one, times), (two, _), (before, _) = decoded(path), decoded(other), decoded(clip)
    assert len(one) == 6
    for frame, (a, b, c) in enumerate(zip(one, two, before[:6], strict=True)):
        assert np.array_equal(a, b), f"frame {frame}"
        changed = (np.abs(a[:240].astype(int) - c[:240]) > 12).mean()
        assert 0.005 < changed < 0.2
        assert np.array_equal(a[:30], c[:30])
    assert len(times) == 6
    assert packets(path, "audio")


def test_a_picture_is_swapped_with_every_option(swap, clip, tmp_path, astronaut):
    import cv2

    target = tmp_path / "target.png"
    cv2.imwrite(str(target), astronaut[:, :, ::-1])
    results = []
    for more in ([], ["--regions", "nose", "--blend", "laplacian"], ["--skin", "target"], ["--strength", "0.3"]):
        code, told, path = swap(*more, "-y", "-j", "0", output="out.png", target=target)
        assert code == 0, told
        results.append(cv2.imread(str(path)))
    assert all(r.shape == astronaut.shape for r in results)
    for one in range(len(results)):
        for other in range(one):
            assert not np.array_equal(results[one], results[other])
    far = results[0][:, :40] == astronaut[:, :40, ::-1]
    assert far.all()


def test_missing_weights_are_one_line_with_the_remedy_before_any_work(swap):
    code, told, path = swap(trained=None)
    assert code == 2
    assert "the weights e4s are not installed" in told
    assert "vidswap weights add e4s iteration_300000.pt" in told
    assert not path.exists()


def test_weights_of_another_network_are_one_line(swap, tmp_path):
    import torch

    from vidswap.nets import bisenet

    torch.save(bisenet.BiSeNet().state_dict(), tmp_path / "other.pth")
    code, told, path = swap(trained=tmp_path / "other.pth")
    assert code == 2
    assert "other.pth" in told
    assert "Traceback" not in told
    assert not path.exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--pipeline", "swap-mesh"], "give one of them"),
        (["--regions", "chin"], "'all' or some of brows"),
        (["--skin", "green"], "skin"),
        (["--blend", "none"], "mode"),
    ],
)
def test_wrong_options_are_one_line(swap, more, told):
    code, said, path = swap(*more)
    assert code == 2
    assert told in said
    assert not path.exists()


def test_an_unknown_method_names_those_there_are(vidswap, clip, grace, tmp_path):
    code, _, told = vidswap("swap", "--method", "magic", "-s", grace, "-t", clip, "-o", tmp_path / "out.mp4")
    assert code == 2
    assert "none of e4s, mesh" in told


def test_skin_is_no_option_of_the_mesh(vidswap, clip, grace, tmp_path):
    code, _, told = vidswap("swap", "--skin", "mix", "-s", grace, "-t", clip, "-o", tmp_path / "out.mp4")
    assert code == 2
    assert "'skin'" in told


def test_a_region_that_the_source_lacks_is_one_line(swap):
    code, told, path = swap("--regions", "glasses", "-j", "0")
    assert code == 2
    assert "the source's pictures show no eye_glass" in told
    assert not path.exists()
