"""The job folder: what it holds after a crash at a bad moment."""

import pytest

from vidswap.graph import InputError
from vidswap.runtime import job as module
from vidswap.runtime.job import Analysis, Job


def test_a_crash_while_a_folder_is_emptied_for_another_run_leaves_it_usable(tmp_path, monkeypatch):
    folder = tmp_path / "job"
    Job(folder, {"source": "one"}, analysis=Analysis("same", "part0-*")).close()
    (folder / "part0-000.npz").write_text("kept")
    (folder / "part1-000.npz").write_text("of the source")
    again = Analysis("same", "part0-*", again=True)
    with monkeypatch.context() as patched:
        patched.setattr(module, "written_whole", lambda path: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            Job(folder, {"source": "two"}, analysis=again)
    with pytest.raises(InputError, match='source was "one", is "two"'):
        Job(folder, {"source": "two"}, analysis=Analysis("same", "part0-*"))
    Job(folder, {"source": "two"}, analysis=again).close()
    assert (folder / "part0-000.npz").exists() and not (folder / "part1-000.npz").exists()
