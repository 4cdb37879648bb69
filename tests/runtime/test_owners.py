"""Served stages: one owner of the model for all workers of a machine, and the frames of workers that have their own."""

import threading
from pathlib import Path

import numpy as np
import pytest
from toy_net import net_pipeline

from vidswap.graph import Batch, Operator, Pipeline, StageError, cut
from vidswap.runtime.asking import Question
from vidswap.runtime.local import run
from vidswap.runtime.order import WorkOrder
from vidswap.runtime.owner_process import LocalOwners, owner_log
from vidswap.runtime.serving import ModelOwner
from vidswap.runtime.settings import RunSettings
from vidswap.storage import place


@pytest.fixture
def go(tmp_path):
    (tmp_path / "clip.toy").write_text("90")
    (tmp_path / "source.toy").write_text("1")
    (tmp_path / "notes").mkdir()

    def start(options=None, output="out.toy", **given):
        pipeline = Pipeline.from_mapping(net_pipeline(**{"notes": str(tmp_path / "notes"), **(options or {})}))
        settings = RunSettings(**{"workers": 2, "segment_frames": 10, **given})
        report = run(
            *(pipeline, tmp_path / "clip.toy", tmp_path / output, {"source": tmp_path / "source.toy"}, settings)
        )
        return report, (tmp_path / output).read_text()

    return start


def _calls(folder: Path) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in folder.iterdir()}


def test_one_process_owns_the_model_and_the_frames_are_the_same(go, tmp_path):
    expected = go({"notes": ""}, "expected.toy", workers=0)[1]
    report, text = go(owners=1)
    assert text == expected
    (calls,) = _calls(tmp_path / "notes").values()
    assert calls.count("setup") == 2, "once for the source, once for the target"
    assert report.stage_s["net"] > 0


def test_without_owners_every_worker_has_a_model_of_its_own(go, tmp_path):
    expected = go({"notes": ""}, "expected.toy", workers=0)[1]
    assert go(owners=0, segment_frames=5)[1] == expected
    assert all(calls[0] == "setup" for calls in _calls(tmp_path / "notes").values())


def test_an_owner_that_dies_is_started_again_and_asked_again(go, tmp_path):
    expected = go({"notes": ""}, "expected.toy", workers=0)[1]
    report, text = go({"crash_once": str(tmp_path / "crashed")}, owners=1)
    assert text == expected and (tmp_path / "crashed").exists()
    assert not report.retries, "the workers held their frames, and asked again"
    assert report.owners_lost == ["the process that owns the models was killed by SIGABRT"]
    assert len(_calls(tmp_path / "notes")) == 2


def test_an_error_of_a_served_stage_names_stage_segment_and_frame(go):
    with pytest.raises(StageError, match=r"stage net, segment 4, frame 46: ValueError: the network does not like"):
        go({"fail_at": 46}, owners=1)


@pytest.fixture
def owner(tmp_path):
    pipeline = net_pipeline(notes=str(tmp_path), pause_s=0.02, fail_at=77)
    made = ModelOwner(WorkOrder(pipeline, None, cut(10), tmp_path), wait_s=0.3)
    yield made
    made.close()


def _question(*frames):
    frame = np.array(frames, np.int64)
    return Question("net", False, Batch(frame=frame, weight=frame * 0.1, value=frame.astype(np.float32)))


def test_questions_of_several_workers_are_called_together_up_to_the_batch_size(owner, tmp_path):
    answers = [owner.ask(_question(3 * i, 3 * i + 1, 3 * i + 2)) for i in range(4)]
    made = [a.result(10).made for a in answers]
    assert [m["frame"].tolist() for m in made] == [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(4)]
    ((_, *calls),) = _calls(tmp_path).values()
    assert calls == ["call 6", "call 6"]
    alone = owner.ask(_question(4)).result(10).made
    assert alone["weight"][0] == made[1]["weight"][1], "company makes no difference"


def test_an_owner_tells_how_many_rows_wait_for_it(owner):
    answers = [owner.ask(_question(3 * i, 3 * i + 1, 3 * i + 2)) for i in range(20)]
    waiting = [a.result(10).took.waiting for a in answers]
    assert max(waiting) > 0 == waiting[-1]


def test_a_question_waits_for_company_only_so_long(owner):
    assert len(owner.ask(_question(5)).result(5).made) == 1


def test_one_bad_question_does_not_spoil_those_called_with_it(owner):
    good, bad = owner.ask(_question(1, 2)), owner.ask(_question(76, 77))
    assert len(good.result(10).made) == 2
    with pytest.raises(StageError) as told:
        bad.result(10)
    assert (told.value.stage, told.value.frame) == ("net", 77)


def test_an_owner_that_is_closed_ends_its_thread(tmp_path):
    owner = ModelOwner(WorkOrder(net_pipeline(), None, cut(10), tmp_path))
    owner.ask(_question(1)).result(10)
    owner.close()
    assert not any(t.name == "model-owner" and t.is_alive() for t in threading.enumerate())


def test_a_served_stage_that_cannot_be_is_refused_when_it_is_written():
    with pytest.raises(TypeError, match="Wrong is served: it works on rows alone"):
        type("Wrong", (Operator,), {"kind": "detect", "yields": "face", "served": True})


def test_the_log_of_an_owner_is_on_this_machine_also_for_a_job_on_a_store(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSWAP_CACHE", str(tmp_path))
    log = owner_log(WorkOrder(net_pipeline(), None, cut(10), place("memory://bucket/job")))
    with log.open("ab") as file:
        file.write(b"said")
    assert tmp_path in log.parents


def test_an_owner_that_nobody_can_reach_is_an_error_of_its_stage(tmp_path, monkeypatch):
    monkeypatch.setattr("vidswap.runtime.owner_process.REACH_S", 0.1)
    owners = LocalOwners(str(tmp_path / "nobody"), tmp_path / "owner.log")
    with pytest.raises(StageError, match=r"does not stay alive; its output is in .*owner\.log") as told:
        owners.ask(_question(1))
    assert told.value.stage == "net"
