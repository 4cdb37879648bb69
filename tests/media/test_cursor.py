"""Decoders that nobody closes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np

DROPPING = """
import itertools, os, sys
from dataclasses import replace
from pathlib import Path
import av.logging
from vidswap.media import probe
from vidswap.media.cursor import Cursor, Damaged
index = replace(probe(Path(sys.argv[1])), path=Path(sys.argv[2]))
av.logging.set_level(av.logging.ERROR)
for taken in itertools.chain(*[range(24)] * 3):
    cursor = Cursor(index, None, 0, 8)
    try:
        for number in range(taken):
            cursor.take(number)
    except Damaged:
        pass
    del cursor
os._exit(0)
"""


def noise(number: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def test_a_decoder_that_is_dropped_while_its_threads_complain_is_freed(tmp_path: Path, make_clip) -> None:
    """Threads of a decoder that log wait for the interpreter's lock, and who frees a decoder waits for its threads."""
    whole = make_clip(tmp_path / "whole.mp4", 80, size=(640, 360), image=noise, options={"preset": "ultrafast"})
    data, chance = bytearray(whole.read_bytes()), random.Random(1)
    for _ in range(600):
        data[chance.randrange(len(data) // 8, len(data) - len(data) // 10)] ^= 0xFF
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    command = [sys.executable, "-c", DROPPING, str(whole), str(damaged)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
