"""`vidswap generate`: pictures, sweeps, mixtures and walks of tiny generators."""

import json
import re

import av
import cv2
import numpy as np
import pytest
import torch
from cli_media import decoded
from learned_files import checkpoint, generator, generator_file
from PIL import Image
from weights_files import network_pickle, tiny_nvlabs

from vidswap.latents import spaces
from vidswap.nets import stylegan2_keys


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    made = {"nvlabs": generator_file(folder / "sg2.safetensors"), "e4e": checkpoint(folder / "e4e.pt", "e4e")}
    made["sg3"] = generator_file(folder / "sg3.safetensors", 32, "stylegan3")
    ours, mean = stylegan2_keys.into_rosinality(generator().state_dict())
    torch.save({"g_ema": ours, "latent_avg": mean}, folder / "rosinality.pt")
    made["rosinality"] = folder / "rosinality.pt"
    made["pickle"] = folder / "net.pkl"
    made["pickle"].write_bytes(network_pickle(tiny_nvlabs(), {"img_resolution": 16}))
    return made


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))


def picture(path):
    return np.asarray(Image.open(path))


def expected(seed, psi, cutoff=None):
    net = generator()
    with torch.no_grad():
        code = spaces.broadcast(net, net.mapping(spaces.seeded_z([seed], 512)))
        code = spaces.truncated(code, net.mapping.w_avg, psi, cutoff)
        return spaces.to_uint8(net.synthesis(code))[0].numpy().astype(int)


def test_seeds_become_the_pictures_of_their_codes(vidswap, files, tmp_path):
    code, out, err = vidswap("generate", "images", files["nvlabs"], "-o", tmp_path / "o", "--seeds", "1-2,7")
    assert (code, err) == (0, "") and "licence:    not stated" in out and "3 pictures" in out
    names = ["seed0001.png", "seed0002.png", "seed0007.png", "vidswap.json"]
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == names
    for seed in (1, 2, 7):
        assert np.abs(picture(tmp_path / f"o/seed{seed:04d}.png") - expected(seed, 0.7)).max() <= 1


def test_a_seeds_picture_is_the_same_in_every_list(vidswap, files, tmp_path):
    for name, seeds in (("a", "0-9"), ("b", "9"), ("c", "4,9")):
        assert vidswap("generate", "images", files["nvlabs"], "-o", tmp_path / name, "-s", seeds)[0] == 0
    a, b, c = (picture(tmp_path / name / "seed0009.png") for name in "abc")
    assert np.array_equal(a, b) and np.array_equal(b, c)


@pytest.mark.parametrize("name", ["rosinality", "e4e"])
def test_every_layout_of_the_same_weights_gives_the_same_picture(name, vidswap, files, tmp_path):
    assert vidswap("generate", "images", files[name], "-o", tmp_path / "o.png", "-s", "3", "--psi", "0.5")[0] == 0
    assert np.abs(picture(tmp_path / "o.png") - expected(3, 0.5)).max() <= 1


def test_network_pickles_and_stylegan3_are_read_too(vidswap, files, tmp_path):
    assert vidswap("generate", "images", files["sg3"], "-o", tmp_path / "o.png", "-s", "3")[0] == 0
    assert picture(tmp_path / "o.png").shape == (32, 32, 3)
    code, out, err = vidswap("generate", "images", files["pickle"], "-o", tmp_path / "p", "-s", "0-1", "--json")
    told = json.loads(out)
    assert code == 0 and err == "" and told["resolution"] == 16 and told["files"] == 2
    assert told["weights"]["name"] == "net.pkl" and len(told["weights"]["sha256"]) == 64


def test_a_sweep_of_truncations_is_a_grid_with_seeds_down(vidswap, files, tmp_path):
    sweep = ("--seeds", "0-1", "--psi", "0,0.5,1", "--cutoff", "2,8", "--grid", "--cell", "32")
    code, _, _ = vidswap("generate", "images", files["nvlabs"], "-o", tmp_path / "o", *sweep)
    assert code == 0
    grid = picture(tmp_path / "o/index.png")
    assert grid.shape == (64, 192, 3)
    assert np.array_equal(grid[32:, 96:128], picture(tmp_path / "o/seed0001-psi0.5-cut8.png"))
    assert np.abs(picture(tmp_path / "o/seed0001-psi0.5-cut2.png") - expected(1, 0.5, 2)).max() <= 1
    assert np.array_equal(grid[:32, 32:64], grid[32:, 32:64])  # psi 0 in all rows is the mean


def test_the_usual_layers_are_those_that_a_small_generator_has(vidswap, files, tmp_path):
    code, _, _ = vidswap(
        "generate", "mix", files["pickle"], "-o", tmp_path / "o.png", "--rows", "0", "--cols", "1", "--json"
    )
    assert code == 0 and json.loads(Image.open(tmp_path / "o.png").text["vidswap"])["layers"] == [0, 1, 2, 3, 4, 5]


def test_mixtures_have_the_layers_of_the_top_and_the_rest_of_the_left(vidswap, files, tmp_path):
    how = ("--rows", "0-1", "--cols", "5,6,7", "--layers", "0-7", "--cell", "32")
    assert vidswap("generate", "mix", files["nvlabs"], "-o", tmp_path / "all", *how)[0] == 0
    grid = picture(tmp_path / "all/index.png")
    assert grid.shape == (96, 128, 3) and not grid[:32, :32].any()
    for column in (32, 64, 96):  # all layers: everything is the top's
        assert np.array_equal(grid[:32, column : column + 32], grid[64:, column : column + 32])
    how = ("--rows", "0-1", "--cols", "5,6,7", "--layers", "0-3", "--cell", "32")
    assert vidswap("generate", "mix", files["nvlabs"], "-o", tmp_path / "some", *how)[0] == 0
    mixed = picture(tmp_path / "some/row0001-col0006.png")
    net = generator()
    with torch.no_grad():
        w = spaces.broadcast(net, net.mapping(spaces.seeded_z([1, 6], 512)))
        w = spaces.truncated(w, net.mapping.w_avg, 0.7)
        w[0, :4] = w[1, :4]
        wanted = spaces.to_uint8(net.synthesis(w[:1]))[0].numpy()
    assert np.abs(mixed.astype(int) - wanted).max() <= 1
    assert len(list((tmp_path / "some").iterdir())) == 6 + 2


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_walk_is_a_film_that_goes_by_its_seeds(space, vidswap, files, tmp_path):
    how = ("--seeds", "0,1,2", "--seconds", "0.5", "--fps", "24", "--space", space, "--codec", "ffv1")
    code, out, err = vidswap("generate", "walk", files["nvlabs"], "-o", tmp_path / "o.mkv", *how)
    assert (code, err) == (0, "") and "12 frames" in out
    frames, times = decoded(tmp_path / "o.mkv", "rgb24")
    assert len(frames) == 12 and float(times[-1]) == pytest.approx(11 / 24, abs=2e-3)
    for number, seed in ((0, 0), (4, 1), (8, 2)):
        assert np.abs(frames[number] - expected(seed, 0.7)).mean() < 1
    again = ("--no-loop", *how)
    assert vidswap("generate", "walk", files["nvlabs"], "-o", tmp_path / "p.mkv", *again)[0] == 0
    frames, _ = decoded(tmp_path / "p.mkv", "rgb24")
    assert np.abs(frames[-1] - expected(2, 0.7)).mean() < 1


def test_films_say_what_they_are(vidswap, files, tmp_path):
    assert vidswap("generate", "walk", files["nvlabs"], "-o", tmp_path / "o.mp4", "--seconds", "0.2")[0] == 0
    with av.open(str(tmp_path / "o.mp4")) as film:
        told = json.loads(film.metadata["vidswap"])
        assert film.streams.video[0].codec_context.pix_fmt == "yuv420p" and len(film.streams) == 1
    assert (
        told["command"] == "generate walk" and told["seeds"] == "0-5" and told["weights"]["name"] == "sg2.safetensors"
    )
    code = vidswap("generate", "walk", files["nvlabs"], "-o", tmp_path / "o.gif", "--seconds", "0.2")[0]
    assert code == 0 and Image.open(tmp_path / "o.gif").n_frames == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.gif", "o.mp4"]


def test_pictures_say_what_they_are(vidswap, files, tmp_path):
    assert vidswap("generate", "images", files["nvlabs"], "-o", tmp_path / "o", "-s", "1")[0] == 0
    text = Image.open(tmp_path / "o/seed0001.png").text
    assert "whoever is seen does not exist" in text["Comment"]
    facts = json.loads(text["vidswap"])
    assert facts["psi"] == [0.7] and facts["weights"]["licence"] == "not stated"
    note = json.loads((tmp_path / "o/vidswap.json").read_text())
    assert note["files"] == ["seed0001.png"] and note["vidswap"] == facts


def test_noise_is_the_weights_own_or_none_or_drawn_from_a_seed(vidswap, files, tmp_path):
    for number, noise in enumerate(("const", "none", "random:1", "random:1", "random:2")):
        code, _, _ = vidswap(
            "generate", "images", files["nvlabs"], "-o", tmp_path / f"{number}.png", "-s", "1", "--noise", noise
        )
        assert code == 0
    const, none, one, again, two = (picture(tmp_path / f"{number}.png") for number in range(5))
    assert np.array_equal(one, again)
    assert len({image.tobytes() for image in (const, none, one, two)}) == 4


def test_pictures_of_stylegan3_are_moved_and_turned(vidswap, files, tmp_path):
    views = {
        "plain": (),
        "moved": ("--translate", "0.25,-0.125"),
        "turned": ("--rotate", "90"),
        "back": ("--rotate", "360", "--translate", "0,0"),
    }
    for name, more in views.items():
        given = ("random:64", "--family", "stylegan3-r", "-s", "2", "-o", tmp_path / f"{name}.png", *more)
        assert vidswap("generate", "images", *given)[0] == 0
    plain, moved, turned, back = (picture(tmp_path / f"{name}.png").astype(float) for name in views)
    near = plain.std() / 4
    # 16 px to the right and 8 px up, away from the borders.
    assert np.abs(moved[8:40, 32:56] - plain[16:48, 16:40]).mean() < near < np.abs(moved - plain).mean()
    # Counter-clockwise; of R alone, whose features know no direction.
    inner = slice(12, 52)
    assert np.abs(turned[inner, inner] - np.rot90(plain)[inner, inner]).mean() < near < np.abs(turned - plain).mean()
    assert np.abs(back - plain).max() <= 1
    told = json.loads(Image.open(tmp_path / "moved.png").text["vidswap"])
    assert told["translate"] == [0.25, -0.125] and told["rotate"] == 0


def test_random_weights_are_used_and_said_so(vidswap, tmp_path):
    code, out, err = vidswap(
        "generate", "images", "random:32", "--family", "stylegan3-r", "-o", tmp_path / "o.png", "-s", "0-3"
    )
    assert code == 0 and "random, of nobody" in out and "warning: the weights are random" in err
    assert picture(tmp_path / "o.png").shape == (64, 64, 3)
    code, out, _ = vidswap("generate", "images", "random:32:8", "-o", tmp_path / "p.png", "-s", "0", "--json")
    assert code == 0 and "random" in json.loads(out)["warnings"][0]
    assert cv2.imread(str(tmp_path / "p.png")).shape == (32, 32, 3)


def test_the_licence_of_installed_weights_is_shown_before_they_are_used(vidswap, files, tmp_path):
    assert vidswap("weights", "add", "mine", files["nvlabs"], "--licence", "for my friends alone")[0] == 0
    code, out, _ = vidswap("generate", "images", "mine", "-o", tmp_path / "o.png", "-s", "1")
    assert code == 0 and out.index("for my friends alone") < out.index("1 picture of")
    assert json.loads(Image.open(tmp_path / "o.png").text["vidswap"])["weights"]["licence"] == "for my friends alone"


def test_only_pictures_of_its_own_are_replaced(vidswap, files, tmp_path):
    make = ("generate", "images", files["nvlabs"], "-o", tmp_path / "o", "-s")
    assert vidswap(*make, "1-3")[0] == 0
    code, _, err = vidswap(*make, "4")
    assert code == 2 and "holds 3 pictures; --overwrite replaces them" in err
    assert vidswap(*make, "4", "--overwrite")[0] == 0
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["seed0004.png", "vidswap.json"]
    (tmp_path / "o/thesis.txt").write_text("mine")
    code, _, err = vidswap(*make, "5", "--overwrite")
    assert code == 2 and "other files (thesis.txt)" in err and (tmp_path / "o/thesis.txt").exists()


def test_what_fails_half_way_leaves_nothing(vidswap, files, tmp_path, monkeypatch):
    from vidswap.latents.generators import Painter

    whole, calls = Painter.pictures, []

    def failing(self, codes):
        calls.append(len(codes))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return whole(self, codes)

    monkeypatch.setattr(Painter, "pictures", failing)
    for name, command in (("o", "images"), ("o.mkv", "walk")):
        calls.clear()
        more = ("--seeds", "0-30") if command == "images" else ("--seconds", "1.2")
        code, _, err = vidswap("generate", command, files["nvlabs"], "-o", tmp_path / name, *more)
        assert code == 1 and err.startswith("error: ") and len(calls) == 2
    assert list(tmp_path.iterdir()) == []


SG2, SG3, E4E = "nvlabs", "sg3", "e4e"
REFUSED = {
    "no weights": (("images", "stylegan2-ffhq"), "vidswap weights pull stylegan2-ffhq"),
    "an unknown name": (("images", "stylegan2-fhq"), "did you mean 'stylegan2-ffhq'"),
    "no file": (("images", "nowhere/net.pkl"), "there is no such file"),
    "a seed that is none": (("images", SG2, "--seeds", "1,x"), "write numbers with commas"),
    "a range that runs backwards": (("images", SG2, "--seeds", "9-3"), "runs backwards; write 3-9"),
    "too many": (("images", SG2, "--seeds", "0-999999999"), "more than 100000"),
    "too many for a grid": (("images", SG2, "--seeds", "0-5000", "--grid"), "a grid holds 4096 at most"),
    "a seed too large": (("images", SG2, "--seeds", "4294967296"), "seeds go up to"),
    "a psi that is none": (("images", SG2, "--psi", "half"), "0.3,0.7"),
    "a wild psi": (("images", SG2, "--psi", "40"), "not between -4 and 4"),
    "a cutoff beyond": (("images", SG2, "--cutoff", "9"), "has 8 rows"),
    "layers beyond": (("mix", SG2, "--layers", "6-8"), "has rows 0 to 7, not 8"),
    "a noise that is none": (("images", SG2, "--noise", "loud"), "none of const, none, random"),
    "noise for 3": (("images", SG3, "--noise", "random"), "StyleGAN3 has no noise"),
    "half a place": (("images", SG3, "--translate", "0.5"), "write X,Y"),
    "a place that is none": (("walk", SG3, "-o", "o.mp4", "--translate", "left,0"), "write numbers"),
    "a turned 2": (("images", SG2, "--rotate", "5"), "by StyleGAN3 alone"),
    "no cuda": (("images", SG2, "--device", "cuda"), "sees no CUDA device here"),
    "another family": (("images", SG3, "--family", "stylegan2"), "holds StyleGAN3"),
    "a film for pictures": (("images", SG2, "-o", "o.mp4"), "pictures go to a folder"),
    "a picture for a film": (("walk", SG2, "-o", "o.jpg"), "a walk is a film"),
    "one seed": (("walk", SG2, "-o", "o.mp4", "--seeds", "4"), "between two seeds or more"),
    "a rate that is none": (("walk", SG2, "-o", "o.mp4", "--fps", "0"), "frames per second|rate"),
    "too long": (("walk", SG2, "-o", "o.mp4", "--seconds", "3600", "--fps", "240"), "100000 are made"),
    "an encoder that is none": (("walk", SG2, "-o", "o.mp4", "--codec", "x265"), "x265"),
    "a folder that is not there": (("images", SG2, "-o", "none/o"), "does not exist"),
    "an encoder, no generator": (("images", "psp"), "no StyleGAN2 or StyleGAN3 generator"),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device is there")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(case, vidswap, files, tmp_path, monkeypatch):
    (command, name, *more), match = REFUSED[case]
    out = tmp_path / "out"
    out.mkdir()
    if name == "psp":
        state = {k: v for k, v in torch.load(files["e4e"])["state_dict"].items() if k.startswith("encoder.")}
        torch.save({"state_dict": state}, tmp_path / "psp.pt")
        name = tmp_path / "psp.pt"
    monkeypatch.chdir(out)
    given = [] if "-o" in more else ["-o", "o.mp4" if command == "walk" else "o"]
    code, _, err = vidswap("generate", command, files.get(name, name), *more, *given)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1 and re.search(match, err)
    assert list(out.iterdir()) == []
