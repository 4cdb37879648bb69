"""vidswap train: what it writes, that it goes on, what it refuses."""

import contextlib
import json
import os
import signal

import pytest

from vidswap import weights
from vidswap.cli import train
from vidswap.cli.app import run_command

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "none"))


def mask_net(folder, *more, steps=3):
    command = ["train", "mask-net", "-o", str(folder), "--generator", "random:16", "--batch", "2", "--log-every", "1"]
    return run_command([*command, "--steps", str(steps), *more])


def test_mask_networks_are_trained_further_and_read_like_any_weights(tmp_path, capsys):
    assert mask_net(tmp_path / "run", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["steps"], first["began_at"]) == (3, 0)
    assert set(first["last"]) == {"structure", "colours", "total"}
    assert mask_net(tmp_path / "run", "--json", steps=4) == 0
    assert json.loads(capsys.readouterr().out)["began_at"] == 3
    assert weights.load(tmp_path / "run" / "mask-net.safetensors").parts[""].network == "stylemask"
    card = json.loads((tmp_path / "run" / "mask-net.json").read_text())
    assert card["terms"] == "Trained with vidswap on random:16, whose terms hold for it too."


def test_what_has_to_be_done_without_is_named(tmp_path, capsys):
    assert mask_net(tmp_path / "run", steps=1) == 0
    told = capsys.readouterr().out
    assert "without the loss identity: the weights ir-se50 are not installed" in told
    assert "without a model of the face's shape" in told


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--lr", "0.5"], "holds a run with other settings (plan.lr: 0.0001 there, 0.5 here)"),
        (["--space", "z"], "--space z: write style or wplus"),
        (["--precision", "fp8"], "--precision fp8: write fp32, fp16, bf16"),
        (["--generator", "stylegan2-ffhq"], "the weights stylegan2-ffhq are not installed"),
        (["--shape-model", "nothing"], "--shape-model 'nothing': write package.module:callable"),
        (["--layers", "40"], "has 5 convolutions, not 40"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, capsys, more, line):
    assert mask_net(tmp_path / "run", steps=1) == 0
    capsys.readouterr()
    assert mask_net(tmp_path / "run", *more, steps=2) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in error


def test_folders_of_e4s_are_looked_at_first(tmp_path, capsys):
    command = ["train", "rgi", "-o", str(tmp_path / "run"), "--generator", "random:16"]
    folders = ["--pictures", str(tmp_path / "none"), "--labels", str(tmp_path)]
    assert run_command([*command, *folders]) == 2
    assert "none: there is no such folder" in capsys.readouterr().err
    assert run_command([*command, *folders, "--order", "mine"]) == 2
    assert "--order mine: write regions, bisenet, celebamask" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_generator_that_makes_no_faces_is_told(tmp_path, capsys):
    command = [
        "train",
        "landmark-mapper",
        "-o",
        str(tmp_path / "run"),
        "--generator",
        "random:16",
        "--pairs",
        "2",
        "--rows",
        "3",
    ]
    assert run_command(command) == 2
    assert "the landmark mapper needs a generator of upright faces" in capsys.readouterr().err


def test_an_interrupted_run_ends_after_its_step_and_goes_on(tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(train, "stoppable", lambda: contextlib.nullcontext(lambda: True))
        assert mask_net(tmp_path / "run") == 130
    assert "stopped after step 1; the same command goes on from there" in capsys.readouterr().err
    assert not (tmp_path / "run" / "mask-net.safetensors").exists()
    assert mask_net(tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["began_at"] == 1


def test_a_signal_asks_for_the_end_and_a_second_one_insists():
    with train.stoppable() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
