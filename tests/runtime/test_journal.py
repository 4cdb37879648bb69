"""The journal believes only what is on disk, whole."""

import numpy as np
import pytest

from vidswap.files import written_whole
from vidswap.graph import Batch, InputError
from vidswap.runtime.job import Job, first_difference
from vidswap.runtime.journal import Journal
from vidswap.runtime.store import load_tables, save_tables


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "a").write_bytes(b"segment")
    made = Journal(tmp_path)
    made.record("0/0", "a", frames=3)
    return made


def test_what_is_recorded_is_finished_also_for_the_next_process(journal, tmp_path):
    assert Journal(tmp_path).finished("0/0")["frames"] == 3
    assert Journal(tmp_path).finished("0/1") is None


@pytest.mark.parametrize(
    "spoil", [lambda p: p.unlink(), lambda p: p.write_bytes(b"segmenT"), lambda p: p.write_bytes(b"")]
)
def test_a_missing_or_changed_file_is_not_finished(journal, tmp_path, spoil):
    spoil(tmp_path / "a")
    assert Journal(tmp_path).finished("0/0") is None


@pytest.mark.parametrize("torn", [b'{"key": "0/1", "fi', b"\x00\x00\x00", b"[]", b'"x"', b"\xff\xfe"])
def test_a_torn_last_line_is_ignored_and_does_not_swallow_the_next(journal, tmp_path, torn):
    with journal.path.open("ab") as file:
        file.write(torn)
    again = Journal(tmp_path)
    assert again.finished("0/0") and again.finished("0/1") is None
    again.record("0/1", "a")
    assert Journal(tmp_path).finished("0/1") and Journal(tmp_path).finished("0/0")


def test_tables_come_back_as_they_were(tmp_path):
    faces = Batch(frame=np.arange(2), landmarks=np.ones((2, 478, 3), np.float32))
    save_tables(tmp_path / "x.npz", {"face": faces, "frame": Batch()})
    tables = load_tables(tmp_path / "x.npz")
    assert tables["face"].names == faces.names and np.array_equal(tables["face"]["landmarks"], faces["landmarks"])
    assert len(tables["frame"]) == 0


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    with pytest.raises(OSError, match="full"), written_whole(tmp_path / "x.bin") as temporary:
        temporary.write_bytes(b"half")
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_job_is_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not a job folder of vidswap and not empty"):
        Job(tmp_path, {"a": 1}, fresh=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_the_first_difference_names_place_and_values():
    assert first_difference({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}) == "a.b.1 was 2, is 3"
    assert first_difference({"a": 1}, {"a": 1, "b": None}) is None
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == "a was [1], is [1, 2]"
