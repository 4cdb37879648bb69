"""`vidswap resume JOB`: from the folder alone, and refusals."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from toy import toy_pipeline

from vidswap.cli.app import run_command
from vidswap.graph import InputError, Pipeline, StageError
from vidswap.runtime.local import run
from vidswap.runtime.settings import RunSettings


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A job that failed on a frame that no longer fails; returns its folder."""
    import toy

    (tmp_path / "clip.toy").write_text("60")
    (tmp_path / "source.toy").write_text("1")
    plain = toy.Blend.__call__

    def poisoned(self, batch):
        if 46 in batch["frame"]:
            raise ValueError("poisoned")
        return plain(self, batch)

    def make(**given):
        settings = RunSettings(workers=0, segment_frames=10, **given)
        monkeypatch.chdir(tmp_path)
        with monkeypatch.context() as spoilt:
            spoilt.setattr(toy.Blend, "__call__", poisoned)
            with pytest.raises(StageError):
                sources = {"source": Path("source.toy")}
                run(Pipeline.from_mapping(toy_pipeline()), Path("clip.toy"), Path("out.toy"), sources, settings)
        monkeypatch.chdir("/")
        return given.get("job", tmp_path / "out.toy.vidswap")

    return make


@pytest.fixture
def expected(tmp_path):
    def text():
        sources = {"source": tmp_path / "source.toy"}
        settings = RunSettings(workers=0, segment_frames=10, fresh=True)
        run(Pipeline.from_mapping(toy_pipeline()), tmp_path / "clip.toy", tmp_path / "whole.toy", sources, settings)
        return (tmp_path / "whole.toy").read_text()

    return text


def test_a_job_goes_on_from_its_folder_alone(vidswap, interrupted, expected, tmp_path):
    code, out, err = vidswap("resume", interrupted(), "--json")
    assert code == 0, err
    assert json.loads(out)["segments_resumed"] >= 4
    assert (tmp_path / "out.toy").read_text() == expected()
    assert not (tmp_path / "out.toy.vidswap").exists()


def test_a_folder_that_was_asked_for_stays_and_a_second_resume_has_nothing_to_do(vidswap, interrupted, tmp_path):
    job = interrupted(job=tmp_path / "job")
    assert vidswap("resume", job, "-q")[0] == 0
    written = (tmp_path / "out.toy").stat()
    code, out, _ = vidswap("resume", job, "--json")
    assert code == 0 and json.loads(out)["segments_resumed"] == 6
    assert (tmp_path / "out.toy").stat().st_mtime_ns == written.st_mtime_ns
    (tmp_path / "out.toy").write_text("another's")
    code, _, err = vidswap("resume", job, "-q")
    assert code == 2 and "out.toy exists; --overwrite replaces it" in err


def test_a_folder_that_was_moved_goes_on_and_stays(vidswap, interrupted, expected, tmp_path):
    moved = shutil.move(interrupted(), tmp_path / "moved")
    assert vidswap("resume", moved, "-q")[0] == 0
    assert (tmp_path / "out.toy").read_text() == expected()
    assert Path(moved).is_dir()


def test_a_changed_source_is_refused_with_the_difference_and_fresh_starts_anew(vidswap, interrupted, tmp_path):
    job = interrupted()
    (tmp_path / "source.toy").write_text("1 ")
    code, _, err = vidswap("resume", job, "-q")
    assert code == 2
    assert (
        "holds an interrupted run that differs: source source has another content; " in err
        and "--fresh starts anew" in err
    )
    assert vidswap("resume", job, "-q", "--fresh")[0] == 0


def test_another_version_is_refused(vidswap, interrupted, monkeypatch):
    job = interrupted()
    monkeypatch.setattr("vidswap.runtime.local.versions", lambda: {"vidswap": "99"})
    code, _, err = vidswap("resume", job, "-q")
    assert code == 2 and "differs: versions.vidswap was " in err and 'is "99"' in err


def test_a_missing_target_is_one_line(vidswap, interrupted, tmp_path):
    job = interrupted()
    (tmp_path / "source.toy").unlink()
    code, _, err = vidswap("resume", job, "-q")
    assert code == 2 and "source: no such file" in err


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (shutil.rmtree, "there is no such folder"),
        (lambda job: (job / "job.json").unlink(), "it has no job.json"),
        (lambda job: (job / "job.json").write_text("{"), "job.json is not readable"),
        (lambda job: (job / "job.json").write_text('{"identity": {}, "order": {}}'), "does not say how the job is run"),
    ],
)
def test_what_is_no_job_folder_is_refused(vidswap, interrupted, spoil, says):
    job = interrupted()
    spoil(job)
    code, _, err = vidswap("resume", job, "-q")
    assert code == 2 and says in err and len(err.splitlines()) == 1


def test_a_setting_out_of_range_is_refused(vidswap, interrupted):
    code, _, err = vidswap("resume", interrupted(), "-q", "-j", "-3")
    assert code == 2 and "workers" in err and len(err.splitlines()) == 1


def test_classes_beside_the_pipeline_are_found_where_the_run_was_started(interrupted, tmp_path):
    job = interrupted()
    shutil.copy(Path(__file__).parents[1] / "toy.py", tmp_path)
    command = [sys.executable, "-m", "vidswap.cli", "resume", str(job), "-q"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_from_python(interrupted, tmp_path):
    import vidswap

    job = interrupted()
    assert vidswap.resume(job).frames == 60
    with pytest.raises(InputError, match="there is no such folder"):
        vidswap.resume(job)


@pytest.fixture(scope="module")
def whole_swap(clip, grace, tmp_path_factory):
    """Frames of an undisturbed swap."""
    output = tmp_path_factory.mktemp("whole") / "out.mkv"
    arguments = ["swap", "-s", grace, "-t", clip, "-o", output, "--codec", "ffv1", "-j", 0, "-q"]
    assert run_command([str(a) for a in arguments]) == 0
    return _pixels(output)


def test_a_swap_killed_at_random_moments_gives_the_same_frames(vidswap, command, clip, grace, whole_swap, tmp_path):
    chance = random.Random(1)
    output, job = tmp_path / "out.mkv", tmp_path / "out.mkv.vidswap"
    given = ["swap", "-s", grace, "-t", clip, "-o", output, "--codec", "ffv1", "--segment-frames", 5, "-q", "-j"]
    for workers in (0, 2, 0, 0, 2):
        running = command(*given, workers)
        known = _journalled(job)
        while running.poll() is None and _journalled(job) == known:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        running.kill()
        running.wait()
    if output.exists() and not job.exists():
        pytest.skip("the machine was too quick: the run ended before the last kill")
    code, _, err = vidswap("resume", job, "-j", 0, "--json")
    assert code == 0, err
    assert _pixels(output) == whole_swap
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]


def _journalled(job):
    journal = job / "journal.jsonl"
    return journal.stat().st_size if journal.exists() else 0


def _pixels(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray().tobytes() for f in container.decode(video=0)]
