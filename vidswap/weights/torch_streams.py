"""What torch.save writes, checked before torch sees it, and read with `weights_only=True`.

Two containers: a zip archive (`data.pkl` and one stored entry per storage) and the older stream of five pickles with
the storages' bytes behind them. The check reads the pickles with the machine for data and holds every claim (sizes of
storages, shapes, strides) against the bytes that are there, so that a file cannot make torch take more than it holds.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidswap.weights.pickle_machine import Builder, PickleMachine, Record, Refused
from vidswap.weights.plain_records import KNOWN

if TYPE_CHECKING:
    import torch

MAGIC = 0x1950A86A20F9469CFC6C
ENTRIES_AT_MOST = 100_000
DIMENSIONS_AT_MOST = 16
_ITEM_SIZES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "UntypedStorage": 1,
}  # fmt: skip


@dataclass(frozen=True)
class StorageType:
    """A class of storages: its name in torch and the bytes of one value."""

    name: str
    item_size: int


@dataclass(frozen=True)
class Storage:
    """A storage that a pickle claims: so many values under a key of the container."""

    key: str
    kind: StorageType
    values: int


@dataclass(frozen=True)
class TensorClaim:
    """A tensor that a pickle claims, its shape checked against its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def claim_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorClaim:
    """The record of `_rebuild_tensor_v2`; Refused where the tensor reaches beyond its storage or repeats it."""
    whole = type(storage) is Storage and type(shape) is tuple and type(stride) is tuple and len(shape) == len(stride)
    if not whole or len(shape) > DIMENSIONS_AT_MOST:
        raise Refused("the pickle has a malformed tensor")
    if any(type(n) is not int or not 0 <= n < 1 << 62 for n in (offset, *shape, *stride)):
        raise Refused("the pickle has a tensor with a negative or enormous size")
    values = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if values else offset - 1
    if values > storage.values or last >= storage.values:
        said = " x ".join(map(str, shape))
        raise Refused(f"the pickle has a tensor of {said[:80]} values over a storage of {storage.values}")
    return TensorClaim(storage, offset, shape, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    if type(tensor) is not TensorClaim:
        raise Refused("the pickle has a parameter that is no tensor")
    return tensor


def _size(values: Any = ()) -> tuple[Any, ...]:
    if type(values) not in (tuple, list):
        raise Refused("the pickle has a malformed size")
    return tuple(values)


def _device(*names: Any) -> str:
    return ":".join(str(name) for name in names if type(name) in (str, int))


TENSOR_RECORDS = {
    ("torch._utils", "_rebuild_tensor_v2"): Builder(claim_tensor),
    ("torch._utils", "_rebuild_tensor"): Builder(claim_tensor),
    ("torch._utils", "_rebuild_parameter"): Builder(_parameter),
    ("torch", "Size"): Builder(_size),
    ("torch", "device"): Builder(_device),
}
_TORCH_KNOWN = {
    **KNOWN,
    **TENSOR_RECORDS,
    **{("torch", name): StorageType(name, size) for name, size in _ITEM_SIZES.items()},
    ("torch.storage", "UntypedStorage"): StorageType("UntypedStorage", 1),
    **{("torch", name): f"torch.{name}" for name in ("float32", "float16", "bfloat16", "float64", "int64", "int32")},
}


class _Claims:
    """The storages that the pickles of one file claim, by key."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}

    def persistent(self, what: Any) -> Storage:
        """('storage', class, key, place, values[, view])."""
        if type(what) is not tuple or len(what) not in (5, 6) or what[0] != "storage":
            raise Refused("the pickle refers to something outside of it that is no storage")
        kind, values = what[1], what[4]
        key = str(what[2]) if type(what[2]) in (str, int) else ""
        if not key or type(kind) is not StorageType or type(values) is not int or not 0 <= values < 1 << 62:
            raise Refused("the pickle has a malformed storage")
        made = Storage(key, kind, values)
        if self.storages.setdefault(key, made) != made:
            raise Refused(f"the pickle gives two sizes to the storage {key[:40]!r}")
        view = what[5] if len(what) == 6 else None
        if view is None:
            return made
        if type(view) is not tuple or len(view) != 3 or any(type(n) is not int or n < 0 for n in view[1:]):
            raise Refused("the pickle has a malformed view of a storage")
        if view[1] + view[2] > values:
            raise Refused("the pickle has a view beyond its storage")
        return Storage(key, kind, view[2])


_DAMAGE = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, LookupError, OverflowError,
    struct.error,
)  # fmt: skip
"""What Python's reader of archives raises for damaged ones."""


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is an archive."""
    return head[:4] == b"PK\x03\x04"


def check_zip(path: Path) -> Any:
    """What `data.pkl` of a torch archive describes, tensors as claims. Raises Refused for what is not as it claims."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(archive, path)
            return _check_archive(archive, entries)
    except _DAMAGE as error:
        said = str(error) or type(error).__name__
        raise Refused(f"the archive is damaged or cut short ({said[:120]})") from None


def _entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > ENTRIES_AT_MOST:
        raise Refused(f"the archive has {len(infos)} entries")
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        if info.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in info.orig_filename:
            raise Refused(f"the archive has an entry that leads out of it: {info.filename[:80]!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise Refused(f"the archive has a packed entry ({info.filename[:80]!r}); torch stores its data as they are")
        inner = "/".join(parts[1:])
        if inner in entries or (infos[0].filename.split("/")[0] != parts[0]):
            raise Refused(f"the archive has an entry twice or in a second folder: {info.filename[:80]!r}")
        entries[inner] = info
    _check_places(archive, path)
    return entries


def _check_places(archive: zipfile.ZipFile, path: Path) -> None:
    """Entries lie one behind the other, from the first byte to the list of entries, and say the same there as in it.

    Readers of archives differ in what they make of files where that is not so.
    """
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    end = 0
    with path.open("rb") as file:
        for info in infos:
            file.seek(info.header_offset)
            head = file.read(30)
            if len(head) < 30 or head[:4] != b"PK\x03\x04" or (info is infos[0] and info.header_offset != 0):
                raise Refused("the archive is damaged: its list of entries leads to none")
            if info.header_offset < end:
                raise Refused("the archive claims more bytes than the file has: its entries overlap")
            name_bytes, extra_bytes = struct.unpack("<2H", head[26:30])
            if file.read(name_bytes) != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
                raise Refused("the archive is damaged: an entry has two names")
            end = info.header_offset + 30 + name_bytes + extra_bytes + info.file_size
    if end > archive.start_dir or archive.comment:
        raise Refused("the archive claims more bytes than the file has, or has something behind its end")


def _check_archive(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> Any:
    if "constants.pkl" in entries or any(name.startswith("code/") for name in entries):
        raise Refused("the archive is a TorchScript program; programs are not read, weights are")
    if "data.pkl" not in entries:
        raise Refused("the archive is no torch checkpoint: it has no data.pkl")
    claims = _Claims()
    machine = PickleMachine(memoryview(archive.read(entries["data.pkl"])), _TORCH_KNOWN, persistent=claims.persistent)
    described = machine.run()
    for key, storage in claims.storages.items():
        entry = entries.get(f"data/{key}")
        if entry is None or entry.file_size != storage.values * storage.kind.item_size:
            has = "nothing" if entry is None else f"{entry.file_size} bytes"
            raise Refused(f"the storage {key[:40]!r} claims {storage.values} values; the archive has {has}")
    return described


def check_stream(data: memoryview) -> Any:
    """What a legacy torch.save stream describes, tensors as claims. Raises Refused for what is not as it claims."""
    claims = _Claims()
    position = 0
    read: list[Any] = []
    for part in range(5):
        persistent = claims.persistent if part == 3 else None
        machine = PickleMachine(data, _TORCH_KNOWN, position=position, persistent=persistent)
        read.append(machine.run())
        position = machine.end
        if part == 0 and read[0] != MAGIC:
            raise Refused("the pickle is no checkpoint of torch")
    described, keys = read[3], read[4]
    is_list = type(keys) is list and all(type(key) in (str, int) for key in keys)
    if read[1] != 1001 or type(read[2]) is not dict or not is_list:
        raise Refused("the stream is no checkpoint of torch")
    if read[2].get("little_endian") is False:
        raise Refused("the stream was written by a big-endian machine")
    if sorted(map(str, keys)) != sorted(claims.storages):
        raise Refused("the stream's list of storages is not the one that its tensors use")
    for key in keys:
        storage = claims.storages[str(key)]
        size = storage.values * storage.kind.item_size
        if len(data) - position < 8 + size:
            raise Refused("the stream is cut short: it claims more bytes than the file has")
        if struct.unpack_from("<q", data, position)[0] != storage.values:
            raise Refused(f"the storage {str(key)[:40]!r} has another size than its tensors claim")
        position += 8 + size
    if position != len(data):
        raise Refused(f"the stream has {len(data) - position} bytes behind its end")
    return described


def load(file: Path | io.BytesIO, *, is_mapped: bool = False) -> Any:
    """What a checked file holds, by torch's own reader of weights. is_mapped: leave an archive's data on the disk."""
    import torch

    with torch.serialization.safe_globals(_inert()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True if is_mapped else None)
        except Exception as error:
            # torch raises whatever its parser meets; the file has passed our own check, so the reason is worth a line.
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise Refused(f"torch does not read it: {said[0][:200]}") from None


class Inert(Record):
    """Options of a checkpoint, as torch's reader of weights makes them: attributes are dropped, nothing is called."""

    def __init__(self, *_: Any) -> None:
        super().__init__("options")

    def __setstate__(self, state: Any) -> None:
        """Leave the state: the check has read it already."""


def _inert() -> list[Any]:
    """For torch's reader: every record that the check knows and torch does not becomes an Inert."""
    ours = [f"{module}.{name}" for module, name in KNOWN if module not in ("collections", "builtins", "__builtin__")]
    return [(Inert, name) for name in ours]


def tensor_of(storage: torch.TypedStorage, claim: TensorClaim) -> torch.Tensor:
    """The tensor of a claim over its storage."""
    import torch

    with warnings.catch_warnings():
        # Typed storages are deprecated and what these streams hold.
        warnings.simplefilter("ignore")
        untyped = storage.untyped()
    if untyped.nbytes() != claim.storage.values * claim.storage.kind.item_size:
        raise Refused("a storage is not what the pickle says it is")
    made = torch.empty(0, dtype=storage.dtype)
    return made.set_(untyped, claim.offset, claim.shape, claim.stride)
