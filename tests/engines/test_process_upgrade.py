"""A server of a newer version starts a supervisor of its own; the old one sees its tasks to their end, and leaves."""

from __future__ import annotations

import os
import signal

import pytest

from batchyard import failpoints
from batchyard.core.model.reports import Exited, Lost
from batchyard.engines import process as engine_module
from batchyard.engines.base import Launch, Recovery
from batchyard.engines.supervisor.processes import read_row, start_ticks
from tests.engines.conformance import final_of, is_started, launch_of, run_to_end, wait_for_end
from tests.engines.process_harness import ProcessHarness
from tests.waiting import until

OLD_PROTOCOL = 0
OLD_SUPERVISOR = f"""
import sys
from batchyard.engines.supervisor import protocol
protocol.PROTOCOL_VERSION = {OLD_PROTOCOL}
from batchyard.engines.supervisor.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


MOMENTS = ("nothing moved", "journal moved", "lock moved")


@pytest.fixture
def dies_when() -> str:
    """What the old supervisor has done when it dies; tests say it by a parameter."""
    return ""


@pytest.fixture
def old(process: ProcessHarness, monkeypatch: pytest.MonkeyPatch, dies_when: str) -> int:
    """The pid of a supervisor of an older version."""
    process.stop_supervisor()
    if dies_when:
        monkeypatch.setenv(failpoints.VARIABLE, f"during-upgrade[{dies_when}]=crash@1")
        monkeypatch.setenv(failpoints.HITS_VARIABLE, str(process.root / "hits"))
    (process.state_dir / "journal").unlink()
    monkeypatch.setattr(engine_module, "PROTOCOL_VERSION", OLD_PROTOCOL)
    monkeypatch.setattr(engine_module, "SUPERVISOR", ("-c", OLD_SUPERVISOR))
    process.connect(2)
    pid = process.engine.supervisor_pid
    assert pid is not None
    monkeypatch.undo()
    return pid


def upgrade(process: ProcessHarness, launches: list[Launch]) -> int:
    """Another server, of this version, that knows these attempts to run; the pid of its supervisor."""
    process.end_everything()
    process.connect(3)
    process.engine.recover([Recovery(launch, may_launch=False, known_started=True) for launch in launches])
    pid = process.engine.supervisor_pid
    assert pid is not None
    return pid


def is_gone(pid: int) -> bool:
    row = read_row(pid)
    return row is None or row.is_dead


def started(process: ProcessHarness, launch: Launch) -> Launch:
    process.engine.launch([launch])
    process.until(lambda: process.runs(launch.attempt_id) and is_started(process, launch.attempt_id))
    return launch


def test_the_old_one_tells_how_its_tasks_end_and_leaves(process: ProcessHarness, old: int) -> None:
    gate = process.root / "gate"
    wait = f"until [ -e {gate} ]; do sleep 0.02; done; echo last words; exit 9"
    launch = started(process, launch_of(process.traced("", wait)))
    new = upgrade(process, [launch])
    assert new != old
    assert isinstance(run_to_end(process, process.exits(0)), Exited), "the new one serves meanwhile"
    assert not is_gone(old)
    assert final_of(process, launch.attempt_id) is None
    gate.touch()
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 9, "its own supervisor knows the exit code"
    until(lambda: is_gone(old), describe="the old supervisor leaves when empty")
    assert process.words(launch.attempt_id) == ["last words"]
    process.until(lambda: not [*process.state_dir.glob("journal.*"), *process.state_dir.glob("lock.*")])
    process.engine.launch([launch])
    process.settle()
    assert process.runs(launch.attempt_id) == 1
    process.kill_supervisor()
    process.until(lambda: process.engine.supervisor_pid != new)
    process.engine.launch([launch])
    process.settle()
    assert process.runs(launch.attempt_id) == 1, "its successor knows, too"


def test_what_the_old_one_runs_can_be_stopped(process: ProcessHarness, old: int) -> None:
    launch = started(process, launch_of(process.ends_on_term(4)))
    stubborn = started(process, launch_of(process.ignores_term()))
    upgrade(process, [launch, stubborn])
    process.engine.stop(launch.attempt_node, 30)
    process.engine.stop(stubborn.attempt_node, 0.2)
    codes = [wait_for_end(process, one.attempt_id).containers[0].exit_code for one in (launch, stubborn)]  # type: ignore[attr-defined]
    assert codes == [4, 137]
    until(lambda: is_gone(old))


def test_the_death_of_both_loses_nothing_that_lives(process: ProcessHarness, old: int) -> None:
    launch = started(process, launch_of(process.ends_on_term(4)))
    task = process.pids(launch.attempt_id)[0]
    new = upgrade(process, [launch])
    os.kill(old, signal.SIGKILL)
    process.kill_supervisor()
    process.until(lambda: process.engine.supervisor_pid != new)
    process.settle()
    assert start_ticks(task)
    assert final_of(process, launch.attempt_id) is None
    process.engine.stop(launch.attempt_node, 30)
    assert isinstance(wait_for_end(process, launch.attempt_id), Exited | Lost)
    assert process.runs(launch.attempt_id) == 1


@pytest.mark.parametrize("dies_when", MOMENTS)
def test_a_death_during_the_hand_over_loses_nothing_that_lives(
    process: ProcessHarness, old: int, dies_when: str
) -> None:
    launch = started(process, launch_of(process.ends_on_term(4)))
    task = process.pids(launch.attempt_id)[0]
    never_sent = launch_of(process.exits(5))
    upgrade(process, [launch])
    assert is_gone(old)
    assert (process.root / "hits").read_text().startswith(f"during-upgrade\t{dies_when}\t")
    process.engine.launch([launch, never_sent])
    assert isinstance(wait_for_end(process, never_sent.attempt_id), Exited)
    assert start_ticks(task)
    assert final_of(process, launch.attempt_id) is None
    process.engine.stop(launch.attempt_node, 30)
    assert isinstance(wait_for_end(process, launch.attempt_id), Exited | Lost)
    assert (process.runs(launch.attempt_id), process.runs(never_sent.attempt_id)) == (1, 1)
