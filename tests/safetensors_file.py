"""Reading the golden files of shared/fixtures: safetensors, a JSON header and plain arrays behind it."""

from __future__ import annotations

import json

import numpy as np

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "u1", "BOOL": "?"}


def arrays_of(path, prefix=""):
    """Name -> array of the tensors whose names begin with `prefix`."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, told in header.items():
        if name != "__metadata__" and name.startswith(prefix):
            begin, end = (8 + length + offset for offset in told["data_offsets"])
            found[name] = np.frombuffer(raw[begin:end], _TYPES[told["dtype"]]).reshape(told["shape"])
    return found
