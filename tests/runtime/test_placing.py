"""Numbered pictures appear all or not at all, as far as a file system permits: what stops in between is completed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vidswap.runtime.placing import clear_temporary, written_output

NEW = {f"p_{i:03d}.png": f"new {i}" for i in range(1, 6)}


@pytest.fixture
def pattern(tmp_path):
    return tmp_path / "p_%03d.png"


def there(pattern):
    return {p.name: p.read_text() for p in sorted(pattern.parent.glob("p_*.png"))}


def write(pattern):
    with written_output(pattern, "tag", pictures=True) as inside:
        for name, content in NEW.items():
            inside.with_name(name).write_text(content)


def killed_at(monkeypatch, pattern, step):
    """Let the process die before the `step`-th picture is renamed."""
    replace, renamed = Path.replace, []

    def counted(self, target):
        if Path(target).parent == pattern.parent:
            renamed.append(target)
            if len(renamed) > step:
                raise SystemExit
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("before", [0, 7])
def test_renames_that_a_kill_interrupts_are_completed_by_the_next_run(pattern, monkeypatch, step, before):
    for i in range(1, before + 1):
        (pattern.parent / f"p_{i:03d}.png").write_text(f"old {i}")
    with monkeypatch.context() as crash:
        killed_at(crash, pattern, step)
        with pytest.raises(SystemExit):
            write(pattern)
    assert len([1 for text in there(pattern).values() if text.startswith("new")]) == step
    clear_temporary(pattern, "tag")
    assert there(pattern) == NEW
    assert len(list(pattern.parent.iterdir())) == len(NEW)


def test_what_was_not_all_written_is_dropped_and_the_old_stays(pattern):
    (pattern.parent / "p_001.png").write_text("old")
    with pytest.raises(RuntimeError), written_output(pattern, "tag", pictures=True) as inside:
        inside.with_name("p_001.png").write_text("new")
        raise RuntimeError
    assert there(pattern) == {"p_001.png": "old"}
    assert len(list(pattern.parent.iterdir())) == 1


def test_pictures_that_appear_after_a_kill_are_not_taken_for_old_ones(pattern, monkeypatch):
    with monkeypatch.context() as crash:
        killed_at(crash, pattern, 2)
        with pytest.raises(SystemExit):
            write(pattern)
    (pattern.parent / "p_009.png").write_text("mine")
    clear_temporary(pattern, "tag")
    assert there(pattern) == {**NEW, "p_009.png": "mine"}


def test_a_folder_that_cannot_be_put_in_its_place_leaves_the_one_before(tmp_path, monkeypatch):
    output = tmp_path / "pictures"
    output.mkdir()
    (output / "old.png").write_text("old")
    rename = Path.rename

    def refused(self, target):
        if Path(target) == output and self.name == "pictures":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="No space left"), written_output(output, "tag", pictures=True) as inside:
        (inside / "new.png").write_text("new")
    assert [p.name for p in output.iterdir()] == ["old.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["pictures"]
