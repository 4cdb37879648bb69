"""Damaged copies of small clips: refused in one line, or processed whole; never a traceback, a hang or a leak.

tools/fuzz.py does the same with as many copies as wanted.
"""

from __future__ import annotations

import gc

import pytest
from damaging import damaged_copies, make_clips, memory_mb, open_handles, try_all

from vidswap.graph.errors import InputError
from vidswap.media import Reader, probe

COPIES = 200
SEED = 20


def test_damaged_copies_are_processed_or_refused_in_one_line(tmp_path):
    files = damaged_copies(make_clips(tmp_path), tmp_path, COPIES, SEED)
    trials = list(try_all(files, tmp_path, limit_s=30))
    assert len(trials) == COPIES
    assert {t.path.name: t.failure for t in trials if t.failure} == {}
    refused = sum(t.outcome == "refused" for t in trials)
    assert 10 < refused < COPIES / 2, "damage that is too heavy, or none at all, tries nothing"
    settled = [t.memory_mb for t in trials[COPIES // 2 :] if t.memory_mb]
    assert not settled or settled[-1] < settled[0] + 60, "memory leaks"


def test_probing_and_reading_leak_neither_handles_nor_memory(tmp_path):
    clips = make_clips(tmp_path, ["front.mp4", "stream.ts", "ffv1.mkv"])
    files = [*clips.values(), *damaged_copies(clips, tmp_path, 5, SEED)]

    def use_all() -> None:
        for path in files:
            try:
                with Reader(probe(path)) as reader:
                    for _ in reader.read(0, reader.index.frame_count):
                        pass
            except InputError:
                continue

    for _ in range(3):
        use_all()
    gc.collect()
    handles, memory = open_handles(), memory_mb()
    if not handles:
        pytest.skip("this system does not tell open files")
    for _ in range(5):
        use_all()
    gc.collect()
    assert open_handles() <= handles
    assert memory_mb() < memory + 6
