"""vidswap tune: a generator for each track of a clip, and pipelines that use it."""

import json

import numpy as np
import pytest
import torch
from cli_media import moving_portrait, write_clip
from tiny_e4s import write_tiny

from vidswap.cli import tune
from vidswap.cli.app import run_command
from vidswap.cli.weights import terms_of_files
from vidswap.latents.region_networks import load_networks

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM = ["invert.weights=random:32", "generate.weights=random:32"]


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr(tune, "_LEAST_STEPS", 3)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, astronaut):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, [moving_portrait(astronaut, i) for i in range(10)])
    return path


def run(clip, folder, *more):
    command = ["tune", "reconstruct-e4e", "-t", str(clip), "-o", str(folder), "--frames", "2", "--passes", "2"]
    return run_command([*command, *more, *RANDOM, "--device", "cpu"])


def test_a_track_is_tuned_and_pipelines_use_it(clip, tmp_path, capsys):
    folder = tmp_path / "tuned"
    assert run(clip, folder, "--json") == 0
    file = folder / "track-0.safetensors"
    assert json.loads(capsys.readouterr().out)["tuned"] == [str(file)]
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["base"], card["track"], card["made"]["steps"]) == ("random:32", 0, 4)
    with np.load(folder / "faces.npz") as faces:
        assert faces["frame"].tolist() == [2, 7] == card["made"]["frames"]
        assert faces["image"].shape == (2, 32, 32, 3)

    before = file.read_bytes()
    assert run(clip, folder, "--quiet") == 0
    assert file.read_bytes() == before


def test_e4s_is_tuned_to_the_driven_faces(clip, tmp_path, capsys):
    from vidswap.demo import portrait

    tiny = write_tiny(tmp_path / "tiny.pt")
    folder = tmp_path / "tuned"
    command = ["tune", "swap-e4s", "-s", str(portrait("grace_hopper")), "-t", str(clip), "-o", str(folder), "--json"]
    options = [
        "align.size=128",
        "crop.size=128",
        "drive.size=256",
        f"invert.weights={tiny}",
        f"generate.weights={tiny}",
    ]
    assert run_command([*command, "--frames", "2", "--passes", "1", "--device", "cpu", *options]) == 0
    file = folder / "track-0.safetensors"
    assert json.loads(capsys.readouterr().out)["tuned"] == [str(file)]
    with np.load(folder / "faces.npz") as faces:
        assert faces["vectors"].shape[:2] == (2, 12)
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["base"], card["made"]["steps"]) == (str(tiny), 3)
    told = [line for path in (file, tiny) for line in terms_of_files([path])]
    assert told[:2] == [f"weights:    {file}", f"licence:    that of {tiny}, which it is tuned on"]
    plain, tuned = load_networks(str(tiny)), load_networks(str(file))
    moved = [name for name, value in tuned.state_dict().items() if not torch.equal(value, plain.state_dict()[name])]
    assert any(name.startswith("MLPs.") for name in moved)
    assert not any(name.startswith(("encoder.", "G.mapping.")) for name in moved)


def test_what_cannot_be_tuned_is_one_line(clip, tmp_path, capsys):
    def told(*command):
        assert run_command(list(command)) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    on = ["-t", str(clip), "-o", str(tmp_path / "tuned")]
    assert "pipeline swap-mesh has no stage that takes a tuned generator" in told("tune", "swap-mesh", *on)
    missing = ["-t", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "tuned")]
    assert "none.mp4: there is no such file" in told("tune", "reconstruct-e4e", *missing, *RANDOM)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.jpg").touch()
    full = ["-t", str(clip), "-o", str(tmp_path / "full")]
    assert "is not empty and no folder of vidswap tune" in told("tune", "reconstruct-e4e", *full, *RANDOM)
    (tmp_path / "full" / "tune.json").write_text('{"target": ')
    assert "tune.json is damaged; --fresh begins anew" in told("tune", "reconstruct-e4e", *full, *RANDOM)
    (tmp_path / "full" / "tune.json").unlink()
    other = ["generate.tuned=" + str(tmp_path / "full")]
    preview = ["preview", "--pipeline", "reconstruct-e4e", "-t", str(clip), "-o", str(tmp_path / "p.png")]
    assert "is neither a tuned generator nor a folder of vidswap tune" in told(*preview, *RANDOM, *other)


def test_frames_are_spread_over_each_track():
    frames, tracks = np.arange(100), np.repeat([4, 9], 50)
    assert tune.spread_over_tracks(frames, tracks, 2) == [(12, 4), (37, 4), (62, 9), (87, 9)]
    assert len(tune.spread_over_tracks(frames, tracks, 80)) == 100
