"""The real driver over simulated clusters: how near it comes to what the GPUs alone would take, in simulated time."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILM = 60 * 60 * 30


@pytest.fixture(scope="module")
def sim():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import cluster_sim

        yield cluster_sim
    for name in ("cluster_sim", "simulated_cluster", "simulated_machines", "simulated_pipeline"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("gpus", "least"), [(1, 0.97), (8, 0.92), (32, 0.85)])
def test_gpus_are_kept_busy(sim, gpus, least):
    frames = FILM // 20 if gpus == 1 else FILM // 2
    outcome = sim.simulate("film", sim.machines_for(gpus), frames=frames)
    assert outcome.efficiency >= least
    assert outcome.lost == 0


def test_what_is_in_flight_does_not_grow_with_the_film(sim):
    short, long = (sim.simulate("film", sim.machines_for(2), frames=n * 240) for n in (40, 120))
    assert long.most_segments == short.most_segments <= 2 * 6 + 3
    assert long.most_wire_mb == short.most_wire_mb


def test_a_lost_node_costs_its_unfinished_segments_and_its_share(sim):
    from simulated_machines import Kill

    machines = sim.machines_for(32)
    whole = sim.simulate("film", machines, frames=FILM // 3)
    lost = sim.simulate("film", machines, frames=FILM // 3, kills=[Kill("node", 1, whole.seconds / 2, None)])
    assert lost.lost == machines.workers
    assert whole.recovery_s == 0 < lost.recovery_s < 30
    # A quarter of the machines is gone for half of the work; what they had begun is made again.
    assert lost.seconds < 1.35 * whole.seconds


def test_a_slow_segment_holds_no_other_back(sim):
    machines = sim.machines_for(2)
    plain = sim.simulate("film", machines, frames=60 * 240)
    slow = sim.simulate("film", sim.machines_for(2, slow_segments={5: 8.0}), frames=60 * 240)
    # Its own work, and at most the time of a segment more.
    assert slow.seconds - plain.seconds < slow.ideal_s - plain.ideal_s + 240 * 0.05
