"""What a task finds when it starts as a process, and what is left of it when it ends."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchyard.core.jobs.attempts import REASON_CHARACTERS
from batchyard.core.model.gpus import AMD, NVIDIA, Gpu
from batchyard.core.model.records import Mount, TaskSpec, Ulimit
from batchyard.core.model.reports import Exited, NotStarted, Report
from batchyard.engines.base import Launch, log_path
from batchyard.engines.process import ProcessEngine
from batchyard.engines.start_failures import CannotStart
from batchyard.engines.supervisor.processes import read_row, start_ticks
from batchyard.engines.supervisor.spawner import identity_of
from tests.engines.conformance import launch_of, run_to_end, wait_for_end
from tests.engines.process_harness import ProcessHarness
from tests.waiting import until

NOBODY = 65534


def output_of(process: ProcessHarness, task: TaskSpec, device_ids: tuple[int, ...] = ()) -> list[str]:
    launch = launch_of(task)
    launch = Launch(launch.attempt_node, launch.spec_key, task, launch.environment, device_ids)
    process.engine.launch([launch])
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Exited), final
    return process.words(launch.attempt_id)


def is_alive(pid: int) -> bool:
    row = read_row(pid)
    return row is not None and not row.is_dead


def refusal_of(process: ProcessHarness, task: TaskSpec) -> str:
    final = run_to_end(process, task)
    assert isinstance(final, NotStarted), final
    assert final.exit_code == 127
    until(lambda: not list(process.work_dir.iterdir()))
    return final.reason


# -- Where it starts --


def test_the_environment_holds_nothing_of_the_servers(process: ProcessHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    task = process.program("env", environment=(("A", "task"), ("B", "task")))
    launch = launch_of(task, environment=(("B", "attempt"), ("AWS_BATCH_JOB_ID", "x")))
    process.engine.launch([launch])
    wait_for_end(process, launch.attempt_id)
    found = dict(line.split("=", 1) for line in process.words(launch.attempt_id))
    base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    assert found == base | {
        "A": "task",
        "B": "attempt",
        "AWS_BATCH_JOB_ID": "x",
        "BATCHYARD_ATTEMPT": launch.attempt_id,
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "",
    }


@pytest.mark.parametrize(
    ("own", "assigned", "seen"),
    [
        (None, (2, 5), "2,5"),
        ("1", (2, 5), "5"),
        ("1,0", (2, 5), "5,2"),
        ("0,7,1", (2, 5), "2"),
        ("0", (), ""),
        ("-1", (3,), ""),
    ],
)
def test_only_assigned_devices_are_visible(
    process: ProcessHarness, own: str | None, assigned: tuple[int, ...], seen: str
) -> None:
    environment = () if own is None else (("CUDA_VISIBLE_DEVICES", own),)
    task = process.shell('echo "<$CUDA_VISIBLE_DEVICES>"', environment=environment)
    assert output_of(process, task, assigned) == [f"<{seen}>"]


FIRST, SECOND = "GPU-11111111-aaaa", "GPU-22222222-bbbb"
GPU_VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "CUDA_DEVICE_ORDER",
)


@pytest.mark.parametrize(
    ("vendor", "own", "assigned", "seen"),
    [
        (NVIDIA, {}, (7, 0), f"{SECOND},{FIRST} {SECOND},{FIRST} - - -"),
        (NVIDIA, {"CUDA_VISIBLE_DEVICES": "0"}, (7,), f"{SECOND} {SECOND} - - -"),
        (NVIDIA, {"CUDA_VISIBLE_DEVICES": "GPU-2222"}, (0, 7), f"{SECOND} {SECOND} - - -"),
        (NVIDIA, {"CUDA_VISIBLE_DEVICES": FIRST, "NVIDIA_VISIBLE_DEVICES": "all"}, (), "none none - - -"),
        (NVIDIA, {}, (9,), "9 9 - - PCI_BUS_ID"),  # one that has gone since, or was never found by name
        (AMD, {}, (7, 0), f"0,1 - {SECOND},{FIRST} 0,1 -"),
        (AMD, {"HIP_VISIBLE_DEVICES": "1"}, (0, 7), f"0 - {SECOND} 0 -"),
        (AMD, {"CUDA_VISIBLE_DEVICES": "0"}, (0, 7), f"0 - {FIRST} 0 -"),
        (AMD, {"ROCR_VISIBLE_DEVICES": "0,1"}, (), "none - none none -"),
    ],
)
def test_gpus_are_named_by_uuid(
    process: ProcessHarness, vendor: str, own: dict[str, str], assigned: tuple[int, ...], seen: str
) -> None:
    known = (Gpu(0, 0, vendor, FIRST), Gpu(7, 1, vendor, SECOND))
    words = " ".join(f"$(test -z ${{{name}+set}} && echo - || echo ${{{name}:-none}})" for name in GPU_VARIABLES)
    task = process.shell(f'echo "{words}"', environment=tuple(own.items()))
    launch = replace(launch_of(task), device_ids=assigned, gpus=known, gpu_vendor=vendor)
    process.engine.launch([launch])
    wait_for_end(process, launch.attempt_id)
    assert process.words(launch.attempt_id) == [seen]


def test_the_program_is_searched_in_the_tasks_own_path(process: ProcessHarness) -> None:
    tools = process.root / "tools"
    tools.mkdir()
    (tools / "mine").write_text("#!/bin/sh\necho found\n")
    (tools / "mine").chmod(0o755)
    assert output_of(process, process.program("mine", environment=(("PATH", str(tools)),))) == ["found"]


def test_signals_files_and_session_are_a_fresh_programs(process: ProcessHarness) -> None:
    script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; cat; readlink /proc/self/fd/0; umask"
    words = output_of(process, process.shell(script))
    standard = (1 << 31) - 1  # signals 1 to 31; the C library hides its own two above
    masks = {line.split()[0]: int(line.split()[1], 16) & standard for line in words if line.startswith("Sig")}
    assert masks == {"SigBlk:": 0, "SigIgn:": 0}
    assert words[2:] == ["0", "1", "2", "3", "/dev/null", "0022"]  # 3: ls's own


def test_a_closed_pipe_ends_its_writer_quietly(process: ProcessHarness) -> None:
    assert output_of(process, process.shell("yes | head -1")) == ["y"]


def test_scratch_goes_at_success_and_stays_after_failure(process: ProcessHarness) -> None:
    deep = "/".join(["d" * 200] * 5)
    good = run_to_end(
        process, process.shell(f"mkdir -p {deep} && cd {deep} && mkdir -p {deep} && touch {deep}/f && pwd")
    )
    assert isinstance(good, Exited)
    assert good.containers[0].exit_code == 0
    bad = run_to_end(process, process.shell("pwd; touch kept; exit 1"))
    assert process.words(bad.attempt_id) == [str(process.work_dir / bad.attempt_id)]
    until(lambda: [path.name for path in process.work_dir.iterdir()] == [bad.attempt_id])
    assert (process.work_dir / bad.attempt_id / "kept").exists()


def test_a_working_directory_is_used_as_it_is(process: ProcessHarness) -> None:
    assert output_of(process, process.program("pwd", working_directory=str(process.root))) == [str(process.root)]
    assert process.root.exists()
    until(lambda: not list(process.work_dir.iterdir()))
    missing = process.root / "nowhere"
    assert f"working directory {missing} does not exist" in refusal_of(
        process, process.program("pwd", working_directory=str(missing))
    )


def test_a_bind_of_a_path_at_itself_is_made(process: ProcessHarness) -> None:
    volume = str(process.root / "volume" / "data")
    assert output_of(process, process.program("ls", "-d", volume, mounts=(Mount(volume, volume),))) == [volume]
    refusal = refusal_of(process, process.program("true", mounts=(Mount(volume, "/elsewhere"),)))
    assert f"can't have {volume} at /elsewhere" in refusal


def test_ulimits_are_set_or_said_to_be_lower(process: ProcessHarness) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    small = process.shell("ulimit -n; ulimit -Hn", ulimits=(Ulimit("nofile", 100, 200),))
    assert output_of(process, small) == ["100", "200"]
    if hard != resource.RLIM_INFINITY and not _may_raise_limits(hard):
        large = process.shell("ulimit -n", ulimits=(Ulimit("nofile", hard + 1, hard + 1),))
        note, value = output_of(process, large)
        assert "above this host's hard limit" in note
        assert value == str(hard)
    assert "ulimit 'fish' is unknown" in refusal_of(process, process.program("true", ulimits=(Ulimit("fish", 1, 1),)))


def _may_raise_limits(hard: int) -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard + 1))
    except ValueError:
        return False
    return True


def test_limits_of_open_files_are_the_servers_not_the_supervisors(process: ProcessHarness) -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert output_of(process, process.shell("ulimit -n")) == [str(soft)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as others")
def test_a_user_is_switched_to_by_root(process: ProcessHarness) -> None:
    words = output_of(
        process, process.shell("id -u; id -g; echo err > /dev/stderr; : > mine && echo wrote", user="65534:65533")
    )
    assert words == ["65534", "65533", "err", "wrote"]


def test_another_user_is_refused_without_root() -> None:
    child = os.fork()
    if child == 0:  # root can be anybody: it must become somebody else first
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            identity_of("0")
        except CannotStart as refusal:
            os._exit(0 if "only root may start programs as others" in str(refusal) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unknown_user_is_refused(process: ProcessHarness) -> None:
    assert "user 'no_such_user' does not exist" in refusal_of(process, process.program("true", user="no_such_user"))


def test_what_to_do_about_a_missing_program_is_not_cut_off(process: ProcessHarness) -> None:
    path = ":".join(f"/a/rather/long/directory/{number}" for number in range(20))
    reason = refusal_of(process, process.program("no-such-program", environment=(("PATH", path),)))
    assert "'no-such-program' is not in PATH; install it" in reason[:REASON_CHARACTERS]
    assert "full path" in reason[:REASON_CHARACTERS]
    assert "/a/rather/long/directory/0" in reason[:REASON_CHARACTERS]


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [("echo hi\n", 0o755, "#!/bin/sh"), ("#!/bin/sh\n", 0o644, "chmod +x"), ("#!/no/shell\n", 0o755, "does not exist")],
)
def test_what_is_no_program_is_explained(process: ProcessHarness, content: str, mode: int, said: str) -> None:
    script = process.root / "script"
    script.write_text(content)
    script.chmod(mode)
    reason = refusal_of(process, process.program(str(script)))
    assert reason.startswith("CannotStartContainerError: ")
    assert said in reason


def test_arguments_that_no_program_can_get_are_explained(process: ProcessHarness) -> None:
    assert "null byte" in refusal_of(process, process.program("true", "a\0b"))
    assert "too long" in refusal_of(process, process.program("true", "a" * 3_000_000))


# -- How it ends --


def test_death_by_a_signal_is_128_and_the_signal(process: ProcessHarness) -> None:
    final = run_to_end(process, process.shell("kill -11 $$"))
    assert isinstance(final, Exited)
    assert (final.containers[0].exit_code, final.containers[0].signal) == (139, 11)


LEFT_BEHIND = {
    "child": "sleep 1000 & echo $! > {pid}",
    "own session": "setsid sh -c 'echo $$ > {pid}; exec sleep 1000' & until [ -s {pid} ]; do sleep 0.01; done",
    "own session, no marker": "env -i /usr/bin/setsid /bin/sh -c 'echo $$ > {pid}; exec sleep 1000' & "
    "until [ -s {pid} ]; do sleep 0.01; done",
    "daemon": "(setsid sh -c 'sleep 1000 & echo $! > {pid}' &) ; until [ -s {pid} ]; do sleep 0.01; done",
    "many pids later": "sleep 1000 & echo $! > {pid}; for i in $(seq 600); do /bin/true; done",
}


@pytest.mark.parametrize("way", LEFT_BEHIND)
def test_what_a_task_leaves_behind_is_dead_before_its_end_is_reported(process: ProcessHarness, way: str) -> None:
    pid = process.root / "pid"
    final = run_to_end(process, process.shell(LEFT_BEHIND[way].format(pid=pid) + "; exit 4"))
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 4
    assert not is_alive(int(pid.read_text()))


def test_the_end_of_one_task_leaves_the_children_of_another(process: ProcessHarness) -> None:
    pid = process.root / "pid"
    other = launch_of(process.shell(f"(setsid sh -c 'echo $$ > {pid}; exec sleep 1000' &); exec sleep 1000"))
    process.engine.launch([other])
    process.until(lambda: pid.exists() and pid.read_text())
    run_to_end(process, process.shell("(setsid sleep 1000 &); exit 0"))
    assert start_ticks(int(pid.read_text()))
    process.engine.stop(other.attempt_node, 0)
    wait_for_end(process, other.attempt_id)
    assert not is_alive(int(pid.read_text()))


def test_sigterm_reaches_every_process_of_the_session(process: ProcessHarness) -> None:
    script = (
        "(trap 'echo inner; exit 0' TERM; echo ready; while :; do sleep 0.02; done) & trap 'wait; exit 9' TERM; "
        "echo ready; while :; do sleep 0.02; done"
    )
    launch = launch_of(process.shell(script))
    process.engine.launch([launch])
    path = log_path(process.logs_dir, launch.attempt_id)
    process.until(lambda: path.exists() and path.read_text().count("ready") == 2)
    process.engine.stop(launch.attempt_node, 30)
    final = wait_for_end(process, launch.attempt_id)
    assert isinstance(final, Exited)
    assert final.containers[0].exit_code == 9
    assert "inner" in process.words(launch.attempt_id)


def test_memory_over_the_limit_ends_the_task(process: ProcessHarness) -> None:
    final = run_to_end(process, process.program("tail", "/dev/zero", memory_mib=64))
    assert isinstance(final, Exited)
    (container,) = final.containers
    assert (container.exit_code, container.out_of_memory) == (137, True)
    assert container.reason == "OutOfMemoryError: Container killed due to memory usage"
    assert container.peak_memory_mib > 64


def test_usage_is_reported(process: ProcessHarness) -> None:
    script = (
        "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 80000000 /dev/zero | tail -c 79999999 >/dev/null"
    )
    final = run_to_end(process, process.shell(script))
    assert isinstance(final, Exited)
    assert final.containers[0].cpu_ms > 50
    assert 70 < final.containers[0].peak_memory_mib < 200


def test_many_tasks_at_once_all_end(process: ProcessHarness) -> None:
    launches = [launch_of(process.exits(index % 3)) for index in range(100)]
    process.engine.launch(launches)

    def ended() -> list[Report]:
        return [report for report in process.reports if isinstance(report, Exited)]

    process.until(lambda: len(ended()) == 100)
    codes = {r.attempt_id: r.containers[0].exit_code for r in ended() if isinstance(r, Exited)}
    assert codes == {launch.attempt_id: index % 3 for index, launch in enumerate(launches)}
    assert {process.runs(launch.attempt_id) for launch in launches} == {1}


def test_a_socket_path_that_is_too_long_is_explained(tmp_path: Path) -> None:
    import asyncio

    engine = ProcessEngine(tmp_path / ("r" * 100), tmp_path / "s", tmp_path / "l", tmp_path / "w")
    with pytest.raises(OSError, match="choose a shorter runtime directory"):
        asyncio.run(engine.start(1, lambda reports: None))


def test_deep_directories_work(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["deep" * 20] * 8)
    process = ProcessHarness(deep)
    try:
        assert output_of(process, process.program("pwd"))[0].startswith(str(deep))
    finally:
        process.close()
