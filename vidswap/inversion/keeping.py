"""What has been inverted stays inverted: results and half-done rows in a folder, by the digest of what decides them.

One safetensors file for each picture, `KEY.safetensors` when it is done, `KEY.part.safetensors` while it is not; both
appear whole or not at all, so any number of processes may share the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vidswap.files import written_whole
from vidswap.graph.errors import InputError
from vidswap.inversion.optimiser import Rows
from vidswap.storage.caches import cache_folder

FOLDER_VARIABLE = "VIDSWAP_INVERSIONS"


def default_folder() -> Path:
    """$VIDSWAP_INVERSIONS, or `vidswap/inversions` in the user's cache folder."""
    return cache_folder(FOLDER_VARIABLE, "inversions")


def key_of(settings: Mapping[str, Any], arrays: Iterable[np.ndarray]) -> str:
    """Digest of settings (plain data) and of arrays with their shapes and types."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Keeper:
    """A folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror or error}") from None

    def done(self, key: str) -> dict[str, Tensor] | None:
        """The result under this key."""
        return _read(self._path(key))

    def begun(self, key: str) -> dict[str, Tensor] | None:
        """The half-done row under this key."""
        return _read(self._path(key, ".part"))

    def keep(self, key: str, row: Mapping[str, Tensor]) -> None:
        """Store a half-done row."""
        _write(self._path(key, ".part"), row)

    def finish(self, key: str, result: Mapping[str, Tensor]) -> None:
        """Store a result."""
        _write(self._path(key), result)
        self._path(key, ".part").unlink(missing_ok=True)

    def _path(self, key: str, suffix: str = "") -> Path:
        return self.folder / f"{key}{suffix}.safetensors"


def results(
    keys: Sequence[str],
    keeper: Keeper | None,
    begin: Callable[[list[int]], Rows],
    run: Callable[[list[int], Rows, Callable[[Rows], None] | None], list[dict[str, Tensor]]],
    *,
    at_once: int,
) -> list[dict[str, Tensor]]:
    """Results of all pictures in order: taken from the keeper, gone on with, or begun; `at_once` of them together.

    begin: pictures -> their rows before the first step. run: takes rows of pictures to their ends, calling its last
    argument now and then. Equal keys are worked out once.
    """
    made: dict[str, dict[str, Tensor]] = {}
    for key in dict.fromkeys(keys):
        stored = keeper.done(key) if keeper else None
        if stored is not None:
            made[key] = stored
    waiting = [keys.index(key) for key in dict.fromkeys(keys) if key not in made]
    for group in _groups(waiting, at_once):
        names = [keys[i] for i in group]
        fresh = begin(group)
        rows = fresh
        if keeper is not None:
            kept = [keeper.begun(name) for name in names]
            if any(row is not None for row in kept):
                device = next(iter(fresh.values.values())).device
                rows = Rows.of_tensors([fresh.tensors(i) if row is None else row for i, row in enumerate(kept)], device)

        def keep(state: Rows, names: list[str] = names) -> None:
            assert keeper is not None
            for i, name in enumerate(names):
                keeper.keep(name, state.tensors(i))

        for name, result in zip(names, run(group, rows, keep if keeper else None), strict=True):
            made[name] = result
            if keeper is not None:
                keeper.finish(name, result)
    return [made[key] for key in keys]


def _groups(items: Sequence[int], size: int) -> Iterator[list[int]]:
    for begin in range(0, len(items), size):
        yield list(items[begin : begin + size])


def _read(path: Path) -> dict[str, Tensor] | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        return load_file(path)
    except (SafetensorError, OSError):
        # A damaged file is worked out anew.
        return None


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with written_whole(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
