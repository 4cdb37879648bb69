"""Files are held against their own claims before torch sees them; what torch.save wrote comes back as it was."""

import argparse
import collections
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
import weights_files

from vidswap.graph import InputError
from vidswap.weights.reading import read

CONTAINERS = {"zip": True, "stream": False}


@pytest.fixture(params=sorted(CONTAINERS))
def save(request, tmp_path):
    def write(value, name="w.pt"):
        torch.save(value, tmp_path / name, _use_new_zipfile_serialization=CONTAINERS[request.param])
        return tmp_path / name

    return write


def packed(path, data_pkl, storages=(), *, folder="archive", compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr(f"{folder}/data.pkl", data_pkl)
        for key, raw in storages:
            archive.writestr(f"{folder}/data/{key}", raw)
        archive.writestr(f"{folder}/version", "3\n")
    return path


def tensor_pickle(values, shape, stride, offset=0, kind="FloatStorage", key="0"):
    """{'w': tensor} as torch.save writes it, with the claims given."""
    return b"".join(
        [
            b"\x80\x02}" + weights_files.text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(" + weights_files.text("storage") + f"ctorch\n{kind}\n".encode(),
            weights_files.text(key) + weights_files.text("cpu") + b"\x8a\x08" + struct.pack("<q", values) + b"tQ",
            b"\x8a\x08" + struct.pack("<q", offset),
            b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in shape) + b"t",
            b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in stride) + b"t",
            b"\x89ccollections\nOrderedDict\n)RtRs.",
        ]
    )


def refused(path, match):
    with pytest.raises(InputError, match=match) as error:
        read(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_tables_come_back_bit_for_bit(save):
    base = torch.randn(4, 6)
    table = collections.OrderedDict(
        a=base, turned=base.t(), part=base[1:3, ::2], half=torch.randn(3).half(), brain=torch.randn(3).bfloat16(),
        whole=torch.arange(5), flag=torch.tensor([True]), one=torch.tensor(2.0), none=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(2)),
    )  # fmt: skip
    contents = read(save(table))
    made = contents.tables[""]()
    assert list(made) == list(table)
    for name, tensor in table.items():
        assert torch.equal(made[name], tensor.detach()) and made[name].dtype == tensor.dtype


def test_options_are_plain_data_and_do_not_matter_to_the_weights(save):
    options = argparse.Namespace(size=1024, rate=np.float64(0.5), names=["a"], nested={"sizes": np.arange(3)})
    contents = read(save({"state_dict": {"w": torch.ones(2)}, "latent_avg": torch.zeros(3), "opts": options}))
    assert contents.options == {"size": 1024, "rate": 0.5, "names": ["a"], "nested": {"sizes": [0, 1, 2]}}
    assert set(contents.tables) == {"state_dict"} and set(contents.beside) == {"latent_avg"}


def test_a_whole_module_is_refused_by_name(save):
    refused(save(torch.nn.Linear(2, 2)), r"torch\.nn\.modules\.linear\.Linear.*nothing of it was executed")


@pytest.mark.parametrize("way", sorted(weights_files.calls("")))
def test_attacks_in_an_archive_are_refused(way, tmp_path):
    canary = tmp_path / "canary"
    path = packed(tmp_path / "evil.pt", weights_files.calls(f"touch {canary}")[way])
    refused(path, "pickle")
    assert not canary.exists()


@pytest.mark.parametrize("way", sorted(weights_files.calls("")))
@pytest.mark.parametrize("part", range(5))
def test_attacks_in_any_part_of_a_stream_are_refused(way, part, tmp_path):
    canary = tmp_path / "canary"
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"w": 1}, []]
    raw = [pickle.dumps(value, 2) for value in parts]
    raw[part] = weights_files.calls(f"touch {canary}")[way]
    path = tmp_path / "evil.pt"
    path.write_bytes(b"".join(raw))
    with pytest.raises(InputError):
        read(path)
    assert not canary.exists()


FALSE_CLAIMS = {
    "shape beyond the storage": (4, (2, 3), (3, 1), 0),
    "enormous shape of one value, repeated": (4, (1 << 40,), (0,), 0),
    "stride beyond the storage": (4, (2, 2), (1 << 40, 1), 0),
    "offset beyond the storage": (4, (2,), (1,), 3),
    "offset of an empty tensor": (4, (0,), (1,), 5),
    "negative stride": (4, (2,), (-1,), 1),
    "negative shape": (4, (-2,), (1,), 0),
    "more axes than torch has": (4, (1,) * 80, (1,) * 80, 0),
    "shape and stride differ": (4, (2, 2), (1,), 0),
}


@pytest.mark.parametrize("claim", sorted(FALSE_CLAIMS))
def test_tensors_that_claim_more_than_their_storage_are_refused(claim, tmp_path):
    values, shape, stride, offset = FALSE_CLAIMS[claim]
    raw = tensor_pickle(values, shape, stride, offset)
    refused(packed(tmp_path / "w.pt", raw, [("0", bytes(16))]), "tensor")


@pytest.mark.parametrize("values", [3, 5, 1 << 50, -1])
def test_a_storage_of_another_size_than_it_claims_is_refused(values, tmp_path):
    shape = (min(max(values, 1), 3),)
    refused(packed(tmp_path / "w.pt", tensor_pickle(values, shape, (1,)), [("0", bytes(16))]), "storage")


def test_a_storage_that_is_not_there_is_refused(tmp_path):
    refused(packed(tmp_path / "w.pt", tensor_pickle(4, (4,), (1,), key="../../etc/passwd")), "archive has nothing")


def test_what_is_claimed_rightly_is_read(tmp_path):
    raw = np.arange(4, dtype="<f4").tobytes()
    made = read(packed(tmp_path / "w.pt", tensor_pickle(4, (2, 2), (2, 1)), [("0", raw)])).tables[""]()
    assert made["w"].tolist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize("values", [1 << 50, 1 << 33, 5])
def test_a_stream_that_claims_more_than_it_has_is_refused_before_memory_is_taken(values, tmp_path):
    head = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    raw = [*head, tensor_pickle(values, (4,), (1,)), pickle.dumps(["0"], 2), struct.pack("<q", values), bytes(16)]
    path = tmp_path / "w.pt"
    path.write_bytes(b"".join(raw))
    refused(path, "cut short")


def test_a_packed_archive_is_refused(tmp_path):
    bomb = packed(
        tmp_path / "w.pt", tensor_pickle(1 << 22, (4,), (1,)), [("0", bytes(1 << 24))], compress=zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 1 << 17
    refused(bomb, "packed entry")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "archive/../../evil", "archive/data/..\\..\\evil", "C:/evil"])
def test_entries_that_lead_out_of_an_archive_are_refused(name, tmp_path):
    path = packed(tmp_path / "w.pt", tensor_pickle(4, (4,), (1,)), [("0", bytes(16))])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    refused(path, "leads out|second folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.pt"]


def test_an_entry_twice_is_refused(tmp_path):
    path = packed(tmp_path / "w.pt", tensor_pickle(4, (4,), (1,)), [("0", bytes(16))])
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", weights_files.calls("true")["global-reduce"])
    refused(path, "twice")


def test_an_archive_whose_directory_overlaps_itself_is_refused(tmp_path):
    """A bomb by overlap: many entries that share the same bytes."""
    raw = bytearray()
    storage = bytes(1 << 16)
    name = b"archive/data/%d"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, len(storage), len(storage), len(name % 0), 0)
    raw += local + name % 0 + storage
    count, begin = 9, len(raw)
    for i in range(count):
        raw += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, len(storage), len(storage), len(name % i),
            0, 0, 0, 0, 0, 0,
        ) + (name % i)  # fmt: skip
    raw += struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(raw) - begin, begin, 0)
    path = tmp_path / "w.pt"
    path.write_bytes(raw)
    refused(path, "claims more bytes")


def test_a_program_is_refused(tmp_path):
    path = packed(tmp_path / "w.pt", tensor_pickle(4, (4,), (1,)), [("0", bytes(16))])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/code/__torch__.py", "def forward(self): ...")
    refused(path, "TorchScript program")


def test_another_archive_is_refused(tmp_path):
    path = tmp_path / "w.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.png", b"x" * 20)
    refused(path, "no data.pkl")


def test_cut_files_are_refused_in_one_line(save):
    path = save({"w": torch.randn(40, 40), "v": torch.arange(7)})
    whole = path.read_bytes()
    for length in sorted({*range(0, len(whole), 397), *range(0, 64, 7), *range(len(whole) - 40, len(whole), 9)}):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as error:
            read(path)
        assert "\n" not in str(error.value)


def test_a_stream_with_something_behind_it_is_refused(tmp_path):
    out = io.BytesIO()
    torch.save({"w": torch.ones(3)}, out, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pt"
    path.write_bytes(out.getvalue() + b"more")
    refused(path, "4 bytes behind its end")


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "unpack it first"),
        (bytes(64), "neither safetensors"),
        (struct.pack("<Q", 1 << 60) + b"{" + bytes(40), "neither safetensors"),
        (struct.pack("<Q", 20) + b"{" + bytes(40), "damaged"),
    ],
)
def test_files_that_are_no_weights_are_refused(raw, match, tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(raw)
    refused(path, match)


def test_what_is_no_file_is_refused(tmp_path):
    refused(tmp_path / "none.pt", "no such file")
    refused(tmp_path, "no file")


def test_safetensors_that_claim_more_than_they_have_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    for shape, end in (((1 << 40,), 1 << 42), ((4,), 16), ((2,), 8), ((-1,), 8)):
        head = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(12))
        refused(path, "damaged|cut short")


def test_safetensors_whose_length_looks_like_a_pickle_are_read(tmp_path):
    path = tmp_path / "w.safetensors"
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(0x80)
    path.write_bytes(struct.pack("<Q", len(head)) + head + struct.pack("<f", 2.5))
    assert path.read_bytes()[:1] == b"\x80"
    assert read(path).tables[""]()["w"].tolist() == [2.5]
