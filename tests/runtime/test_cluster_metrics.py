"""What Prometheus is told of a run on Ray."""

import pytest

from vidswap.runtime.order import Done, PartTask, Progress
from vidswap.runtime.report import Given, Lost
from vidswap.runtime.spans import Span


@pytest.fixture
def told(monkeypatch):
    """Values by name and tags, as the kinds of metrics that Ray has would keep them."""
    metrics = pytest.importorskip("ray.util.metrics")
    values = {}

    class Kept:
        def __init__(self, name, about, *rest):
            self.name, self.keys = name, set(rest[-1])
            assert about.endswith(".")

        def key(self, tags):
            assert set(tags) == self.keys
            return (self.name, *(tags[k] for k in sorted(tags) if k != "run"))

        def inc(self, value, tags):
            assert value > 0
            values[self.key(tags)] = values.get(self.key(tags), 0) + value

        def set(self, value, tags):
            values[self.key(tags)] = value

        def observe(self, value, tags):
            values.setdefault(self.key(tags), []).append(value)

    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(metrics, kind, Kept)
    return values


def test_frames_stages_batches_memory_and_losses_are_counted(told):
    from vidswap.runtime.cluster_metrics import ClusterMetrics

    listen = ClusterMetrics("out.mp4")
    first, second = PartTask(2, 0), PartTask(2, 1)
    for task in (first, second):
        listen(Given(task, 100.0))
    assert told[("vidswap_tasks_in_flight",)] == 2
    spans = (Span("generate", 101.0, 0.5, "served", 0.0, 2048.0, 16, "node-b/77", 40),)
    listen(Progress(first, 8, 7, {"generate": 0.5, "blend": 0.25, "map": 0.0}, spans, 3, "node-a"))
    listen(Progress(first, 8, 8, {"generate": 0.5}, (), 3, "node-a"))
    listen(Done(first, "f", {"frames": 16}, (), 3, 512.0, "node-a", 100.0, 2.0, {"encode": 0.125}))
    listen(Lost(second, "the node is gone"))
    assert told == {
        ("vidswap_tasks_in_flight",): 0,
        ("vidswap_frames", "2"): 16,
        ("vidswap_stage_seconds", "generate"): 1.0,
        ("vidswap_stage_seconds", "blend"): 0.25,
        ("vidswap_stage_seconds", "encode"): 0.125,
        ("vidswap_batch_rows", "generate"): [16],
        ("vidswap_rows_waiting", "node-b/77", "generate"): 40,
        ("vidswap_gpu_memory_bytes", "node-a", "3"): 2048 * 2**20,
        ("vidswap_worker_memory_bytes", "node-a", "3"): 512 * 2**20,
        ("vidswap_lost_tasks",): 1,
    }
