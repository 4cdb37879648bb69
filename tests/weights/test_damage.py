"""Damaged files of every format: read or refused in one line, never a traceback, never more memory than they have."""

import io
import tracemalloc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors
from weights_files import filled, network_pickle, tiny_nvlabs

from vidswap.graph import InputError
from vidswap.weights import open_checkpoint
from vidswap.weights.recognition import network_named


def _torch(is_zip):
    out = io.BytesIO()
    state = filled(network_named("stylemask").shapes({"widths": [4, 3]}))
    torch.save({"mask_net": state, "opts": {"a": [1, 2]}}, out, _use_new_zipfile_serialization=is_zip)
    return out.getvalue()


WHOLE = {
    "zip": _torch(True),
    "stream": _torch(False),
    "network pickle": network_pickle(tiny_nvlabs(), {"img_resolution": 16}),
    "safetensors": save_safetensors(filled(network_named("stylemask").shapes({"widths": [4, 3]}))),
}


@pytest.mark.parametrize("form", sorted(WHOLE))
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused(form, tmp_path, data):
    raw = bytearray(WHOLE[form])
    # Names, lengths and lists of entries stand at both ends; the numbers between them are weights.
    places = st.integers(0, min(1500, len(raw) - 1)) | st.integers(1, min(1500, len(raw) - 1)).map(
        lambda i: len(raw) - i
    )
    for place in data.draw(st.lists(places | st.integers(0, len(raw) - 1), min_size=1, max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "w.bin"
    path.write_bytes(raw)
    tracemalloc.start()
    try:
        open_checkpoint(path)
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 << 20
