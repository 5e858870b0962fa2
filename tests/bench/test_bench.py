"""The bench's own parts: a floor that measures, and an end that leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import core, floor, run, server
from bench.errors import BenchError
from bench.processes import CpuTime, cpu_time, pids_naming
from tests.waiting import until

SLEEPER = "import time; time.sleep(60)"


def start_sleeper(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, str(path)])
    until(lambda: pids_naming(path) == [process.pid], 60, "the sleeper's command line")
    return process


def test_the_floor_is_measured_by_the_c_program_or_says_that_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = floor.measure(count=20, in_flight=2, runs=3)
    assert len(measured.runs_per_second) == 3
    assert min(measured.runs_per_second) <= measured.per_second <= max(measured.runs_per_second)
    assert measured.method.startswith("C " if floor.compiled() else "Python ")

    monkeypatch.setattr(floor, "compiled", lambda: None)
    measured = floor.measure(count=20, in_flight=2, runs=1)
    assert measured.per_second > 0
    assert measured.method.startswith("Python os.posix_spawn (no C compiler found), 2 in flight")


def test_cpu_time_counts_a_process_and_the_children_it_waited_for() -> None:
    before = cpu_time(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    after = cpu_time(os.getpid())
    assert after.children_seconds > before.children_seconds
    assert after.own_seconds >= before.own_seconds > 0


def test_what_is_left_of_a_server_is_killed_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data_dir = tmp_path / "data"
    process = start_sleeper(data_dir)
    supervisor = subprocess.Popen([sys.executable, "-c", SLEEPER, str(data_dir / "engine")])
    server.stop(process, [sys.executable, "-c", "raise SystemExit('no such command')"], {}, data_dir, seconds=0.2)
    assert process.poll() is not None
    assert supervisor.wait(60) < 0
    said = capfd.readouterr().err
    assert "`batchyard down` failed: no such command" in said
    assert f"the server, process {process.pid}, had to be killed" in said
    assert f"process {supervisor.pid} was left over and had to be killed" in said


def test_a_server_that_does_not_start_is_an_error_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "COMMAND", [sys.executable, "-c", "raise SystemExit('the port is taken')"])
    said = "the server ended with 1 and said:\nthe port is taken"
    with pytest.raises(BenchError, match=said), server.running_server(tmp_path, 2):
        pytest.fail("it did not start")


def test_the_report_gives_the_ratio() -> None:
    measured = floor.Floor(2000.0, [2000.0], "C")
    array = server.Run(10_000, 16, 10.0, 0.02, 1000.0, CpuTime(1.0, 0.0), CpuTime(2.0, 5.0))
    said = run.report(measured, array)
    assert "0.50 of the floor" in said
    assert "server 100 µs, supervisor 200 µs, jobs themselves 500 µs" in said


def test_the_core_alone_runs_an_array_to_its_end() -> None:
    machine = core.prepared_machine()
    assert core.run_array(machine, 200) > 0
    assert machine.world.jobs == {}
