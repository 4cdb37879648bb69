"""`vidswap reenact --method stylemask|landmarks`: from end to end, with tiny checkpoints."""

import av
import numpy as np
import pytest
from cli_media import decoded, packets
from learned_files import checkpoint, encoder_file, generator_file, mapper_file, masks_file

from vidswap.cli.app import run_command

FEW = ("--size", "96", "--codec", "ffv1", "--end", "6f", "-q")
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def stylemask(tmp_path_factory):
    """Options that name tiny weights for 32 px."""
    folder = tmp_path_factory.mktemp("weights")
    e4e = checkpoint(folder / "e4e.pt", "e4e")
    masks = masks_file(folder / "mask_network.pt", 32)
    given = {"portrait.weights": e4e, "invert.weights": e4e, "map.weights": masks, "map.generator": e4e}
    return [f"{name}={path}" for name, path in {**given, "generate.weights": e4e}.items()]


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory):
    """The same for StyleGAN3."""
    folder = tmp_path_factory.mktemp("weights")
    given = {
        "portrait.use": "invert.source-e4e",
        "portrait.weights": encoder_file(folder / "encoder.pt"),
        "map.weights": mapper_file(folder / "mapper.pt"),
        "generate.weights": generator_file(folder / "sg3.safetensors", 32, "stylegan3"),
    }
    return [f"{name}={path}" for name, path in given.items()]


@pytest.fixture(scope="module", params=["stylemask", "landmarks"])
def method(request):
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def reenacted(tmp_path_factory, method, clip, grace):
    """One segment, in this process, with the threads that it has: whatever those are, the frames are the same."""
    output = tmp_path_factory.mktemp("reenacted") / "out.mkv"
    how = ["--method", method[0], "-s", str(grace), "-d", str(clip), "-o", str(output), *FEW, "-j", "0", *method[1]]
    assert run_command(["reenact", *how]) == 0
    return output


def test_the_square_moves_at_the_drivers_times_with_its_sound(reenacted, method, clip):
    (before, times_before), (after, times_after) = decoded(clip, "rgb24"), decoded(reenacted, "rgb24")
    assert len(after) == 6 and len(before) == 26
    assert [t - times_after[0] for t in times_after] == [t - times_before[0] for t in times_before[:6]]
    assert after[0].shape == (96, 96, 3)
    assert any(not np.array_equal(after[0], other) for other in after[1:])
    assert packets(reenacted, "audio")
    with av.open(str(reenacted)) as container:
        assert f"(method reenact-{method[0]})" in {k.lower(): v for k, v in container.metadata.items()}["comment"]


def test_segments_of_any_length_give_the_same_frames(vidswap, reenacted, method, clip, grace, tmp_path):
    how = ["--method", method[0], "--segment-frames", "5", "-j", "0"]
    code, _, err = vidswap("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "b.mkv", *FEW, *how, *method[1])
    assert code == 0, err
    for one, other in zip(decoded(reenacted)[0], decoded(tmp_path / "b.mkv")[0], strict=True):
        assert np.array_equal(one, other)


def test_the_face_is_pasted_beside_portrait_and_driver_without_sound(vidswap, stylemask, clip, grace, tmp_path):
    how = ["--method", "stylemask", "--paste", "--side-by-side", "--no-sound", "-j", "0", "--keyframes", "3"]
    code, _, err = vidswap("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "c.mkv", *FEW, *how, *stylemask)
    assert code == 0, err
    frames, _ = decoded(tmp_path / "c.mkv", "rgb24")
    # The portrait is 512 x 600, the driver 320 x 240: 82 x 96, 128 x 96, and 82 x 96 again.
    assert len(frames) == 6 and frames[0].shape == (96, 82 + 128 + 82, 3)
    assert np.array_equal(frames[0][:, :80], frames[5][:, :80])
    assert not np.array_equal(frames[0][:, 82:210], frames[5][:, 82:210])
    result, portrait = (frames[3][:, at : at + 82].astype(int) for at in (210, 0))
    assert np.abs(result - portrait)[40:60, 30:50].mean() > 10  # the face
    assert np.abs(result - portrait)[:3, 4:9].max() <= 3  # the corner of the picture, beside the panels' edge
    with av.open(str(tmp_path / "c.mkv")) as container:
        assert not container.streams.audio


def test_frames_without_a_driver_show_the_portrait_at_rest(vidswap, stylemask, clip, faceless, grace, tmp_path):
    how = ["--method", "stylemask", "-j", "0", *stylemask]
    code, _, err = vidswap("reenact", "-s", grace, "-d", faceless, "-o", tmp_path / "d.mkv", *FEW, *how)
    assert code == 0, err
    frames, _ = decoded(tmp_path / "d.mkv", "rgb24")
    assert len(frames) == 6
    assert all(np.array_equal(frame, frames[0]) for frame in frames)
    assert frames[0].std() > 20  # a face, not a blank


def test_masks_that_were_trained_here_drive_a_clip(vidswap, clip, grace, tmp_path):
    trained = ["--generator", "random:32", "--batch", "2", "--steps", "3", "-o", tmp_path / "run"]
    code, _, err = vidswap("train", "mask-net", *trained, "-q")
    assert code == 0, err
    names = ("portrait.weights", "invert.weights", "map.generator", "generate.weights")
    given = [f"{name}=random:32" for name in names]
    given.append(f"map.weights={tmp_path / 'run' / 'mask-net.safetensors'}")
    how = ["--method", "stylemask", "--size", "64", "--codec", "ffv1", "--end", "3f", "-j", "0"]
    code, _, err = vidswap("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "out.mkv", *how, *given)
    assert code == 0 and "the weights are random" in err
    frames, _ = decoded(tmp_path / "out.mkv")
    assert len(frames) == 3 and not np.array_equal(frames[0], frames[2])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--method", "stylemsak"], "--method 'stylemsak' is none of landmarks, mesh, stylemask"),
        (["--method", "mesh", "--paste"], "--paste is for the learned methods, not for reenact-mesh"),
        (["--method", "mesh", "--psi", "0.7"], "--psi is for --method stylemask, not for reenact-mesh"),
        (["--method", "landmarks", "--psi", "0.7"], "--psi is for --method stylemask, not for reenact-landmarks"),
        (["--method", "stylemask", "--inversion", "ptii"], "unknown operator 'invert.source-ptii'"),
        (["--method", "stylemask"], "stage 'portrait' (invert.source-e4e): the weights e4e-ffhq are not installed"),
        (["--method", "landmarks"], "the weights restyle-e4e-stylegan3-ffhq are not installed"),
        (["--method", "stylemask", "--psi", "9"], "psi"),
        (["--method", "landmarks", "--keyframes", "4"], "--keyframes is for --method stylemask"),
        (["--method", "stylemask", "--pipeline", "reenact-mesh"], "--method and --pipeline both name the pipeline"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(vidswap, monkeypatch, clip, grace, tmp_path, given, says):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    code, _, err = vidswap("reenact", "-s", grace, "-d", clip, "-o", tmp_path / "out.mkv", "-j", "0", *given)
    assert code == 2 and err.count("\n") == 1 and says in err, err
    assert not (tmp_path / "out.mkv").exists()


def test_networks_that_do_not_fit_each_other_are_told_before_anything_starts(
    vidswap, stylemask, landmarks, clip, grace, tmp_path
):
    masks = masks_file(tmp_path / "masks.pt", widths=(32, 16))
    mapper = mapper_file(tmp_path / "mapper.pt", rows=14)
    for name, given, says in (
        ("stylemask", [*stylemask, f"map.weights={masks}"], "do not fit this generator of 32 px"),
        (
            "stylemask",
            [*stylemask, "invert.rows=1"],
            "the driver's codes have 1 rows of 512, of which 2 of 512 are read",
        ),
        ("landmarks", [*landmarks, f"map.weights={mapper}"], "the portrait's code has 16 rows of 512"),
    ):
        arguments = ("--method", name, "-s", grace, "-d", clip, "-o", tmp_path / "out.mkv", "-j", "0", *given)
        code, _, err = vidswap("reenact", *arguments)
        assert code == 2 and err.count("\n") == 1 and says in err, err
        assert not (tmp_path / "out.mkv").exists()
