"""The store: converted once, whole or not at all, found by name, hashed again on demand."""

import json
import stat

import pytest
import torch
from safetensors.torch import load_file
from weights_files import TINY, filled, network_pickle, tiny_nvlabs, tiny_rosinality

from vidswap.files import file_digest
from vidswap.graph import InputError
from vidswap.weights import catalogue, load, store
from vidswap.weights.catalogue import Entry, Licence
from vidswap.weights.recognition import network_named

TERMS = Licence(word="test", terms="For tests.", link="https://example.org/licence")


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.pt"
    torch.save({"g_ema": tiny_rosinality(), "latent_avg": torch.arange(8.0)}, path)
    return path


def entry(**changes):
    given = {
        "name": "tiny", "what": "a tiny generator", "owner": "us", "licence": TERMS, "home": "https://example.org",
        "files": ["tiny.pt"], "format": "torch", "url": None, "sha256": None,
        "parts": {"": {"network": "stylegan2", "resolution": 16}},
    }  # fmt: skip
    return Entry(**{**given, **changes})


def test_what_is_added_is_kept_as_safetensors_with_a_card(kept, file):
    card = store.add("tiny", file, entry=entry())
    assert sorted(p.name for p in kept.iterdir()) == ["tiny.json", "tiny.safetensors"]
    tensors = load_file(kept / "tiny.safetensors")
    wanted = {**tiny_rosinality(), "latent_avg": torch.arange(8.0)}
    assert set(tensors) == set(wanted) and all(torch.equal(tensors[k], wanted[k]) for k in wanted)
    told = json.loads((kept / "tiny.json").read_text())
    assert told["origin"]["file"] == "tiny.pt" and told["origin"]["sha256"] == file_digest(file)
    assert told["sha256"] == file_digest(kept / "tiny.safetensors") and told["licence"] == "test"
    assert told["parts"] == {"": {"network": "stylegan2", "layout": "rosinality", "config": TINY}}
    assert told["converted"].endswith("+00:00") and told["has_latent_avg"]
    assert store.read_card(kept / "tiny.json") == card
    modes = {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()}
    assert len(modes) == 1


def test_what_is_kept_is_loaded_by_name_in_either_layout(file):
    store.add("tiny", file, entry=entry())
    made = load("tiny")
    assert all(torch.equal(made.tensors[k], v) for k, v in tiny_rosinality().items())
    assert torch.equal(made.latent_avg, torch.arange(8.0))
    assert torch.equal(load("tiny", layout="nvlabs").tensors["mapping.w_avg"], torch.arange(8.0))
    assert torch.equal(load(file, layout="nvlabs").tensors["mapping.w_avg"], torch.arange(8.0))
    with pytest.raises(InputError, match="no pSp / e4e encoder; first keys that differ"):
        load("tiny", needs={"encoder": {"network": "gradual-encoder"}})


def test_constructor_arguments_of_a_pickle_are_kept(tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(network_pickle(tiny_nvlabs(), {"synthesis_kwargs": {"conv_clamp": 256}}))
    store.add("own", path)
    assert load("own").options == {"synthesis_kwargs": {"conv_clamp": 256}}


def test_a_converted_file_keeps_the_clamp_of_its_origin(tmp_path):
    from vidswap.latents.generators import load_generator

    arguments = {"img_resolution": 16, "synthesis_kwargs": {"conv_clamp": 256}}
    (tmp_path / "net.pkl").write_bytes(network_pickle(tiny_nvlabs(), arguments))
    assert load_generator(str(tmp_path / "net.pkl")).net.config.clamp == 256
    for layout in ("rosinality", "nvlabs"):
        made = tmp_path / f"{layout}.safetensors"
        store.save(store.load(tmp_path / "net.pkl", layout=layout), made)
        assert load_generator(str(made)).net.config.clamp == 256
    made.with_suffix(".json").unlink()
    assert load_generator(str(made)).net.config.clamp is None


def test_what_is_installed_is_replaced_only_when_asked(file):
    store.add("tiny", file)
    with pytest.raises(InputError, match="installed already.*--overwrite"):
        store.add("tiny", file)
    store.add("tiny", file, overwrite=True)


def test_a_wrong_file_leaves_nothing(kept, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(filled(network_named("lpips-linear").shapes({"trunk": "alex"})), path)
    with pytest.raises(InputError, match=r"LPIPS.*no StyleGAN2 generator; first keys that differ"):
        store.add("tiny", path, entry=entry())
    assert not kept.exists()


def test_a_file_that_is_not_the_owners_is_refused(kept, file):
    with pytest.raises(InputError, match="SHA-256.*damaged or another file"):
        store.add("tiny", file, entry=entry(sha256="0" * 64))
    with pytest.raises(InputError, match="SHA-256"):
        store.add("tiny", file, entry=entry(sha256_begins="00000000"))
    assert not kept.exists()
    store.add("tiny", file, entry=entry(sha256_begins=file_digest(file)[:8]))


def test_a_crash_while_writing_leaves_no_weights(kept, file, monkeypatch):
    def crash(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", crash)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        store.add("tiny", file)
    assert list(kept.iterdir()) == [] and store.card_of("tiny") is None


def test_what_is_installed_outlives_a_failed_replacement(kept, file, monkeypatch):
    store.add("tiny", file)
    monkeypatch.setattr("safetensors.torch.save_file", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(InputError, match="cannot be written"):
        store.add("tiny", file, overwrite=True)
    assert store.verify("tiny") == "whole" and len(list(kept.iterdir())) == 2


def test_changed_and_missing_files_are_found(kept, file):
    store.add("tiny", file)
    assert store.verify("tiny") == "whole"
    path = kept / "tiny.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    assert store.verify("tiny") == "changed"
    path.write_bytes(raw[:-1])
    assert store.verify("tiny") == "changed"
    with pytest.raises(InputError, match="is not what its card says"):
        load("tiny")
    path.unlink()
    assert store.verify("tiny") == "missing"
    with pytest.raises(InputError, match="is not what its card says"):
        load("tiny")


def test_broken_cards_are_told(kept):
    kept.mkdir()
    for text in ("{", "[]", '{"name": 1}', "x" * (1 << 21)):
        (kept / "tiny.json").write_text(text)
        with pytest.raises(InputError, match="is no card of weights"):
            store.card_of("tiny")


def test_what_is_not_installed_is_told_with_the_remedy():
    with pytest.raises(InputError, match="alexnet are not installed: vidswap weights pull alexnet"):
        load("alexnet")
    with pytest.raises(
        InputError, match=r"get e4e_ffhq_encode\.pt from https.* vidswap weights add e4e-ffhq e4e_ffhq_encode\.pt"
    ):
        load("e4e-ffhq")
    with pytest.raises(InputError, match="did you mean 'e4e-ffhq'"):
        load("e4e-fhq")


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "A", "a" * 65, "a..b", "a\n", "é"])
def test_names_lead_nowhere_else(name, file):
    with pytest.raises(InputError, match="is no name for weights"):
        store.add(name, file)


def test_the_store_moves_with_the_variable_and_lies_in_the_cache_else(kept, monkeypatch, tmp_path):
    assert store.folder() == kept
    monkeypatch.delenv("VIDSWAP_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    assert store.folder() == tmp_path / "cache" / "vidswap" / "weights"


def test_weights_that_share_memory_are_kept_apart(kept, tmp_path):
    path = tmp_path / "w.pt"
    shared = torch.randn(4, 4)
    state = filled(network_named("stylemask").shapes({"widths": [4, 4]}))
    state["network_00.masknet.0.weight"] = state["network_01.masknet.0.weight"] = shared
    state["network_00.masknet.2.weight"] = shared.t()
    torch.save({"mask_net": state}, path)
    store.add("masks", path)
    made = load("masks").tensors
    assert torch.equal(made["network_01.masknet.0.weight"], shared)
    assert torch.equal(made["network_00.masknet.2.weight"], shared.t())


def test_the_catalogue_says_what_a_user_must_know():
    for name, told in catalogue().items():
        assert store.check_name(name) == name
        assert told.licence.terms and told.licence.link.startswith("https://") and told.home.startswith("https://")
        assert told.url is None or told.url.startswith("https://")
        assert all(network_named(part["network"]) for part in told.parts.values())
    assert {
        "stylegan2-ffhq",
        "stylegan3-t-ffhq",
        "stylegan3-r-ffhq",
        "psp-ffhq",
        "e4e-ffhq",
        "restyle-e4e-ffhq",
        "e4s",
    } <= set(catalogue())
    assert {"stylemask", "ir-se50", "lpips-alex", "lpips-vgg", "bisenet", "gfpgan-1.4"} <= set(catalogue())


def test_weights_are_kept_on_a_store_and_loaded_from_any_address(bucket, file, monkeypatch, cache):
    (bucket / "files" / "tiny.pt").upload(file)
    address = f"{bucket}/files/tiny.pt"
    wanted = tiny_rosinality()
    by_address = load(address)
    assert all(torch.equal(by_address.tensors[name], wanted[name]) for name in wanted)
    monkeypatch.setenv("VIDSWAP_WEIGHTS", f"{bucket}/kept")
    card = store.add("tiny", address)
    assert card.origin.file == address
    assert [p.name for p in (bucket / "kept").iterdir()] == ["tiny.json", "tiny.safetensors"]
    assert list(store.installed()) == ["tiny"] and store.verify("tiny") == "whole"
    assert all(torch.equal(load("tiny").tensors[name], wanted[name]) for name in wanted)
    (bucket / "kept" / "tiny.safetensors").write_bytes(b"other")
    assert store.verify("tiny") == "changed"


def test_what_is_wrong_with_weights_on_a_store_is_told_with_their_address(bucket):
    with pytest.raises(InputError, match=rf"^{bucket}/none.pt: no such object"):
        load(f"{bucket}/none.pt")
    (bucket / "bad.pt").write_bytes(b"<html>sign in first</html>")
    with pytest.raises(InputError, match=rf"^{bucket}/bad.pt: .*it looks like a web page"):
        load(f"{bucket}/bad.pt")
