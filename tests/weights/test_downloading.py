"""Fetching through fsspec: from memory here, so that no test needs a network."""

import errno

import fsspec
import pytest

from vidswap.graph import InputError
from vidswap.weights.catalogue import Entry, Licence, catalogue
from vidswap.weights.downloading import fetched

RAW = bytes(range(256)) * 9000
SHA256 = "0ae65b95bd0b0fa1b4de87bd8f0cb3a3a26ab31b8c8f11d8c9c9e9a1b7a0c1d2"


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_WEIGHTS", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def address(request):
    url = f"memory://weights-tests/{request.node.name}.pt"
    with fsspec.open(url, "wb") as file:
        file.write(RAW)
    return url


def entry(url, **changes):
    terms = Licence(word="test", terms="For tests.", link="https://example.org/licence")
    given = {
        "name": "tiny", "what": "a tiny generator", "owner": "us", "licence": terms, "home": "https://example.org",
        "files": ["tiny.pt"], "format": "torch", "url": url, "sha256": None, "parts": {},
    }  # fmt: skip
    return Entry(**{**given, **changes})


def test_a_file_is_fetched_told_and_cleared_away(address, kept):
    told = []
    with fetched(entry(address), lambda have, size: told.append((have, size))) as path:
        assert path.read_bytes() == RAW and path.parent == kept
    assert told[-1] == (len(RAW), len(RAW)) and len(told) == 3
    assert list(kept.iterdir()) == []


def test_a_file_that_is_not_the_owners_is_refused_and_cleared_away(address, kept):
    with pytest.raises(InputError, match="SHA-256"), fetched(entry(address, sha256=SHA256)):
        raise AssertionError
    assert list(kept.iterdir()) == []


def test_without_a_connection_one_line_says_so(kept, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(fsspec, "open", refuse)
    said = pytest.raises(InputError, match=r"cannot fetch https.*Network is unreachable")
    with said as error, fetched(catalogue()["alexnet"]):
        raise AssertionError
    assert "\n" not in str(error.value) and list(kept.iterdir()) == []


def test_a_file_that_is_not_there_or_a_strange_address_is_one_line(kept):
    for url, match in (("memory://weights-tests/none.pt", "cannot fetch"), ("strange://x/y.pt", "strange")):
        with pytest.raises(InputError, match=match) as error, fetched(entry(url)):
            raise AssertionError
        assert "\n" not in str(error.value)
    assert list(kept.iterdir()) == []


def test_a_release_without_an_address_says_where_to_get_it():
    said = pytest.raises(InputError, match=r"get e4e_ffhq_encode\.pt or .* from https://github\.com/omertov")
    with said, fetched(catalogue()["e4e-ffhq"]):
        raise AssertionError


def test_what_another_process_fetches_is_left_to_it(address, kept):
    with fetched(entry(address)) as path, pytest.raises(InputError, match="is being fetched by another process"):
        with fetched(entry(address)):
            raise AssertionError
        assert path.read_bytes() == RAW
