"""Files of weights that tests make: tiny networks' tables, network pickles as NVIDIA's tools write them, evil ones."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
import types

import torch

from vidswap.weights.shapes import stylegan2_nvlabs, stylegan2_rosinality

TINY = {"resolution": 16, "channels": [8, 8, 6], "z_dim": 8, "c_dim": 0, "w_dim": 8, "mapping_layers": 2}


def filled(shapes, seed=0):
    """A table of random tensors; filters are the official ones."""
    generator = torch.Generator().manual_seed(seed)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    made = {}
    for name, shape in shapes.items():
        if name.endswith(("blur.kernel", "upsample.kernel")):
            made[name] = torch.outer(taps, taps) / 16
        elif name.endswith("resample_filter"):
            made[name] = torch.outer(taps, taps) / 64
        elif name.endswith("num_batches_tracked"):
            made[name] = torch.zeros(shape, dtype=torch.int64)
        else:
            made[name] = torch.randn(shape, generator=generator)
    return made


def tiny_rosinality(seed=0):
    return filled(stylegan2_rosinality(TINY), seed)


def tiny_nvlabs(seed=0):
    return filled(stylegan2_nvlabs(TINY), seed)


class _Persistent:
    """An object that is pickled as NVIDIA's persistent classes are."""

    def __init__(self, kind, state):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit('embedded source was executed')",
            "class_name": kind,
            "state": state,
        }


class _Pickler(pickle.Pickler):
    reconstruct = None

    def reducer_override(self, made):
        if isinstance(made, _Persistent):
            return type(self).reconstruct, (made.meta,)
        return NotImplemented


def _nested(state, arguments):
    """Modules for dotted names."""
    parameters, inner = collections.OrderedDict(), collections.OrderedDict()
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            parameters[name] = value
    return _Persistent(
        "Generator",
        {
            "_parameters": collections.OrderedDict((k, torch.nn.Parameter(v)) for k, v in parameters.items() if v.ndim),
            "_buffers": {**{k: v for k, v in parameters.items() if not v.ndim}, "hidden": torch.ones(2), "none": None},
            "_non_persistent_buffers_set": {"hidden"},
            "_modules": collections.OrderedDict((k, _nested(v, {})) for k, v in inner.items()),
            "training": False,
            "_init_args": (),
            "_init_kwargs": arguments,
        },
    )


def network_pickle(state, arguments, protocol=4, name="G_ema"):
    """Bytes of a network pickle of one generator."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    packages = {"torch_utils": types.ModuleType("torch_utils"), "torch_utils.persistence": module}
    sys.modules.update(packages)
    try:
        _Pickler.reconstruct = staticmethod(_reconstruct_persistent_obj)
        out = io.BytesIO()
        table = {"training_set_kwargs": {"path": "/data"}, "G": None, "D": None, name: _nested(state, arguments)}
        _Pickler(out, protocol).dump({**table, "augment_pipe": None})
        return out.getvalue()
    finally:
        for package in packages:
            del sys.modules[package]


def text(words):
    """BINUNICODE."""
    raw = words.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def calls(command, how="reduce"):
    """Pickles that would run os.system(command) in an unpickler that calls, one for each way of calling."""
    name, arguments = b"cos\nsystem\n", text(command) + b"\x85"
    stacked = text("os") + text("system") + b"\x93"
    built = b"}" + text("__setstate__") + name + b"s"
    return {
        "global-reduce": b"\x80\x02" + name + arguments + b"R.",
        "stack-global-reduce": b"\x80\x04" + stacked + arguments + b"R.",
        "newobj": b"\x80\x02" + name + arguments + b"\x81.",
        "newobj-ex": b"\x80\x04" + stacked + arguments + b"}\x92.",
        "inst": b"\x80\x02(" + text(command) + b"ios\nsystem\n.",
        "obj": b"\x80\x02(" + name + text(command) + b"o.",
        "build-setstate": b"\x80\x02ccollections\nOrderedDict\n)R" + built + b"b" + text(command) + b"b.",
        "builtins-eval": b"\x80\x02cbuiltins\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R.",
        "py2-eval": b"\x80\x02c__builtin__\neval\n" + text(f"__import__('os').system({command!r})") + b"\x85R.",
        "exec": b"\x80\x02cbuiltins\nexec\n" + text(f"import os; os.system({command!r})") + b"\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\n" + b"cos\n__dict__\n" + text("system") + b"\x86R" + arguments + b"R.",
        "dotted": b"\x80\x04" + text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93.",
        "dotted-module": b"\x80\x04" + text("builtins") + text("set.__class__") + b"\x93)R.",
        "import": b"\x80\x02cimportlib\nimport_module\n" + text("os") + b"\x85R.",
        "torch-load": b"\x80\x02ctorch\nload\n" + text("/etc/passwd") + b"\x85R.",
        "torch-hub": b"\x80\x02ctorch.hub\nload\n" + text("evil") + b"\x85R.",
        "numpy-load": b"\x80\x02cnumpy\nload\n" + text("evil.npy") + b"\x85R.",
        "subprocess": b"\x80\x02csubprocess\nPopen\n" + text(command) + b"\x85R.",
        "copyreg": b"\x80\x02ccopyreg\n_reconstructor\ncos\nsystem\ncbuiltins\nobject\nN\x87R.",
        "ext1": b"\x80\x02\x82\x01)R.",
        "ext2": b"\x80\x02\x83\x01\x00)R.",
        "ext4": b"\x80\x02\x84\x01\x00\x00\x00)R.",
        "persid": b"\x80\x02Pos.system\n.",
        "binpersid": b"\x80\x02" + text("os.system") + b"Q.",
        "protocol-0": b"cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        "call-a-text": b"\x80\x02" + text("os.system") + arguments + b"R.",
        "call-a-table": b"\x80\x02}" + arguments + b"R.",
    }
