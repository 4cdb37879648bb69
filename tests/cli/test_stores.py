"""The command over a store: inputs, outputs and job folder by address; the frames are those of a local run."""

import json
import time

import pytest
from stores import FEW, LOSSLESS, fetched, frames_of

from vidswap.runtime.journal import JOURNAL, lines_of


def test_a_swap_over_s3_gives_the_frames_of_a_local_one(vidswap, stored, tmp_path, expected):
    out = f"{stored}/results/out.mkv"
    code, _, err = vidswap("swap", "-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", out, *FEW)
    assert code == 0, err
    assert frames_of(fetched(out, tmp_path)) == expected
    assert [p.name for p in stored.iterdir()] == ["clip.mp4", "portrait.jpg", "results"]
    assert [p.name for p in (stored / "results").iterdir()] == ["out.mkv"]
    code, _, err = vidswap("swap", "-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", out, *LOSSLESS)
    assert code == 2 and "out.mkv exists; --overwrite replaces it" in err


def _a_segment_is_noted(job):
    """Whether the journal names a written segment: one that is there but not noted is written again."""
    entries = lines_of(job / JOURNAL, reading=True).entries.values()
    return any(e["file"][:6].isdecimal() and not e["file"].endswith(".npz") for e in entries)


SLOW = """
import time
from vidswap.operators.encode import EncodePyAV
finish = EncodePyAV.finish
EncodePyAV.finish = lambda self: time.sleep(0.5) or finish(self)
"""


def test_a_run_that_was_killed_goes_on_from_its_job_folder_on_s3(vidswap, command, stored, tmp_path, expected):
    out, job = stored / "out.mkv", stored / "jobs" / "x"
    given = ["swap", "-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", str(out), *FEW, "-j", "0"]
    process = command(*given, "--job", job, first=SLOW)
    until = time.monotonic() + 300
    while not _a_segment_is_noted(job) and time.monotonic() < until:
        assert process.poll() is None, process.told.read_text()
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert not out.exists() and (job / "lock").exists()
    code, told, err = vidswap("resume", str(job), "--json")
    assert code == 0, err
    report = json.loads(told)
    assert report["segments_resumed"] >= 1 and report["segments"] == 3
    assert frames_of(fetched(out, tmp_path)) == expected
    assert not (job / "lock").exists() and (job / "job.json").exists()
    code, told, err = vidswap(*given, "--job", str(job), "--json")
    assert code == 0 and json.loads(told)["segments_resumed"] == 3, err


def test_ranges_give_the_frames_of_a_local_run(vidswap, stored, tmp_path, expected, monkeypatch):
    monkeypatch.setenv("VIDSWAP_CACHE_LIMIT", "0")
    monkeypatch.setattr("vidswap.storage.fetching.SMALL_BYTES", 0)
    out = tmp_path / "out.mkv"
    code, _, err = vidswap(
        "swap", "-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", out, *FEW, "-j", "0"
    )
    assert code == 0, err
    assert frames_of(out) == expected


def test_memory_serves_this_process_alone(vidswap, memory, clip, grace, tmp_path, expected):
    (memory / "portrait.jpg").upload(grace)
    (memory / "clip.mp4").upload(clip)
    given = ("swap", "-s", f"{memory}/portrait.jpg", "-t", f"{memory}/clip.mp4", "-o", f"{memory}/out.mkv", *FEW)
    code, _, err = vidswap(*given)
    assert code == 2 and "is in the memory of this process, which workers do not share; give --workers 0" in err
    code, _, err = vidswap(*given, "-j", "0")
    assert code == 0, err
    assert frames_of(fetched(f"{memory}/out.mkv", tmp_path)) == expected


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"-t": "{stored}/nothing.mp4"}, "no such object: {stored}/nothing.mp4"),
        ({"-t": "s3://no-such-bucket/clip.mp4"}, "no such bucket: s3://no-such-bucket"),
        ({"-s": "{stored}/nobody.jpg"}, "source: no such object: {stored}/nobody.jpg"),
        ({"-o": "s3://no-such-bucket/out.mkv"}, "no such bucket: s3://no-such-bucket; make it first"),
        ({"-o": "https://host/out.mkv"}, "nothing is written over https; give a file or s3://BUCKET/NAME"),
        ({"-o": "{stored}"}, "is a bucket; give an object, such as {stored}/swapped.mp4"),
        ({"-o": "{stored}/frames/%05d.png"}, "pictures are written to a folder of this machine"),
        ({"-t": "gs://bucket/clip.mp4"}, "gs:// needs gcsfs: pip install gcsfs"),
        ({"--job": "s3://no-such-bucket/job"}, "the job folder s3://no-such-bucket/job: no such bucket"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(vidswap, stored, change, told):
    given = {"-s": f"{stored}/portrait.jpg", "-t": f"{stored}/clip.mp4", "-o": f"{stored}/out.mkv"}
    given |= {name: value.format(stored=stored) for name, value in change.items()}
    before = [p.name for p in stored.iterdir()]
    code, out, err = vidswap("swap", *(word for pair in given.items() for word in pair), *LOSSLESS, "-j", "0", "-q")
    lines = err.strip().splitlines()
    assert code == 2 and out == "" and len(lines) == 1 and told.format(stored=stored) in lines[0], err
    assert [p.name for p in stored.iterdir()] == before


def test_a_store_that_does_not_answer_is_told_in_one_line(vidswap, stored, clip, grace, monkeypatch):
    import fsspec

    with monkeypatch.context() as changed:
        changed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        changed.setattr(fsspec.get_filesystem_class("s3"), "retries", 1)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        code, _, err = vidswap("swap", "-s", grace, "-t", clip, "-o", f"{stored}/out.mkv", "-q")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert code == 2 and "the store cannot be reached" in err and len(err.strip().splitlines()) == 1


def test_inspecting_an_object_says_what_it_says_of_the_file(vidswap, stored, clip):
    local, remote = (json.loads(vidswap("inspect", where, "--json")[1]) for where in (clip, f"{stored}/clip.mp4"))
    for facts in (local, remote):
        facts.pop("path", None), facts.pop("content_hash", None), facts.pop("file", None)
    assert local == remote


def test_the_status_of_a_job_on_a_store_is_told_from_anywhere(vidswap, stored):
    given = ("-s", f"{stored}/portrait.jpg", "-t", f"{stored}/clip.mp4", "-o", f"{stored}/out.mkv", *LOSSLESS)
    code, _, err = vidswap("swap", *given, "--job", f"{stored}/job", "--end", "6f", "-j", "0")
    assert code == 0, err
    told = json.loads(vidswap("status", f"{stored}/job", "--json")[1])
    assert (told["state"], told["frames"], told["segments"], told["holder"]) == ("done", 6, 1, None)
    assert 0 <= told["changed_s"] < 600
    (stored / "out.mkv").unlink()
    assert json.loads(vidswap("status", f"{stored}/job", "--json")[1])["state"] == "interrupted"
