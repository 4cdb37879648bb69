"""NVIDIA's network pickles as data: the modules' tensors and constructor arguments, never their embedded source text.

The official loader runs the source text that such a file carries. Here a module is an inert record; `module_src` is
read over, and state-dict names come from walking the records' `_modules`, `_parameters` and `_buffers`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidswap.weights.pickle_machine import Builder, PickleMachine, Record, Refused
from vidswap.weights.plain_records import KNOWN, plain
from vidswap.weights.torch_streams import TENSOR_RECORDS, Storage, TensorClaim, check_stream, load, tensor_of

if TYPE_CHECKING:
    import torch

NETWORKS = ("G_ema", "G", "D")
_MODULES_AT_MOST, _DEPTH_AT_MOST, _TENSORS_AT_MOST = 5_000, 32, 20_000


@dataclass(frozen=True)
class BlobStorage(Storage):
    """A storage that lies in the pickle as a torch stream of its own, checked and not yet read."""

    blob: memoryview | bytes = b""


class Module(Record):
    """A module of the pickle: class name and attributes."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that it was made with, as plain data."""
        made = plain(self.state.get("_init_kwargs", {}))
        return made if isinstance(made, dict) else {}


def _module(meta: Any) -> Module:
    if type(meta) is not dict or meta.get("type") != "class":
        raise Refused("the pickle has a persistent object that is no class")
    if meta.get("version") != 6:
        raise Refused("the pickle has persistent objects of another version than 6, the one that is read")
    name, state = meta.get("class_name"), meta.get("state")
    if type(name) is not str or type(state) is not dict:
        raise Refused("the pickle has a malformed persistent object")
    return Module(name, state)


def _storage(blob: Any) -> BlobStorage:
    if not isinstance(blob, bytes | memoryview):
        raise Refused("the pickle has a storage that is no bytes")
    claimed = check_stream(memoryview(blob))
    if type(claimed) is not Storage:
        raise Refused("the pickle has a storage that holds something else")
    return BlobStorage(claimed.key, claimed.kind, claimed.values, blob)


def _claim(storage: Any, *rest: Any) -> TensorClaim:
    if type(storage) is not BlobStorage:
        raise Refused("the pickle has a tensor without a storage")
    shaped = TENSOR_RECORDS["torch._utils", "_rebuild_tensor_v2"].call(
        Storage(storage.key, storage.kind, storage.values), *rest
    )
    return TensorClaim(storage, shaped.offset, shaped.shape, shaped.stride)


def _old_network(*_: Any) -> Record:
    raise Refused("this is a pickle of TensorFlow days; NVIDIA's legacy.py converts it, or get the PyTorch release")


_PICKLE_KNOWN = {
    **KNOWN,
    **TENSOR_RECORDS,
    ("torch._utils", "_rebuild_tensor_v2"): Builder(_claim),
    ("torch._utils", "_rebuild_tensor"): Builder(_claim),
    ("torch.storage", "_load_from_bytes"): Builder(_storage),
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): Builder(_module),
    ("dnnlib.util", "EasyDict"): Builder(lambda *_: {}),
    ("dnnlib.tflib.network", "Network"): Builder(_old_network),
}


def read_networks(data: memoryview) -> dict[str, Module]:
    """The networks of a pickle by their names there (G_ema, G, D); None and options are left out. Raises Refused."""
    machine = PickleMachine(data, _PICKLE_KNOWN)
    found = machine.run()
    if machine.end != len(data):
        raise Refused(f"the pickle has {len(data) - machine.end} bytes behind its end")
    if type(found) is not dict:
        raise Refused("the pickle is no table of networks (G, D, G_ema)")
    networks = {name: found[name] for name in NETWORKS if isinstance(found.get(name), Module)}
    if "G_ema" not in networks:
        raise Refused("the pickle has no network G_ema")
    return networks


def tensors_of(module: Module) -> dict[str, torch.Tensor]:
    """The state dict of a module, its tensors read. Raises Refused."""
    claims = dict(_claims(module))
    loaded: dict[int, Any] = {}
    tensors = {}
    for name, claim in claims.items():
        storage = claim.storage
        assert isinstance(storage, BlobStorage)
        if id(storage) not in loaded:
            loaded[id(storage)] = load(io.BytesIO(storage.blob))
        tensors[name] = tensor_of(loaded[id(storage)], claim)
    return tensors


def _claims(top: Module) -> Iterator[tuple[str, TensorClaim]]:
    waiting: list[tuple[str, Module, int]] = [("", top, 0)]
    modules = tensors = 0
    while waiting:
        prefix, module, depth = waiting.pop()
        modules += 1
        if modules > _MODULES_AT_MOST or depth > _DEPTH_AT_MOST:
            raise Refused("the pickle has modules nested without end")
        state = module.state
        hidden = state.get("_non_persistent_buffers_set") or ()
        for kind in ("_parameters", "_buffers"):
            for name, claim in _entries(state, kind):
                if claim is None or (kind == "_buffers" and name in hidden):
                    continue
                tensors += 1
                if type(claim) is not TensorClaim or tensors > _TENSORS_AT_MOST:
                    raise Refused(f"the pickle has {prefix}{name} among its tensors, which is none")
                yield f"{prefix}{name}", claim
        for name, inner in _entries(state, "_modules"):
            if inner is None:
                continue
            if type(inner) is not Module:
                raise Refused(f"the pickle has {prefix}{name} among its modules, which is none")
            waiting.append((f"{prefix}{name}.", inner, depth + 1))


def _entries(state: dict[Any, Any], kind: str) -> list[tuple[str, Any]]:
    table = state.get(kind, {})
    if type(table) is not dict or any(type(name) is not str for name in table):
        raise Refused(f"the pickle has a module whose {kind} are no table")
    return list(table.items())
