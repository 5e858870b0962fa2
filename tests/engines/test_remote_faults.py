"""What befalls a joined host: its cable is cut, its agent and its supervisor are killed, it stands still. Nothing is
lost that lives, and nothing lives that is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Exited, Lost
from batchyard.engines.base import Launch
from batchyard.engines.remote import leases
from batchyard.engines.remote.engine import LeaseSettings
from batchyard.engines.remote.peer import HOST_LOST
from batchyard.engines.supervisor.reaper import LEASE_OVER
from tests.engines.conformance import final_of, launch_of, wait_for_end, wait_for_run
from tests.engines.process_harness import is_zombie
from tests.engines.relay import Relay
from tests.engines.remote_harness import RemoteHarness

SHORT = LeaseSettings(lease_seconds=1.5, heartbeat_seconds=0.25)


class CabledHarness(RemoteHarness):
    """The host reaches the server through a cable."""

    relay: Relay | None = None

    def dial(self, port: int) -> None:
        relay = Relay(port)
        self.run(relay.start())
        if self.relay is not None:
            self.run(self.relay.close())
        self.relay = relay
        super().dial(relay.port)

    @property
    def cable(self) -> Relay:
        assert self.relay is not None
        return self.relay

    def close(self) -> None:
        self.run(self.cable.close())
        super().close()

    def started(self, task: TaskSpec) -> Launch:
        launch = launch_of(task)
        self.engine.launch([launch])
        wait_for_run(self, launch.attempt_id)
        return launch

    def lives(self, launch: Launch) -> bool:
        return any(_lives(pid) for pid in self.pids(launch.attempt_id))


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and not is_zombie(pid)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[CabledHarness]:
    """With a lease that no test outlasts."""
    harness = CabledHarness(tmp_path, LeaseSettings(lease_seconds=120.0, heartbeat_seconds=0.25))
    yield harness
    harness.close()


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CabledHarness]:
    """With a short lease. The server allows for less time for the kill, since these tasks end at SIGTERM."""
    monkeypatch.setattr(leases, "KILL_MS", 500)
    monkeypatch.setattr(leases, "MARGIN_MS", 500)
    harness = CabledHarness(tmp_path, SHORT)
    yield harness
    harness.close()


# -- what must not be lost --


def test_a_cut_within_the_lease_costs_nothing(patient: CabledHarness) -> None:
    go = patient.root / "go"
    launch = patient.started(patient.traced("", f"while [ ! -e {go} ]; do sleep 0.02; done; exit 7"))
    patient.cable.cut()
    patient.until(lambda: "disconnected" in patient.watched.seen)
    go.touch()
    patient.until(lambda: not patient.lives(launch))
    assert final_of(patient, launch.attempt_id) is None, "its end could not be reported yet"
    patient.cable.mend()
    final = wait_for_end(patient, launch.attempt_id)
    assert isinstance(final, Exited)
    assert [one.exit_code for one in final.containers] == [7]


def test_a_launch_during_a_cut_comes_through_once(patient: CabledHarness) -> None:
    patient.started(patient.exits(0))
    patient.cable.cut()
    patient.until(lambda: "disconnected" in patient.watched.seen)
    launches = [launch_of(patient.exits(3)) for _ in range(5)]
    patient.engine.launch(launches)
    patient.cable.mend()
    for launch in launches:
        assert isinstance(wait_for_end(patient, launch.attempt_id), Exited)
        assert patient.runs(launch.attempt_id) == 1


def test_tasks_outlive_their_agent(patient: CabledHarness) -> None:
    launch = patient.started(patient.ends_on_term(9))
    assert patient.agent is not None
    settings = patient.agent._settings
    patient.stop_agent()
    assert patient.lives(launch)
    patient.start_agent(settings)
    patient.until(lambda: patient.agent is not None and patient.agent._session is not None)
    patient.engine.stop(launch.attempt_node, 10.0)
    final = wait_for_end(patient, launch.attempt_id)
    assert isinstance(final, Exited)
    assert [one.exit_code for one in final.containers] == [9]
    assert patient.runs(launch.attempt_id) == 1


def test_tasks_outlive_their_supervisor(patient: CabledHarness) -> None:
    launch = patient.started(patient.sleeps())
    patient.kill_supervisor()
    later = launch_of(patient.exits(0))
    patient.engine.launch([later])
    assert isinstance(wait_for_end(patient, later.attempt_id), Exited)
    assert patient.lives(launch)
    patient.engine.stop(launch.attempt_node, 5.0)
    wait_for_end(patient, launch.attempt_id)
    assert not patient.lives(launch)


def test_connections_that_break_all_the_time_lose_and_repeat_nothing(patient: CabledHarness) -> None:
    launches = [launch_of(patient.exits(number % 3)) for number in range(40)]
    for number, launch in enumerate(launches):
        patient.engine.launch([launch])
        if number % 5 == 0:
            patient.run(asyncio.sleep(0.02))
            patient.cable.break_connections()
    codes = []
    for launch in launches:
        final = wait_for_end(patient, launch.attempt_id)
        assert isinstance(final, Exited), final
        codes += [one.exit_code for one in final.containers]
        assert patient.runs(launch.attempt_id) == 1
    assert codes == [number % 3 for number in range(40)]


# -- logs --


def test_a_log_is_live_and_whole_at_the_end(patient: CabledHarness) -> None:
    go = patient.root / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.02; done; seq 1 30000"
    launch = patient.started(patient.traced("echo first;", script))
    patient.until(lambda: [text for _, text in patient.log(launch.task_id)] == ["first"])
    go.touch()
    wait_for_end(patient, launch.attempt_id)
    lines = [text for _, text in patient.log(launch.task_id)]
    assert lines == ["first", *map(str, range(1, 30001))]


def test_a_log_has_no_gap_where_the_connection_broke(patient: CabledHarness) -> None:
    launch = patient.started(patient.traced("", "for i in $(seq 1 300); do echo line $i; sleep 0.003; done"))
    while final_of(patient, launch.attempt_id) is None:
        patient.run(asyncio.sleep(0.15))
        patient.cable.break_connections()
        patient.run(asyncio.sleep(0.3))
    assert [text for _, text in patient.log(launch.task_id)] == [f"line {number}" for number in range(1, 301)]


# -- what must not live --


def test_a_host_that_hears_nothing_ends_its_tasks_before_they_are_given_up(strict: CabledHarness) -> None:
    launch = strict.started(strict.sleeps())
    cut_at = time.monotonic()
    strict.cable.cut()
    strict.until(lambda: not strict.lives(launch))
    ended_after = time.monotonic() - cut_at
    assert final_of(strict, launch.attempt_id) is None, "it was given up while it may still have lived"
    final = wait_for_end(strict, launch.attempt_id)
    assert isinstance(final, Lost)
    assert ended_after >= SHORT.lease_seconds - SHORT.heartbeat_seconds - 0.1, "its lease was kept to"
    strict.until(lambda: "lost" in strict.watched.seen)
    strict.cable.mend()
    strict.until(lambda: strict.watched.seen[-1] == "connected")
    run_again = launch_of(strict.exits(0))
    strict.engine.launch([run_again])
    assert isinstance(wait_for_end(strict, run_again.attempt_id), Exited), "the host is as good as new"


def test_a_host_says_itself_that_its_lease_was_over(strict: CabledHarness) -> None:
    launch = strict.started(strict.sleeps())
    strict.cable.cut()
    strict.until(lambda: not strict.lives(launch))
    strict.cable.mend()
    final = wait_for_end(strict, launch.attempt_id)
    assert isinstance(final, Lost), "a task that was ended for its host's lease has not exited by itself"
    assert final.reason in (LEASE_OVER, HOST_LOST)


def test_a_supervisor_keeps_to_the_lease_without_its_agent(strict: CabledHarness) -> None:
    launch = strict.started(strict.sleeps())
    strict.stop_agent()
    task, strict.agent_task = strict.agent_task, None
    strict.until(lambda: not strict.lives(launch))
    strict.agent_task = task
    assert isinstance(wait_for_end(strict, launch.attempt_id), Lost)


def test_a_new_supervisor_keeps_to_the_old_lease(strict: CabledHarness) -> None:
    """Both are killed, and an agent comes back that reaches no server."""
    launch = strict.started(strict.sleeps())
    strict.cable.cut()
    assert strict.agent is not None
    settings, pid = strict.agent._settings, strict.supervisor_pid
    strict.stop_agent()
    os.kill(pid, signal.SIGKILL)
    task, strict.agent_task = strict.agent_task, None
    strict.until(lambda: not _lives(pid))
    assert strict.lives(launch)
    strict.agent_task = task
    strict.start_agent(settings)
    strict.until(lambda: not strict.lives(launch))


def test_a_host_that_stood_still_ends_its_tasks_first(strict: CabledHarness) -> None:
    """The supervisor and its task are frozen for longer than the lease, as on a machine that was suspended."""
    launch = strict.started(strict.sleeps())
    (task_pid,) = strict.pids(launch.attempt_id)
    frozen = [strict.supervisor_pid, task_pid]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    strict.cable.cut()
    assert isinstance(wait_for_end(strict, launch.attempt_id), Lost)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    strict.until(lambda: not strict.lives(launch))


# -- the end of a host --


def test_a_host_that_is_let_go_leaves_nothing_behind(patient: CabledHarness) -> None:
    launch = patient.started(patient.exits(0))
    wait_for_end(patient, launch.attempt_id)
    patient.engine.acknowledge([launch.attempt_node])
    pid = patient.supervisor_pid
    patient.run(asyncio.sleep(0))
    patient.engine.dismiss("")
    assert patient.agent_task is not None
    patient.until(lambda: patient.agent_task is not None and patient.agent_task.done())
    assert patient.agent_task.exception() is None
    assert not _lives(pid)
    assert not (patient.host_dir / "host.json").exists(), "it would need a new token"


def test_a_host_announces_its_end(patient: CabledHarness) -> None:
    patient.started(patient.exits(0))
    assert patient.agent is not None
    patient.agent.drain(30.0)
    patient.until(lambda: "draining 30" in patient.watched.seen)


def test_a_copy_of_a_host_is_refused(patient: CabledHarness) -> None:
    patient.started(patient.exits(0))
    assert not patient.engine.may_connect("", "another boot")
    patient.stop_agent()
    task, patient.agent_task = patient.agent_task, None
    patient.until(lambda: patient.engine.may_connect("", "another boot"))
    patient.agent_task = task


def test_a_host_talks_to_no_other_server(tmp_path: Path, patient: CabledHarness) -> None:
    patient.started(patient.exits(0))
    joins = len(patient.gate.joins)
    assert patient.agent is not None
    patient.agent._identity = patient.agent._identity.__class__("", "key", "0" * 64)
    patient.cable.break_connections()
    patient.until(lambda: any("the token was made for" in said for said in patient.said))
    assert len(patient.gate.joins) == joins, "nothing was sent to a server with another certificate"
