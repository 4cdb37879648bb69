"""Tasks that fail: how often they are tried, and after which pause."""

from __future__ import annotations

import pytest

from vidswap.runtime.order import PartTask, SourceTask
from vidswap.runtime.retries import Retries, RetryPolicy

TASK = PartTask(0, 3)


@pytest.fixture
def clock(monkeypatch):
    """Seconds, moved by hand."""
    now = [100.0]
    monkeypatch.setattr("vidswap.runtime.retries.time.monotonic", lambda: now[0])
    return now


def test_a_task_is_tried_as_often_as_the_policy_says():
    retries = Retries(RetryPolicy(tries=3))
    assert [retries.failed(TASK, reason) for reason in ("one", "two", "three")] == [True, True, False]
    assert retries.reasons(TASK) == ["one", "two", "three"]
    assert Retries(RetryPolicy(tries=1)).failed(TASK, "one") is False


def test_tasks_fail_each_for_itself():
    retries = Retries(RetryPolicy(tries=2))
    assert retries.failed(TASK, "one") and retries.failed(SourceTask("source"), "other")
    assert not retries.failed(TASK, "two")
    assert retries.reasons(SourceTask("source")) == ["other"] and retries.reasons(PartTask(1, 3)) == []


def test_what_was_done_is_forgotten():
    retries = Retries(RetryPolicy(tries=2))
    retries.failed(TASK, "one")
    retries.done(TASK)
    assert retries.reasons(TASK) == [] and retries.failed(TASK, "again")


def test_pauses_double_up_to_the_longest(clock):
    retries = Retries(RetryPolicy(tries=9, backoff_s=4, longest_s=10))
    for pause in (4, 8, 10, 10):
        retries.failed(TASK, "busy")
        assert retries.waiting and retries.pause_s() == pause
        clock[0] += pause - 0.5
        assert retries.due() == []
        clock[0] += 0.5
        assert retries.due() == [TASK]
        assert retries.due() == [] and not retries.waiting and retries.pause_s() == 0


def test_the_pause_is_that_until_the_next_is_due(clock):
    retries = Retries(RetryPolicy(backoff_s=5))
    retries.failed(TASK, "busy")
    clock[0] += 3
    retries.failed(PartTask(0, 4), "busy")
    assert retries.pause_s() == 2
    clock[0] += 4
    assert retries.due() == [TASK] and retries.pause_s() == 1
    clock[0] += 9
    assert retries.pause_s() == 0 and retries.due() == [PartTask(0, 4)]
