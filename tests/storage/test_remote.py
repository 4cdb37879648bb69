"""Addresses stand where paths stand."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidswap.files import written_whole
from vidswap.storage import RemotePath, StorageError, is_remote, local_file, place

LETTERS = st.characters(min_codepoint=33, max_codepoint=300, exclude_characters="/")
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_an_address_stays_what_it_is(names):
    address = "s3://bucket/" + "/".join(names)
    path = place(address)
    assert str(path) == address
    assert place(path) is path
    assert pickle.loads(pickle.dumps(path)) == path
    assert str(path.parent / path.name) == address
    assert str(place(Path(address))) == address


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("clip.mp4", "clip.mp4"),
        ("s3:/odd folder/clip.mp4", "s3:/odd folder/clip.mp4"),
        ("file:///tmp/a%20b.mp4", "/tmp/a b.mp4"),
        ("file://localhost/tmp/a.mp4", "/tmp/a.mp4"),
        ("S3://bucket/Clip.MP4", "s3://bucket/Clip.MP4"),
    ],
)
def test_what_is_an_address(given, wanted):
    found = place(given)
    assert str(found) == wanted
    assert is_remote(found) == ("://" in wanted)


def test_an_address_is_absolute_wherever_it_is_joined():
    clip = place("s3://bucket/clip.mp4")
    assert Path("/home") / clip is clip and place("s3://other") / clip is clip
    assert place("s3://other") / Path("/home/a") == Path("/home/a") and not is_remote(place("s3://other") / "/home")
    assert clip.absolute() is clip and clip.resolve() is clip and clip.expanduser() is clip
    assert place("https://host/a/clip.mp4?key=1.2").suffix == ".mp4"


def test_an_address_is_never_taken_for_a_file_of_this_machine():
    with pytest.raises(TypeError, match=r"s3://bucket/a is not a file of this machine"):
        open(place("s3://bucket/a"))  # noqa: SIM115, PTH123


def _holds_its_promises(folder):
    thing = folder / "a" / "thing.bin"
    assert not thing.exists() and not thing.is_file() and not folder.is_dir()
    assert thing.facts() is None
    with pytest.raises(FileNotFoundError):
        thing.read_bytes()
    with pytest.raises(FileNotFoundError):
        thing.stat()
    thing.unlink(missing_ok=True)

    thing.write_bytes(b"first")
    before = thing.fingerprint()
    assert thing.is_file() and not thing.is_dir() and folder.is_dir() and (folder / "a").is_dir()
    assert thing.stat().st_size == 5
    assert thing.open("rb").read() == b"first"
    assert [p.name for p in (folder / "a").iterdir()] == ["thing.bin"]
    assert [p.name for p in folder.iterdir()] == ["a"]
    assert thing.listing() == {}
    with pytest.raises(FileExistsError):
        thing.write_bytes(b"second", exclusive=True)
    assert thing.read_text() == "first"

    thing.write_bytes(b"other")
    assert thing.fingerprint() != before
    (folder / "b.txt").write_bytes(b"x", exclusive=True)
    assert [p.name for p in folder.glob("*.txt")] == ["b.txt"]
    folder.remove_tree()
    assert not folder.exists() and folder.listing() == {}


def test_objects_in_memory_behave_as_files(memory):
    _holds_its_promises(memory)


def test_objects_of_s3_behave_as_files(bucket):
    _holds_its_promises(bucket / "folder")


def test_an_object_appears_whole_or_not_at_all(bucket, cache):
    clip = bucket / "made.mp4"
    with pytest.raises(RuntimeError), written_whole(clip) as made:
        made.write_bytes(b"half")
        raise RuntimeError
    assert not clip.exists()
    with written_whole(clip) as made:
        assert made.suffix == ".mp4" and not is_remote(made)
        made.write_bytes(b"whole")
        assert not clip.exists()
    assert clip.read_bytes() == b"whole"
    assert list((cache / "scratch").iterdir()) == []


def test_what_a_killed_process_leaves_in_the_scratch_folder_goes_with_the_next(memory, cache):
    left = cache / "scratch" / "0123"
    left.mkdir(parents=True)
    (left / "half.mp4").write_bytes(b"half")
    left.with_suffix(".lock").touch()
    with written_whole(memory / "x") as made:
        made.write_bytes(b"x")
    assert list((cache / "scratch").iterdir()) == []


def test_a_large_object_goes_up_in_parts_and_comes_back_the_same(bucket, tmp_path):
    content = bytes(range(256)) * (33 << 12)
    file = tmp_path / "large.bin"
    file.write_bytes(content)
    (bucket / "large.bin").upload(file)
    assert "-" in (bucket / "large.bin").facts().mark
    assert local_file(bucket / "large.bin").read_bytes() == content


def test_errors_are_one_line_with_the_remedy(bucket, monkeypatch, s3_server):
    assert place("s3://no-such-bucket/a.mp4").missing() == "no such bucket: s3://no-such-bucket"
    assert (bucket / "a.mp4").missing() == f"no such object: {bucket}/a.mp4"
    with pytest.raises(StorageError, match=r"gs://b/a: gs:// needs gcsfs: pip install gcsfs$"):
        place("gs://b/a").exists()
    with pytest.raises(StorageError, match=r"^odd://b/a: odd:// is no protocol that fsspec knows"):
        place("odd://b/a").exists()
    with pytest.raises(StorageError, match=r"cannot be reached"):
        place("http://127.0.0.1:1/a.mp4").exists()
    for said, told in (
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, r"cannot be reached .*; check the network and AWS_ENDPOINT_URL$"),
        ({"AWS_ACCESS_KEY_ID": ""}, r"no credentials .*; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ):
        with monkeypatch.context() as changed:
            _forget()
            changed.setattr("s3fs.core.S3FileSystem.retries", 1)
            for name, value in said.items():
                changed.setenv(name, value) if value else changed.delenv(name)
            with pytest.raises(StorageError, match=told):
                (bucket / "a.mp4").exists()
    _forget()


def _forget():
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_an_absent_package_is_named_with_its_extra(monkeypatch):
    import fsspec

    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", absent)
    with pytest.raises(StorageError, match=r"s3:// needs s3fs: pip install 'vidswap\[s3\]'"):
        RemotePath("s3://b/a").exists()
