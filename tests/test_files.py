"""Files that appear whole or not at all, and what errors name."""

import errno

import pytest

from vidswap.files import written_whole


@pytest.mark.parametrize("named", ["", None, "temporary"])
def test_an_error_names_the_output_where_it_names_its_stand_in_or_nothing(tmp_path, named):
    with pytest.raises(OSError) as told, written_whole(tmp_path / "out.mp4") as temporary:
        raise OSError(errno.ENOSPC, "No space left on device", str(temporary) if named == "temporary" else named)
    assert told.value.filename == str(tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_goes_on_to_name_it(tmp_path):
    with pytest.raises(FileNotFoundError) as told, written_whole(tmp_path / "out.mp4"):
        (tmp_path / "in.mp4").read_bytes()
    assert told.value.filename == str(tmp_path / "in.mp4")
