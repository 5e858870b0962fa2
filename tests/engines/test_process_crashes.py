"""Deaths of server, supervisor and host: nothing runs twice, nothing is lost that lives, nothing lost is left alive."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.reports import Exited, Lost, NotStarted
from batchyard.engines.base import Recovery, StaleEpochError, log_path
from batchyard.engines.process import ProcessSettings
from batchyard.engines.supervisor import journal as records
from batchyard.engines.supervisor.processes import read_row, start_ticks
from tests.engines.conformance import final_of, is_started, launch_of, run_to_end, wait_for_end, wait_for_run
from tests.engines.process_harness import ProcessHarness
from tests.waiting import until


def is_alive(pid: int) -> bool:
    row = read_row(pid)
    return row is not None and not row.is_dead


def wait_for_trace(process: ProcessHarness, attempt_id: str) -> int:
    """The pid of the one run."""
    process.until(lambda: process.runs(attempt_id))
    (pid,) = process.pids(attempt_id)
    return pid


def test_a_server_that_vanished_is_replaced_and_ends_are_kept(process: ProcessHarness) -> None:
    """The first server hangs without closing anything; one task ends meanwhile, one goes on."""
    gate = process.root / "gate"
    short = launch_of(process.traced("", f"until [ -e {gate} ]; do sleep 0.02; done; exit 6"))
    long = launch_of(process.ends_on_term(8))
    process.engine.launch([short, long])
    wait_for_run(process, short.attempt_id)
    wait_for_run(process, long.attempt_id)
    pid = process.pids(short.attempt_id)[0]
    gate.touch()
    until(lambda: start_ticks(pid) == 0)  # the supervisor reaped it, while no server listened
    process.connect(2)
    process.engine.recover([Recovery(launch, may_launch=False, known_started=True) for launch in (short, long)])
    final = wait_for_end(process, short.attempt_id)
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 6
    process.until(lambda: is_started(process, long.attempt_id))
    process.engine.stop(long.attempt_node, 30)
    assert wait_for_end(process, long.attempt_id).containers[0].exit_code == 8  # type: ignore[attr-defined]
    assert (process.runs(short.attempt_id), process.runs(long.attempt_id)) == (1, 1)


def test_a_server_that_was_replaced_is_told_and_not_obeyed(process: ProcessHarness) -> None:
    stale = process.engine
    process.connect(2)
    with pytest.raises(StaleEpochError, match="it is out of date and must end"):
        process.run(stale.failed())
    launch = launch_of(process.exits(0))
    stale.launch([launch])
    process.settle()
    assert process.runs(launch.attempt_id) == 0


def test_a_removed_state_directory_gets_a_supervisor_of_its_own(process: ProcessHarness) -> None:
    """The old supervisor serves no server from the new directory, and ends when its task has ended."""
    gate = process.root / "gate"
    launch = launch_of(process.traced("", f"until [ -e {gate} ]; do sleep 0.02; done"))
    process.connect(7)
    process.engine.launch([launch])
    task = wait_for_trace(process, launch.attempt_id)
    first = process.engine.supervisor_pid
    assert first is not None
    process.end_everything()
    shutil.rmtree(process.state_dir)
    process.connect(1)
    assert process.engine.supervisor_pid != first
    assert isinstance(run_to_end(process, process.exits(0)), Exited)
    assert start_ticks(task), "what runs is seen to its end"
    gate.touch()
    until(lambda: (row := read_row(first)) is None or row.is_dead, describe="the end of the old supervisor")
    assert isinstance(run_to_end(process, process.exits(0)), Exited)


def test_tasks_survive_the_supervisors_death_and_are_never_run_again(process: ProcessHarness) -> None:
    launches = [launch_of(process.ends_on_term(3)) for _ in range(5)]
    process.engine.launch(launches)
    pids = [wait_for_trace(process, launch.attempt_id) for launch in launches]
    first = process.engine.supervisor_pid
    process.kill_supervisor()
    process.until(lambda: process.engine.supervisor_pid != first)
    process.engine.launch(launches)
    process.settle()
    assert [process.runs(launch.attempt_id) for launch in launches] == [1] * 5
    assert all(start_ticks(pid) for pid in pids)
    assert not any(final_of(process, launch.attempt_id) for launch in launches)
    for launch in launches:
        process.engine.stop(launch.attempt_node, 30)
    for launch in launches:
        final = wait_for_end(process, launch.attempt_id)
        # Where the kernel tells how a process that is not our child ended, that is reported; else it is lost.
        assert isinstance(final, Lost) or (isinstance(final, Exited) and final.containers[0].exit_code == 3)
    assert [process.runs(launch.attempt_id) for launch in launches] == [1] * 5


def test_what_ended_while_no_supervisor_lived_is_lost(process: ProcessHarness) -> None:
    launch = launch_of(process.sleeps())
    process.engine.launch([launch])
    pid = wait_for_trace(process, launch.attempt_id)
    process.until(lambda: is_started(process, launch.attempt_id))
    process.stop_supervisor()
    ticks = start_ticks(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: start_ticks(pid) != ticks)
    process.connect(2)
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Lost)
    assert final.started_at_ms > 0


def test_lost_is_not_reported_while_a_part_of_the_tree_lives(process: ProcessHarness) -> None:
    """The main process dies unseen; its child, in a session of its own, is killed before the report."""
    child = process.root / "child"
    launch = launch_of(process.traced(f"setsid sh -c 'echo $$ > {child}; exec sleep 1000' &", "wait"))
    process.engine.launch([launch])
    main = wait_for_trace(process, launch.attempt_id)
    process.until(lambda: child.exists() and child.read_text())
    left = int(child.read_text())
    process.stop_supervisor()
    os.kill(main, signal.SIGKILL)
    assert start_ticks(left)
    process.connect(2)
    # Unless its parent reaped it in the meantime, even its exit code can be told.
    assert isinstance(wait_for_end(process, launch.attempt_id), Lost | Exited)
    assert process.runs(launch.attempt_id) == 1
    until(lambda: start_ticks(left) == 0, describe="the reaping of what was killed before the report")


def test_output_written_while_no_supervisor_lived_is_in_the_log(process: ProcessHarness) -> None:
    gate, written = process.root / "gate", process.root / "written"
    wait = f"until [ -e {gate} ]; do sleep 0.02; done"
    script = f"echo before; printf 'half '; {wait}; echo line; touch {written}; exec sleep 1000"
    launch = launch_of(process.traced("", script))
    process.engine.launch([launch])
    path = log_path(process.logs_dir, launch.attempt_id)
    process.until(lambda: path.exists() and path.read_bytes().endswith(b"half "))
    process.stop_supervisor()
    gate.touch()
    until(written.exists)
    process.connect(2)
    process.until(lambda: path.read_bytes().endswith(b"\n"))
    assert process.words(launch.attempt_id) == ["before", "half line"]


def test_a_stop_survives_the_supervisors_death(process: ProcessHarness) -> None:
    launch = launch_of(process.ignores_term())
    process.engine.launch([launch])
    wait_for_trace(process, launch.attempt_id)
    process.engine.stop(launch.attempt_node, 1.0)
    process.until(lambda: process.journal().live[launch.attempt_id].kill_at_seconds)
    process.stop_supervisor()
    process.connect(2)
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Lost) or (isinstance(final, Exited) and final.containers[0].exit_code == 137)


def test_sigterm_to_the_supervisor_ends_no_task(process: ProcessHarness) -> None:
    launch = launch_of(process.sleeps())
    process.engine.launch([launch])
    pid = wait_for_trace(process, launch.attempt_id)
    first = process.engine.supervisor_pid
    assert first is not None
    os.kill(first, signal.SIGHUP)
    os.kill(first, signal.SIGINT)
    process.settle()
    assert process.engine.supervisor_pid == first
    os.kill(first, signal.SIGTERM)
    process.until(lambda: process.engine.supervisor_pid != first)
    process.settle()
    assert start_ticks(pid)
    assert final_of(process, launch.attempt_id) is None


def test_outcomes_survive_the_supervisors_death(process: ProcessHarness) -> None:
    first = run_to_end(process, process.exits(4))
    process.stop_supervisor()
    process.connect(2)
    assert wait_for_end(process, first.attempt_id) == first
    process.engine.acknowledge([AttemptNode(first.attempt_id)])
    process.settle()
    process.stop_supervisor()
    process.connect(3)
    process.engine.recover([])
    process.settle()
    assert final_of(process, first.attempt_id) is None
    process.engine.launch([launch_of(process.exits(4), first.attempt_id)])
    assert wait_for_end(process, first.attempt_id) == first
    assert process.runs(first.attempt_id) == 1


def _rewrite(path: Path, *entries: records.Record) -> None:
    path.write_bytes(b"".join(map(records.encode, entries)))


def test_an_intent_of_an_earlier_boot_is_lost(process: ProcessHarness) -> None:
    launch = launch_of(process.exits(0))
    process.stop_supervisor()
    _rewrite(
        process.state_dir / "journal",
        records.Opened("11111111-2222-3333-4444-555555555555", records.FORMAT),
        records.Intents((records.IntentItem(launch.attempt_id, str(process.runtime_dir / "x.out"), True, 0),)),
        # A pid that lives, and is somebody else's by now.
        records.Spawned((records.SpawnedItem(launch.attempt_id, os.getpid(), start_ticks(os.getpid()), 1000),)),
    )
    process.connect(2)
    process.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Lost)
    assert "restarted" in final.reason
    assert process.runs(launch.attempt_id) == 0


def test_an_intent_without_a_process_is_lost_never_launched(process: ProcessHarness) -> None:
    launch = launch_of(process.exits(0))
    process.stop_supervisor()
    boot_id = process.journal().boot_id
    _rewrite(
        process.state_dir / "journal",
        records.Opened(boot_id, records.FORMAT),
        records.Intents((records.IntentItem(launch.attempt_id, str(process.runtime_dir / "x.out"), True, 0),)),
    )
    process.connect(2)
    process.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
    assert isinstance(wait_for_end(process, launch.attempt_id), Lost)
    assert process.runs(launch.attempt_id) == 0


def test_a_process_started_but_not_recorded_is_found_by_its_marker(process: ProcessHarness) -> None:
    """As if the supervisor had died between the start and its record, or its journal were gone."""
    for keep_intent in (True, False):
        launch = launch_of(process.ends_on_term(3))
        process.engine.launch([launch])
        pid = wait_for_trace(process, launch.attempt_id)
        process.until(lambda i=launch.attempt_id: is_started(process, i))
        process.stop_supervisor()
        opened = records.Opened(process.journal().boot_id, records.FORMAT)
        intent = process.journal().live[launch.attempt_id].intent
        _rewrite(process.state_dir / "journal", opened, *([records.Intents((intent,))] if keep_intent else []))
        process.connect(2)
        process.engine.recover([Recovery(launch, may_launch=True, known_started=False)])
        process.until(lambda i=launch.attempt_id: is_started(process, i))
        process.settle()
        assert start_ticks(pid)
        assert final_of(process, launch.attempt_id) is None
        process.engine.stop(launch.attempt_node, 30)
        wait_for_end(process, launch.attempt_id)
        process.engine.acknowledge([launch.attempt_node])
        assert process.runs(launch.attempt_id) == 1


@pytest.mark.parametrize("cut_bytes", [1, 3])
def test_a_cut_last_outcome_hides_no_launch(process: ProcessHarness, cut_bytes: int) -> None:
    """The torn record is an outcome: the attempt is known by its intent, others may still be launched."""
    first = run_to_end(process, process.exits(0))
    process.stop_supervisor()
    path = process.state_dir / "journal"
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    new = launch_of(process.exits(5))
    process.connect(2)
    process.engine.recover([Recovery(new, may_launch=True, known_started=False)])
    assert isinstance(wait_for_end(process, first.attempt_id), Lost)
    assert isinstance(wait_for_end(process, new.attempt_id), Exited)
    assert (process.runs(first.attempt_id), process.runs(new.attempt_id)) == (1, 1)


def test_after_a_damaged_middle_the_known_live_and_the_silent_are_lost(process: ProcessHarness) -> None:
    running = launch_of(process.ends_on_term(3))
    process.engine.launch([running])
    wait_for_trace(process, running.attempt_id)
    process.stop_supervisor()
    path = process.state_dir / "journal"
    data = path.read_bytes()
    at = data.index(running.attempt_id.encode())
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    silent = launch_of(process.exits(0))
    process.connect(2)
    process.engine.recover(
        [
            Recovery(running, may_launch=True, known_started=False),
            Recovery(silent, may_launch=True, known_started=False),
        ]
    )
    assert isinstance(wait_for_end(process, silent.attempt_id), Lost)
    process.until(lambda: is_started(process, running.attempt_id))
    assert (process.runs(running.attempt_id), process.runs(silent.attempt_id)) == (1, 0)
    process.stop_supervisor()
    process.connect(3)
    fresh = launch_of(process.exits(0))
    process.engine.recover(
        [Recovery(running, may_launch=False, known_started=True), Recovery(fresh, may_launch=True, known_started=False)]
    )
    assert isinstance(wait_for_end(process, fresh.attempt_id), Exited), "the doubt ended with the first recovery"


def test_a_damaged_journal_stays_damaged_until_a_server_has_accounted(process: ProcessHarness) -> None:
    process.forget_or_damage()
    process.stop_supervisor()
    process.connect(3)
    silent = launch_of(process.exits(0))
    process.engine.recover([Recovery(silent, may_launch=True, known_started=False)])
    assert isinstance(wait_for_end(process, silent.attempt_id), Lost)


def test_a_supervisor_without_work_and_server_leaves_by_itself(tmp_path: Path) -> None:
    process = ProcessHarness(tmp_path, ProcessSettings(idle_seconds=0.3))
    try:
        final = run_to_end(process, process.exits(0))
        process.engine.acknowledge([AttemptNode(final.attempt_id)])
        pid = process.engine.supervisor_pid
        assert pid is not None
        process.end_everything()
        until(lambda: not is_alive(pid))
    finally:
        process.close()


def test_a_supervisor_without_anything_to_do_leaves_when_told(process: ProcessHarness) -> None:
    run_to_end(process, process.exits(0))
    pid = process.engine.supervisor_pid
    assert pid is not None
    process.run(process.engine.close(kill=True))
    assert start_ticks(pid) == 0


def test_a_supervisor_told_to_leave_stays_while_a_task_lives(process: ProcessHarness) -> None:
    launch = launch_of(process.ends_on_term(0))
    process.engine.launch([launch])
    task = wait_for_trace(process, launch.attempt_id)
    pid = process.engine.supervisor_pid
    assert pid is not None
    process.run(process.engine.close(kill=True))
    assert start_ticks(pid)
    os.kill(task, signal.SIGTERM)
    until(lambda: not is_alive(pid))
    process.connect(2)
    assert isinstance(wait_for_end(process, launch.attempt_id), Exited)


def test_a_launch_queued_while_disconnected_runs_once(process: ProcessHarness) -> None:
    pid = process.engine.supervisor_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    launch = launch_of(process.exits(2))
    process.engine.launch([launch])
    assert isinstance(wait_for_end(process, launch.attempt_id), Exited)
    assert process.runs(launch.attempt_id) == 1


def test_a_stopped_unsent_launch_never_runs(process: ProcessHarness) -> None:
    pid = process.engine.supervisor_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    launch = launch_of(process.exits(2))
    process.engine.launch([launch])
    process.engine.stop(launch.attempt_node, 10)
    assert isinstance(wait_for_end(process, launch.attempt_id), NotStarted)
    assert process.runs(launch.attempt_id) == 0
