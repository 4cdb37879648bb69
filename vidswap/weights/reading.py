"""Files of weights, read as data whatever their format: safetensors, torch's archives and streams, network pickles."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidswap.graph.errors import InputError, first_line
from vidswap.storage import local_file, place
from vidswap.weights import network_pickles, torch_streams
from vidswap.weights.pickle_machine import Refused, shown
from vidswap.weights.plain_records import plain

if TYPE_CHECKING:
    import torch

FILE_BYTES_AT_MOST = 64 << 30
HEADER_BYTES_AT_MOST = 100 << 20

EMA_FIRST = (
    "g_ema", "G_ema", "params_ema", "state_dict", "state_dict_ema", "mask_net", "params", "model", "generator", "g",
    "G",
)  # fmt: skip
_EMA = ("g_ema", "G_ema", "params_ema", "state_dict_ema")
_RAW = ("state_dict", "params", "g", "G", "mask_net", "model", "generator")
_JOINED = ("kp_detector", "he_estimator", "generator")
"""Tables that are parts of one whole where a file has all of them (FaceVid2Vid)."""

Table = dict[str, Any]


@dataclass
class Contents:
    """What a file holds: tables of tensors by the name of their wrapper ("" for a bare table), tensors beside them.

    options: constructor arguments (network pickles) or training options, as plain data.
    """

    path: Path
    format: str
    tables: dict[str, Callable[[], Table]] = field(default_factory=dict)
    beside: dict[str, torch.Tensor] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def chosen(self, is_ema: bool | None = None) -> str:
        """The name of the table that counts: is_ema True or False where a file has both, None what the authors use.

        Raises InputError where there is none of that kind.
        """
        order = EMA_FIRST if is_ema is None else _EMA if is_ema else _RAW
        if "" in self.tables:
            return ""
        for name in order:
            if name in self.tables:
                return name
        if is_ema is None and len(self.tables) == 1:
            return next(iter(self.tables))
        has = shown(", ".join(self.tables), 200) or "nothing"
        kind = {None: "a table of weights that is known", True: "an averaged (EMA) table", False: "a raw table"}[is_ema]
        raise InputError(f"{self.path}: has no {kind.split(' ', 1)[1]}; it has {has}")


def read(path: str | Path) -> Contents:
    """Read a file of weights as data; nothing in it is executed. Raises InputError, one line, naming what is wrong."""
    given = place(path)
    try:
        path = local_file(given)
    except FileNotFoundError as error:
        raise InputError(f"{given}: {error.strerror}") from None
    except IsADirectoryError:
        raise InputError(f"{given}: is no file") from None
    try:
        return _read(path)
    except InputError as error:
        # Of an object the address is shown, not the copy.
        raise InputError(str(error).replace(str(path), str(given))) from None


def _read(path: Path) -> Contents:
    try:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file" if not path.exists() else f"{path}: is no file")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        if size < 10:
            raise Refused(f"is no file of weights: it has {size} bytes")
        if size > FILE_BYTES_AT_MOST:
            raise Refused(f"has {size >> 30} GiB; files of {FILE_BYTES_AT_MOST >> 30} GiB at most are read")
        # First, since the length that such a file begins with may look like the beginning of anything else.
        if 2 <= int.from_bytes(head[:8], "little") <= min(HEADER_BYTES_AT_MOST, size - 8) and head[8:9] == b"{":
            return _safetensors(path)
        if torch_streams.is_zip(head):
            return _of_tree(path, "torch archive", torch_streams.check_zip(path), _loaded_archive(path))
        if head[:1] == b"\x80":
            return _pickled(path, head)
        raise Refused("is neither safetensors, nor a checkpoint of torch, nor a network pickle" + _guess(head))
    except Refused as refusal:
        raise InputError(f"{path}: {shown(str(refusal))}") from None


def _guess(head: bytes) -> str:
    if head[:1] in (b"<", b"{"):
        return "; it looks like a web page or text: did the download ask for a confirmation?"
    if head[:4] == b"\x1f\x8b\x08\x00" or head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00":
        return "; unpack it first"
    return ", or it is damaged"


def _loaded_archive(path: Path) -> Callable[[], Any]:
    return lambda: torch_streams.load(path, is_mapped=True)


def _pickled(path: Path, head: bytes) -> Contents:
    if _is_stream(head):
        with path.open("rb") as file:
            # Not closed by hand: a refusal may still hold slices of it.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        described = torch_streams.check_stream(memoryview(mapped))
        return _of_tree(path, "torch stream", described, lambda: torch_streams.load(path))
    # Its storages are slices of these bytes and are read when they are asked for.
    networks = network_pickles.read_networks(memoryview(path.read_bytes()))
    made = Contents(path, "network pickle", options=networks["G_ema"].arguments)
    for name, module in networks.items():
        made.tables[name] = _tensors(module)
    return made


def _tensors(module: network_pickles.Module) -> Callable[[], Table]:
    return lambda: dict(network_pickles.tensors_of(module))


def _is_stream(head: bytes) -> bool:
    """Whether a pickle begins with the magic number of torch.save."""
    return head[2:4] == b"\x8a\x0a" and int.from_bytes(head[4:14], "little") == torch_streams.MAGIC


def _safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            table = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise Refused(f"is damaged or cut short ({first_line(error)})") from None
    return _of_tree(path, "safetensors", table, lambda: table)


def _of_tree(path: Path, form: str, described: Any, loading: Callable[[], Any]) -> Contents:
    """Contents of a table, bare or of wrapped ones."""
    if type(described) is not dict:
        raise Refused("holds no table of tensors")
    loaded = loading()
    if not isinstance(loaded, Mapping):
        raise Refused("holds no table of tensors")
    made = Contents(path, form)
    flat = {name: value for name, value in loaded.items() if is_tensor(value)}
    for name, value in loaded.items():
        if isinstance(value, Mapping) and type(name) is str:
            inner = {key: entry for key, entry in value.items() if type(key) is str and is_tensor(entry)}
            if inner:
                made.tables[name] = _held(inner)
    if all(name in made.tables for name in _JOINED):
        joined = {f"{name}.{key}": value for name in _JOINED for key, value in made.tables[name]().items()}
        made.tables = {"": _held(joined)}
    options = described.get("opts") if form != "safetensors" else None
    made.options = options_of(options) if options is not None else {}
    bare = {str(name): value for name, value in flat.items()}
    made.beside = {name: bare.pop(name) for name in ("latent_avg",) if name in bare}
    if not made.tables:
        if not bare:
            raise Refused("holds no tensors")
        made.tables[""] = _held(bare)
    return made


def options_of(described: Any) -> dict[str, Any]:
    """Training options as plain data."""
    made = plain(described)
    return made if isinstance(made, dict) else {}


def _held(table: Table) -> Callable[[], Table]:
    return lambda: table


def is_tensor(value: Any) -> bool:
    """Whether a value is a dense tensor of torch."""
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized
