"""The lock of a job folder on a store."""

import json
import socket
import subprocess
import sys
import time

import pytest

from vidswap.graph import InputError, VidswapError
from vidswap.runtime.journal import Journal
from vidswap.runtime.lease import Lease
from vidswap.runtime.object_lines import ObjectLines


def test_one_alone_holds_a_lease_and_it_is_gone_when_let_go_of(bucket):
    lock = bucket / "job" / "lock"
    first = Lease(lock)
    with pytest.raises(InputError, match=r"another run works in s3://.*/job .*wait for it, or give another folder"):
        Lease(lock)
    first.check()
    first.close()
    first.close()
    assert first.closed and (bucket / "job").listing() == {}
    Lease(lock).close()


def test_a_lease_without_a_sign_of_life_is_nobodys_and_its_holder_is_told(bucket):
    lock = bucket / "lock"
    slow = Lease(lock, every_s=3.0)
    time.sleep(1.1)
    taken = Lease(lock, dead_after_s=0.5)
    until = time.monotonic() + 60
    while not slow.lost and time.monotonic() < until:
        time.sleep(0.1)
    with pytest.raises(VidswapError, match="another run has taken over"):
        slow.check()
    slow.close()
    taken.check()
    assert lock.exists()
    taken.close()
    assert not lock.exists()


def test_a_holder_gives_signs_of_life(bucket):
    lock = bucket / "lock"
    lease = Lease(lock, every_s=0.05)
    before = lock.fingerprint()
    until = time.monotonic() + 60
    while lock.fingerprint() == before and time.monotonic() < until:
        time.sleep(0.05)
    assert lock.fingerprint() != before
    lease.close()


def test_a_lease_of_a_process_of_this_machine_that_has_ended_is_taken_at_once(bucket):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock = bucket / "lock"
    lock.write_text(json.dumps({"token": "x", "host": socket.gethostname(), "process": ended.pid}))
    Lease(lock).close()
    lock.write_text(json.dumps({"token": "x", "host": "elsewhere", "process": ended.pid}))
    with pytest.raises(InputError, match=r"host elsewhere, process"):
        Lease(lock)


@pytest.mark.parametrize("store", ["memory", "bucket"])
def test_the_lines_of_a_journal_are_objects_until_they_are_gathered(store, request):
    path = request.getfixturevalue(store) / "job" / "journal.jsonl"
    lines = ObjectLines(path)
    for number in range(5):
        lines.append({"key": str(number % 3), "number": number})
    assert len(path.parent.listing()) == 6
    assert ObjectLines(path, reading=True).entries["1"]["number"] == 4 and len(path.parent.listing()) == 6
    again = ObjectLines(path)
    assert {k: e["number"] for k, e in again.entries.items()} == {"0": 3, "1": 4, "2": 2}
    assert list(path.parent.listing()) == ["journal.jsonl"]
    again.append({"key": "0", "number": 9})
    path.with_name("journal.jsonl.000001").write_bytes(b'{"key": "torn')
    assert ObjectLines(path, reading=True).entries["0"]["number"] == 9


def test_a_piece_counts_while_it_is_as_it_was_stored(bucket):
    folder = bucket / "job"
    (folder / "piece").write_bytes(b"columns")
    Journal(folder).record("0/3", "piece", frames=12)
    assert Journal(folder).finished("0/3")["frames"] == 12
    (folder / "piece").write_bytes(b"Columns")
    assert Journal(folder).finished("0/3") is None
    (folder / "piece").unlink()
    assert Journal(folder).finished("0/3") is None and Journal(folder).finished("0/4") is None


def test_an_output_is_known_again_by_its_content(bucket, tmp_path):
    folder, output, made = bucket / "job", bucket / "out.mp4", tmp_path / "made.mp4"
    made.write_bytes(b"whole")
    Journal(folder).record_output(made, output, "identity", {"frames": 3})
    assert Journal(folder).output(output) is None
    output.upload(made)
    assert Journal(folder).output(output, "identity") == {"frames": 3}
    assert Journal(folder).output(output, "other") is None
    output.write_bytes(b"Whole")
    assert Journal(folder).output(output) is None
