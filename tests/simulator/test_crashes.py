"""A crash at every step of a server's tasks, one after another: whatever was answered is kept, and everything ends."""

from __future__ import annotations

import pytest

from batchyard.simulator import workload as w
from batchyard.simulator.generator import generate
from batchyard.simulator.simulation import Outcome, Simulation

SEED = 1
ENOUGH_STEPS = 400
SETUP = w.Setup(
    engines=("fake",),
    environments={"local": "fake"},
    queues={"default": (1, ("local",))},
    definitions=w.DEFINITIONS,
    hosts=((w.instance(0, 2, 1024, 1),),),
    noise=0.0,
    commit_ms=(0, 1),
    latency_ms=(0, 1),
    batch_commands=100,
)
STORY = (
    w.Submit(at_ms=1, number=0, queue="default", definition="one", attempts=3),
    w.Submit(at_ms=2, number=1, queue="default", definition="gpu", array_size=3, attempts=2),
    w.Submit(at_ms=3, number=2, queue="default", definition="half", depends_on=(w.Edge(0),), after_any=True),
    w.Submit(
        at_ms=3,
        number=3,
        queue="default",
        definition="half",
        array_size=3,
        depends_on=(w.Edge(1, None, "N_TO_N"), w.Edge(-1, None, "SEQUENTIAL")),
        timeout_seconds=1,
    ),
    w.Withdraw(at_ms=40, number=1, child=2, terminate=True),
    w.Withdraw(at_ms=60, number=3, child=1, terminate=False),
)


def run(*troubles: w.Operation) -> tuple[Outcome, list[str]]:
    story: list[str] = []
    simulation = Simulation(SEED, w.Workload(SETUP, STORY + troubles), story)
    try:
        return simulation.run(), story
    finally:
        simulation.close()


@pytest.mark.parametrize("away_ms", [0, 700])
def test_a_crash_at_every_step(away_ms: int) -> None:
    calm, _ = run()
    assert calm.crashes == 1  # the one that ends all faults
    for steps in range(1, ENOUGH_STEPS):
        outcome, _ = run(w.Crash(at_ms=0, steps=steps, away_ms=away_ms))
        if outcome.crashes == 1:
            assert steps > 50, f"the server took only {steps} steps"
            return
        assert outcome.jobs >= 4
    pytest.fail(f"the story takes more than {ENOUGH_STEPS} steps")


def test_a_second_server_fences_the_first() -> None:
    stories = [run(w.Takeover(at_ms=at_ms))[1] for at_ms in range(0, 100, 3)]
    fenced = [line for story in stories for line in story if "after epoch 2 has opened the store" in line]
    assert fenced, "no first server was ever fenced"
    assert all("server 1 ends: CommitLostError" in line for line in fenced)


def test_a_failed_commit_ends_its_server() -> None:
    for unknown in (False, True):
        _, story = run(w.FailCommit(at_ms=2, unknown=unknown))
        assert any("server 1 ends: CommitLostError" in line for line in story)


def test_a_clock_that_steps_back_an_hour_is_lived_through() -> None:
    skews = set()
    for seed in range(1, 31):
        story: list[str] = []
        simulation = Simulation(seed, generate(seed), story)
        try:
            simulation.run()
        finally:
            simulation.close()
        skews |= {line.split("its clock ")[1] for line in story if "its clock " in line}
    assert "-3600000 ms off" in skews
