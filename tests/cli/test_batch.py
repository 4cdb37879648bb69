"""`vidswap batch`: lists, folders, what is done, what fails, and lists that are refused before any work."""

import errno
import json
import os
import time
from pathlib import Path

import pytest
import yaml
from toy import toy_pipeline

from vidswap.api import Pipeline
from vidswap.cli.batch import Planned

TESTS = Path(__file__).parents[1]
SETTINGS = dict.fromkeys(("source_face", "segment_frames", "strict", "start", "end"))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Three toy videos, one of them broken, a source and the toy pipeline."""
    for name, text in [("a.mp4", "20"), ("b.mp4", "no video"), ("c.avi", "30"), ("face.toy", "1"), ("readme.txt", "")]:
        (tmp_path / name).write_text(text)
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toy_pipeline()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def batch(vidswap, here):
    def run(*arguments):
        code, out, err = vidswap("batch", "--pipeline", here / "toy.yaml", "-j", 0, "--json", *arguments)
        return code, json.loads(out) if out else None, err

    return run


def write_list(path, jobs):
    path.write_text(yaml.safe_dump(jobs))
    return path


def states(told):
    return [job["state"] for job in told["jobs"]]


def test_a_folder_of_videos_with_one_source(batch, here):
    code, told, err = batch(here, "-s", "face.toy", "-o", "results")
    assert code == 1
    assert states(told) == ["done", "failed", "done"] and (told["done"], told["failed"]) == (2, 1)
    assert err == f"error: [2/3] {here / 'b.mp4'}: {here / 'b.mp4'} is not a toy video\n"
    assert sorted(p.name for p in (here / "results").iterdir()) == [".vidswap-batch.jsonl", "a.mp4", "c.mkv"]
    assert [job["report"]["frames"] for job in told["jobs"] if job["report"]] == [20, 30]


def test_the_same_command_does_only_what_is_left(batch, here):
    batch(here, "-s", "face.toy", "-o", "results")
    written = (here / "results" / "a.mp4").stat().st_mtime_ns
    (here / "b.mp4").write_text("10")
    code, told, _ = batch(here, "-s", "face.toy", "-o", "results")
    assert code == 0 and states(told) == ["done before", "done", "done before"]
    assert [job["report"]["frames"] for job in told["jobs"]] == [20, 10, 30]
    assert states(batch(here, "-s", "face.toy", "-o", "results", "--overwrite")[1]) == ["done before"] * 3
    assert (here / "results" / "a.mp4").stat().st_mtime_ns == written


def test_a_folder_of_results_may_be_moved(batch, here):
    (here / "b.mp4").write_text("10")
    assert batch(here, "-s", "face.toy", "-o", "results")[0] == 0
    (here / "results").rename(here / "elsewhere")
    code, told, _ = batch(here, "-s", "face.toy", "-o", "elsewhere")
    assert code == 0 and states(told) == ["done before"] * 3
    assert sorted(p.name for p in (here / "elsewhere").iterdir()) == [
        ".vidswap-batch.jsonl",
        "a.mp4",
        "b.mp4",
        "c.mkv",
    ]


def test_a_changed_job_or_output_is_not_taken_for_done(batch, here):
    jobs = write_list(here / "jobs.yaml", [{"target": "a.mp4", "output": "x.toy", "source": "face.toy"}])
    assert batch(jobs)[0] == 0
    (here / "x.toy").write_text("mine")
    code, told, _ = batch(jobs)
    assert code == 1 and "x.toy exists; --overwrite replaces it" in told["jobs"][0]["error"]
    assert states(batch(jobs, "--overwrite")[1]) == ["done"]
    assert states(batch(jobs)[1]) == ["done before"]
    assert batch(jobs, "smooth.radius=2")[0] == 1
    assert states(batch(jobs, "smooth.radius=2", "--overwrite")[1]) == ["done"]
    assert states(batch(jobs, "--fresh", "--overwrite")[1]) == ["done"]


def test_rows_win_over_the_command_and_paths_are_relative_to_the_list(batch, here, tmp_path_factory, monkeypatch):
    row = {"target": "a.mp4", "source": {"source": "face.toy"}, "options": ["smooth.radius=0"], "segment_frames": 5}
    jobs = write_list(here / "jobs.yaml", [{**row, "output": "one.toy"}, {**row, "output": "out/two.toy"}])
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    code, told, err = batch(jobs, "--segment-frames", "10", "smooth.radius=3")
    assert code == 0, err
    assert [job["report"]["segments"] for job in told["jobs"]] == [4, 4]
    assert (here / "one.toy").read_text() == (here / "out" / "two.toy").read_text()
    assert (here / "jobs.yaml.done.jsonl").exists()


def test_a_csv_list(batch, here):
    text = "target,output,source,options,segment_frames\na.mp4,x.toy,face.toy,smooth.radius=1 smooth.radius=2,\n\n"
    (here / "jobs.csv").write_text(text + "c.avi,y.toy,face.toy,,10\n")
    code, told, err = batch(here / "jobs.csv")
    assert code == 0, err
    assert [job["report"]["segments"] for job in told["jobs"]] == [1, 3]


def test_a_summary_for_people(vidswap, here):
    arguments = ["batch", here, "--pipeline", "toy.yaml", "-s", "face.toy", "-o", "results", "-j", 0]
    code, out, err = vidswap(*arguments)
    assert code == 1
    assert "3 jobs: 2 done, 1 failed" in out and "is not a toy video" in err
    code, out, err = vidswap(*arguments, "--quiet")
    assert (code, out) == (1, "") and err.count("error:") == 1


def test_a_bug_in_a_stage_fails_its_job_alone(batch, here, monkeypatch):
    import toy

    probe = toy.Decode.probe

    def buggy(self, path):
        if path.name == "a.mp4":
            raise ZeroDivisionError("bug")
        return probe(self, path)

    monkeypatch.setattr(toy.Decode, "probe", buggy)
    code, told, err = batch(here, "-s", "face.toy", "-o", "results")
    assert code == 1 and states(told) == ["failed", "failed", "done"]
    assert "ZeroDivisionError: bug" in told["jobs"][0]["error"] and "Traceback" not in err


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        ([], "has no jobs"),
        ({"a": 1}, "a list of jobs, each with target, output and source; got dict"),
        (["a.mp4"], "job 1: a mapping"),
        ([{"target": "a.mp4", "outptu": "x.toy"}], "job 1: unknown key 'outptu'; did you mean 'output'?"),
        ([{"output": "x.toy"}], "job 1: 'target' is missing"),
        ([{"target": "a.mp4", "source": "face.toy"}], "job 1: 'output' is missing; name a file in the list"),
        ([{"target": "a.mp4", "output": "x.toy"}], "job 1: no source; give one in the list, or --source for all"),
        ([{"target": "a.mp4", "output": "x.toy", "source": "f"}] * 2, "job 2: its output"),
        ([{"target": "a.mp4", "output": "a.mp4", "source": "f"}], "is the target of"),
        ([{"target": "a.mp4", "output": "f", "source": "f"}], "job 1: the output"),
        ([{"target": "a.mp4", "output": "x", "source": "f", "pipeline": "swop"}], "job 1: unknown pipeline 'swop'"),
        ([{"target": "a.mp4", "output": "x", "source": "f", "options": ["smooth.raduis=1"]}], "did you mean 'radius'?"),
        ([{"target": "a.mp4", "output": "x", "source": "f", "segment_frames": 3}], "--segment-frames: input should be"),
        ([{"target": "a.mp4", "output": "x", "source": "f", "crf": 20}], "no stage with an option 'crf'"),
    ],
)
def test_a_bad_list_is_refused_before_any_work(batch, here, jobs, says):
    path = write_list(here / "jobs.yaml", jobs)
    before = sorted(here.rglob("*"))
    code, _, err = batch(path)
    assert code == 2 and says in err and len(err.splitlines()) == 1, err
    assert sorted(here.rglob("*")) == before


def test_a_full_disk_under_the_list_is_one_line(batch, here, monkeypatch):
    def full(self, entry):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vidswap.runtime.journal.Lines.append", full)
    code, _, err = batch(here, "-s", "face.toy", "-o", "results")
    assert code == 1 and "no space left on device; make room" in err and len(err.splitlines()) == 1


def test_what_is_no_list_is_refused(batch, here):
    assert "no such list of jobs" in batch("none.yaml")[2]
    assert "is no list of jobs; give a .yaml or .csv file or a folder" in batch("readme.txt")[2]
    assert "give a folder for the results with -o" in batch(here, "-s", "face.toy")[2]
    (here / "empty").mkdir()
    assert "no video lies in it" in batch("empty", "-s", "face.toy", "-o", "results")[2]
    (here / "jobs.csv").write_text("target,output\na,b,c\n")
    assert "jobs.csv: line 2: more cells than names" in batch("jobs.csv")[2]


def test_a_batch_that_was_killed_goes_on(here, vidswap, command):
    row = {"source": "face.toy", "segment_frames": 5, "options": ["blend.pause_s=0.005"]}
    write_list(here / "jobs.yaml", [{**row, "target": "c.avi", "output": f"{i}.toy"} for i in range(4)])
    given = ["batch", "jobs.yaml", "--pipeline", "toy.yaml", "-j", "0", "--json"]
    for i in (0, 2):
        running = command(*given, first=f"import os; os.chdir({str(here)!r})")
        while running.poll() is None and not (here / f"{i}.toy").exists():
            time.sleep(0.002)
        running.kill()
        running.wait()
    code, out, err = vidswap(*given)
    assert code == 0, err
    assert states(json.loads(out))[0] == "done before"
    assert len({(here / f"{i}.toy").read_text() for i in range(4)}) == 1
    assert not list(here.glob("*.vidswap")) and not list(here.rglob(".*.tmp*"))


@pytest.mark.parametrize("text", ["a.mp4\nb.mp4\n", "target;output\na.mp4;b.mp4\n"])
def test_a_csv_whose_first_line_names_no_target_is_refused(vidswap, tmp_path, text):
    (tmp_path / "jobs.csv").write_text(text)
    code, _, err = vidswap("batch", tmp_path / "jobs.csv")
    assert (code, "the first line names the columns" in err) == (2, True), err


def test_a_link_to_nothing_in_a_folder_fails_and_is_named(vidswap, tmp_path, faceless):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").symlink_to("nothing.mp4")
    (tmp_path / "clips" / "b.mp4").symlink_to(faceless)
    pipeline = tmp_path / "through.yaml"
    pipeline.write_text("name: through\nstages:\n- {use: decode.pyav}\n- {use: encode.pyav}\n")
    code, out, err = vidswap("batch", tmp_path / "clips", "-o", tmp_path / "out", "--pipeline", pipeline, "-j", 0)
    assert (code, "2 jobs: 1 done, 1 failed" in out, "no such file" in err) == (1, True, True), out + err


def test_a_job_is_not_done_where_a_file_that_its_stages_read_has_changed(here):
    job = Planned("", Pipeline.from_mapping(toy_pipeline()), here / "a.mp4", here / "x.toy", {}, SETTINGS)
    assert job.identity() == job.identity()
    portrait = here / "wanted.jpg"
    portrait.write_bytes(b"1")
    job.pipeline = Pipeline.prepared("swap-mesh", overrides=[f"track.face=like:{portrait}"])
    before = job.identity()
    portrait.write_bytes(b"22")
    assert job.identity() != before
