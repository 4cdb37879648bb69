"""`vidswap weights` from end to end, on files that the tests make."""

import json
import re
import subprocess
import sys

import fsspec
import pytest
import torch
from weights_files import calls, network_pickle, tiny_nvlabs, tiny_rosinality

from vidswap.weights import open_checkpoint
from vidswap.weights.catalogue import catalogue


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.pt"
    torch.save({"g_ema": tiny_rosinality(), "latent_avg": torch.arange(8.0)}, path)
    return path


def test_a_file_is_looked_at_added_listed_checked_and_converted(vidswap, file, tmp_path, kept):
    code, out, _ = vidswap("weights", "info", file)
    assert code == 0 and "StyleGAN2 generator, 16 px, rosinality layout" in out and "table g_ema" in out
    code, out, err = vidswap("weights", "add", "mine", file, "--licence", "my own")
    assert (code, err) == (0, "") and "my own" in out and str(kept / "mine.safetensors") in out
    code, out, _ = vidswap("weights", "list", "--json")
    mine = [row for row in json.loads(out)["weights"] if row["name"] == "mine"]
    assert code == 0 and mine[0]["installed"] and mine[0]["licence"] == "my own"
    assert vidswap("weights", "list")[1].count("\n") > len(catalogue())
    assert "my own" in vidswap("weights", "info", "mine")[1]
    assert vidswap("weights", "verify")[:2] == (0, "whole    mine\n")

    there, back = tmp_path / "nv.safetensors", tmp_path / "ro.safetensors"
    assert vidswap("weights", "convert", "mine", there, "--layout", "nvlabs")[0] == 0
    assert "nvlabs layout" in vidswap("weights", "info", there)[1]
    assert vidswap("weights", "convert", there, back, "--layout", "rosinality")[0] == 0
    made = open_checkpoint(back)
    assert all(torch.equal(made.tensors[k], v) for k, v in tiny_rosinality().items())
    assert torch.equal(made.latent_avg, torch.arange(8.0))
    for path in (there, back):
        assert json.loads(path.with_suffix(".json").read_text())["licence"] == "my own"


def test_damage_is_found_with_exit_code_1(vidswap, file, kept):
    vidswap("weights", "add", "mine", file)
    path = kept / "mine.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    code, out, _ = vidswap("weights", "verify", "mine")
    assert (code, out) == (1, "changed  mine\n")


def test_terms_are_shown_before_a_file_is_read(vidswap, file):
    code, out, err = vidswap("weights", "add", "e4e-ffhq", file)
    assert code == 2 and "non-commercial" in out and "license.html" in out
    assert err.startswith("error: ") and "encoder.input_layer.0.weight missing" in err and err.count("\n") == 1
    code, out, _ = vidswap("weights", "info", "stylegan3-r-ffhq")
    assert code == 0 and "NVIDIA Source Code License" in out and "installed:  no" in out


def refusals(tmp_path, file):
    pickled = tmp_path / "evil.pkl"
    pickled.write_bytes(calls(f"touch {tmp_path / 'canary'}")["global-reduce"])
    broken = tmp_path / "broken.pt"
    broken.write_bytes(file.read_bytes()[:-100])
    missing = tmp_path / "missing.safetensors"
    return {
        "an attack": (("add", "mine", pickled), "os.system"),
        "a cut file": (("add", "mine", broken), "damaged or cut short"),
        "no file": (("add", "mine", missing), "no such file"),
        "a wrong size": (("add", "stylegan2-ffhq", file), "16 px"),
        "a strange name": (("add", "../mine", file), "no name for weights"),
        "an unknown name": (("info", "e4e-fhq"), "did you mean 'e4e-ffhq'"),
        "a file that is not there": (("info", tmp_path / "nowhere.pt"), "nowhere.pt: there is no such file"),
        "a folder": (("info", tmp_path), "is no file"),
        "an unknown name to fetch": (("pull", "e4e-fhq", "--yes"), "did you mean 'e4e-ffhq'"),
        "nothing to fetch": (("pull", "e4e-ffhq", "--yes"), "by hand|no direct address"),
        "terms that nobody agreed to": (("pull", "alexnet"), "nothing was fetched"),
        "nothing installed": (("verify", "e4e-ffhq"), "not installed"),
        "an unknown layout": (("convert", file, tmp_path / "o.safetensors", "--layout", "tf"), "nvlabs or rosinality"),
        "another suffix": (("convert", file, tmp_path / "o.pt"), ".safetensors"),
        "no folder": (("convert", file, tmp_path / "no" / "o.safetensors"), "no such folder"),
        "no raw weights": (("info", file, "--raw"), "has no raw table; it has g_ema"),
    }


CASES = (
    "an attack",
    "a cut file",
    "no file",
    "a wrong size",
    "a strange name",
    "an unknown name",
    "a file that is not there",
    "a folder",
    "an unknown name to fetch",
    "nothing to fetch",
    "terms that nobody agreed to",
    "nothing installed",
    "an unknown layout",
    "another suffix",
    "no folder",
    "no raw weights",
)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2(case, vidswap, file, tmp_path, kept):
    arguments, match = refusals(tmp_path, file)[case]
    code, _, err = vidswap("weights", *arguments)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and re.search(match, err)
    assert not (tmp_path / "canary").exists() and not list(kept.glob("*"))
    assert not list(tmp_path.glob("o.*"))


def test_a_release_is_fetched_when_its_terms_are_agreed_to(vidswap, monkeypatch, kept, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(network_pickle(tiny_nvlabs(), {"img_resolution": 16}))
    with fsspec.open("memory://weights-tests/cli.pkl", "wb") as file:
        file.write(path.read_bytes())
    entry = catalogue()["stylegan2-ffhq"].model_copy(
        update={"url": "memory://weights-tests/cli.pkl", "parts": {"": {"network": "stylegan2", "resolution": 16}}}
    )
    monkeypatch.setitem(catalogue(), "stylegan2-ffhq", entry)
    code, out, err = vidswap("weights", "pull", "stylegan2-ffhq", "--yes")
    assert (code, err) == (0, "") and "NVIDIA Source Code License" in out
    assert sorted(p.name for p in kept.iterdir()) == ["stylegan2-ffhq.json", "stylegan2-ffhq.safetensors"]
    told = json.loads((kept / "stylegan2-ffhq.json").read_text())
    assert told["origin"]["file"] == "memory://weights-tests/cli.pkl" and told["licence"] == "non-commercial"
    code, _, err = vidswap("weights", "pull", "stylegan2-ffhq", "--yes")
    assert code == 2 and "installed already" in err
    assert vidswap("weights", "convert", "stylegan2-ffhq", tmp_path / "o.safetensors")[0] == 0
    converted = json.loads((tmp_path / "o.json").read_text())
    assert [converted[k] for k in ("licence", "terms", "licence_link")] == [
        entry.licence.word,
        entry.licence.terms,
        entry.licence.link,
    ]


def test_the_catalogue_is_no_profile_of_a_run(vidswap, clip, grace, tmp_path):
    code, _, err = vidswap("swap", "-s", grace, "-t", clip, "-o", tmp_path / "o.mp4", "--profile", "weights")
    assert code == 2 and "unknown profile 'weights'" in err


def test_the_command_does_not_import_torch_for_what_needs_none(tmp_path):
    script = (
        "import sys; from vidswap.cli.app import run_command as run; "
        "code = run(['weights', 'list', '--json']) + run(['weights', 'info', 'e4e-ffhq', '--json']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
