"""`--enforce cgroup`: the kernel holds the limits, and nothing that a task starts gets away. Runs where cgroups can be
made; the reading of other hosts' hierarchies is tested on trees of plain files."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import ContainerExit, Exited, Report
from batchyard.core.model.resources import Resources
from batchyard.engines.base import Launch
from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, CgroupSupport, find_cgroup_support, try_out
from batchyard.engines.process import ProcessSettings
from batchyard.engines.supervisor.cgroups import Cgroup, CgroupRoot, Cgroups, Usage, shares_of, weight_of
from batchyard.engines.supervisor.processes import read_row
from batchyard.engines.supervisor.spawner import ExecFailed, Program, Spawner
from tests.engines.conformance import Conformance, final_of, launch_of, run_to_end, wait_for_end, wait_for_run
from tests.engines.process_harness import ProcessHarness
from tests.waiting import until

ENFORCED = ProcessSettings(enforce_cgroups=True)


def _why_not() -> str:
    try:
        try_out(find_cgroup_support())
    except CgroupsUnavailable as reason:
        return str(reason)
    return ""


WHY_NOT = _why_not()
needs_cgroups = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[ProcessHarness]:
    harness = ProcessHarness(tmp_path, ENFORCED)
    yield harness
    harness.close()
    cgroups = Cgroups(harness.state_dir)
    cgroups.sweep(())
    until(lambda: cgroups.tick(float("inf")) or cgroups.next_try == float("inf"))
    cgroups.close()


@pytest.fixture
def enforced(harness: ProcessHarness) -> ProcessHarness:
    return harness


def exit_of(final: Report) -> ContainerExit:
    assert isinstance(final, Exited), final
    return final.containers[0]


def group_of(harness: ProcessHarness, attempt_id: str) -> Cgroup | None:
    return Cgroups(harness.state_dir).find(attempt_id)


def content(group: Cgroup, name: str) -> str:
    (found,) = [path for place in group.directories if (path := Path(place, name)).exists()]
    return found.read_text().strip()


def is_alive(pid: int) -> bool:
    row = read_row(pid)
    return row is not None and not row.is_dead


def running(harness: ProcessHarness, task: TaskSpec) -> tuple[Launch, Cgroup]:
    launch = launch_of(task)
    harness.engine.launch([launch])
    wait_for_run(harness, launch.attempt_id)
    group = group_of(harness, launch.attempt_id)
    assert group is not None
    return launch, group


@needs_cgroups
class TestProcessInCgroups(Conformance):
    """Every promise of the seam is kept there, too."""


# -- Limits --


@needs_cgroups
def test_memory_over_the_limit_is_killed_by_the_kernel_wherever_in_the_tree(enforced: ProcessHarness) -> None:
    final = run_to_end(enforced, enforced.shell("sh -c 'tail /dev/zero; exit $?'; exit $?", memory_mib=32))
    container = exit_of(final)
    assert (container.exit_code, container.out_of_memory) == (137, True)
    assert container.reason == "OutOfMemoryError: Container killed due to memory usage"
    assert 31 <= container.peak_memory_mib <= 33, "a watcher would see more than it allows"


@needs_cgroups
def test_a_task_that_outlives_its_child_and_ends_well_is_not_out_of_memory(enforced: ProcessHarness) -> None:
    container = exit_of(run_to_end(enforced, enforced.shell("tail /dev/zero; echo $?; exit 0", memory_mib=32)))
    assert (container.exit_code, container.out_of_memory, container.reason) == (0, False, "")


@needs_cgroups
def test_the_sum_of_a_tree_counts_and_not_the_part(enforced: ProcessHarness) -> None:
    """Three times 20 MiB, each alone far below the limit."""
    part = "python3 -c 'x = bytearray(20_000_000); import time; time.sleep(1000)'"
    script = f"{part} & {part} & {part} & wait -n; exit 3"
    container = exit_of(run_to_end(enforced, enforced.program("bash", "-c", script, memory_mib=48)))
    assert (container.exit_code, container.out_of_memory) == (3, True)


@needs_cgroups
def test_vcpus_are_a_weight(enforced: ProcessHarness) -> None:
    task = enforced.traced("", "exec sleep 1000")
    task = TaskSpec(command=task.command, environment=(), resources=Resources(2500, 64))
    launch, group = running(enforced, task)
    version = find_cgroup_support().version
    if version == 1:
        assert content(group, "cpu.shares") == "2560"
        assert content(group, "memory.limit_in_bytes") == str(64 << 20)
    else:
        assert content(group, "memory.max") == str(64 << 20)
    assert group.members() == enforced.pids(launch.attempt_id)


@needs_cgroups
def test_usage_is_the_cgroups(enforced: ProcessHarness) -> None:
    """The child's, that the main process never waited for, too."""
    script = "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; touch done) & until [ -e done ]; do sleep 0.02; done"
    container = exit_of(run_to_end(enforced, enforced.shell(script)))
    assert container.cpu_ms > 50
    assert container.peak_memory_mib >= 1


@needs_cgroups
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as others")
def test_another_user_is_in_its_cgroup_too(enforced: ProcessHarness) -> None:
    launch = launch_of(enforced.shell("id -u; cat /proc/self/cgroup", user="65534:65533"))
    enforced.engine.launch([launch])
    assert exit_of(wait_for_end(enforced, launch.attempt_id)).exit_code == 0
    words = enforced.words(launch.attempt_id)
    assert words[0] == "65534"
    assert any(line.endswith(f"/{launch.attempt_id}") for line in words[1:])


# -- Ends --

ESCAPES = {
    "own session, no marker": "env -i /usr/bin/setsid /bin/sh -c 'echo $$ > {pid}; exec sleep 1000' & ",
    "orphan, no marker": "env -i /bin/sh -c '/usr/bin/setsid /bin/sh -c \"echo \\$\\$ > {pid}; exec sleep 1000\" &' ; ",
}


@needs_cgroups
@pytest.mark.parametrize("way", ESCAPES)
def test_what_escapes_is_dead_before_the_end_is_reported(enforced: ProcessHarness, way: str) -> None:
    """Another task runs meanwhile: without a cgroup, a process without session and marker could be that one's."""
    other, _ = running(enforced, enforced.sleeps())
    pid = enforced.root / "pid"
    final = run_to_end(
        enforced, enforced.shell(ESCAPES[way].format(pid=pid) + f"until [ -s {pid} ]; do :; done; exit 4")
    )
    assert exit_of(final).exit_code == 4
    assert not is_alive(int(pid.read_text()))
    assert final_of(enforced, other.attempt_id) is None
    enforced.engine.stop(other.attempt_node, 0)
    assert exit_of(wait_for_end(enforced, other.attempt_id)).exit_code == 137


@needs_cgroups
def test_its_directory_goes_with_it(enforced: ProcessHarness) -> None:
    launch, group = running(enforced, enforced.sleeps())
    assert all(os.path.isdir(place) for place in group.directories)
    enforced.engine.stop(launch.attempt_node, 0)
    wait_for_end(enforced, launch.attempt_id)
    until(lambda: not any(os.path.exists(place) for place in group.directories))


@needs_cgroups
def test_a_program_that_does_not_start_leaves_no_directory(enforced: ProcessHarness) -> None:
    run_to_end(enforced, enforced.exits(0))
    run_to_end(enforced, enforced.missing())
    roots = {Path(place).parent for place in Cgroup(Cgroups(enforced.state_dir)._roots[0], "x").directories}
    until(lambda: not [path for root in roots for path in root.iterdir() if path.is_dir()])


# -- Supervisors come and go --


@needs_cgroups
def test_limits_outlive_the_supervisor_and_the_next_one_knows_the_members(enforced: ProcessHarness) -> None:
    """The main process ends by itself; what it started without session and marker is found by the cgroup alone."""
    pid, gate = enforced.root / "pid", enforced.root / "gate"
    escape = ESCAPES["orphan, no marker"].format(pid=pid)
    script = enforced.traced(escape + f"until [ -s {pid} ]; do :; done;", f"until [ -e {gate} ]; do sleep 0.02; done")
    launch, group = running(enforced, TaskSpec(script.command, (), Resources(1000, 48)))
    first = enforced.engine.supervisor_pid
    enforced.kill_supervisor()
    enforced.until(lambda: enforced.engine.supervisor_pid != first)
    enforced.settle()
    assert sorted(group.members())[:1] == enforced.pids(launch.attempt_id)
    assert is_alive(int(pid.read_text()))
    gate.touch()
    wait_for_end(enforced, launch.attempt_id)
    assert not is_alive(int(pid.read_text()))
    until(lambda: not any(os.path.exists(place) for place in group.directories))


@needs_cgroups
def test_an_adopted_task_is_still_held_to_its_memory(enforced: ProcessHarness) -> None:
    gate = enforced.root / "gate"
    task = enforced.traced("", f"until [ -e {gate} ]; do sleep 0.02; done; tail /dev/zero; exit 5")
    launch, group = running(enforced, TaskSpec(task.command, (), Resources(1000, 32)))
    first = enforced.engine.supervisor_pid
    enforced.kill_supervisor()
    enforced.until(lambda: enforced.engine.supervisor_pid != first)
    enforced.settle()
    gate.touch()
    final = wait_for_end(enforced, launch.attempt_id)
    if isinstance(final, Exited):  # else this kernel does not tell how a process that is not our child ended
        assert (exit_of(final).exit_code, exit_of(final).out_of_memory) == (5, True)
    assert not group.members()


@needs_cgroups
def test_cgroups_of_no_living_attempt_are_swept_at_the_start(enforced: ProcessHarness) -> None:
    run_to_end(enforced, enforced.exits(0))
    enforced.stop_supervisor()
    stray = Cgroups(enforced.state_dir).make("f" * 32, 0, 1000)
    assert Path(stray.directories[0]).is_dir()
    enforced.connect(2)
    enforced.settle()
    until(lambda: not any(os.path.exists(place) for place in stray.directories))


@needs_cgroups
def test_a_supervisor_that_runs_is_told_of_the_new_setting(enforced: ProcessHarness) -> None:
    enforced.settings = ProcessSettings()
    enforced.connect(2)
    launch = launch_of(enforced.sleeps())
    enforced.engine.launch([launch])
    wait_for_run(enforced, launch.attempt_id)
    assert group_of(enforced, launch.attempt_id) is None
    enforced.settings = ENFORCED
    enforced.connect(3)
    launch, group = running(enforced, enforced.sleeps())
    assert group.members() == enforced.pids(launch.attempt_id)


# -- What hosts support --


def test_weights_stay_within_the_kernels_bounds() -> None:
    assert [shares_of(milli) for milli in (1, 250, 1000, 4000, 10**9)] == [2, 256, 1024, 4096, 262_144]
    assert [weight_of(shares) for shares in (2, 1024, 262_144)] == [1, 39, 10_000]


def host(root: Path, mountinfo: str, cgroup: str) -> Path:
    proc = root / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(mountinfo.format(root=root))
    (proc / "cgroup").write_text(cgroup)
    return proc


def v2_tree(root: Path, own: str, controllers: str, enabled: str = "") -> Path:
    """The parent of `own` has these controllers, of which these are enabled for its children."""
    place = root / "fs" / own
    place.mkdir(parents=True)
    for part in (place, place.parent):
        (part / "cgroup.type").write_text("domain\n")
        (part / "cgroup.procs").write_text("")
        (part / "cgroup.controllers").write_text(controllers)
        (part / "cgroup.subtree_control").write_text(enabled)
    return host(root, "30 20 0:26 / {root}/fs rw - cgroup2 cgroup2 rw,nsdelegate\n", f"0::/{own}\n")


def test_version_2_offers_a_place_beside_the_services_own(tmp_path: Path) -> None:
    proc = v2_tree(tmp_path, "user.slice/app.slice/run.scope", "cpuset cpu io memory pids", "memory pids")
    base = str(tmp_path / "fs/user.slice/app.slice")
    assert find_cgroup_support(proc) == CgroupSupport(2, (("memory", base), ("cpu", base), ("pids", base)))


def test_version_2_has_its_limits_by_other_names(tmp_path: Path) -> None:
    """On plain files, as they lie in a cgroup."""
    place = tmp_path / "attempt"
    place.mkdir()
    for name in ("memory.max", "memory.swap.max", "cpu.weight", "memory.peak", "memory.events", "cpu.stat"):
        (place / name).touch()
    group = Cgroup(CgroupRoot(2, (("memory", str(tmp_path)), ("cpu", str(tmp_path)))), "attempt")
    group.make(64, 2500)
    found = [(place / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.weight")]
    assert found == [str(64 << 20), "0", str(weight_of(2560))]
    (place / "memory.peak").write_text("2097152\n")
    (place / "memory.events").write_text("low 0\nmax 9\noom 1\noom_kill 1\n")
    (place / "cpu.stat").write_text("usage_usec 7000\nuser_usec 1\n")
    assert group.usage() == Usage(2048, 7)
    assert group.had_oom_kill()


def v2_place() -> str:
    """A cgroup of version 2 in which others can be made, with or without controllers; empty: there is none."""
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        place = f"{point}{own.rstrip('/')}"
        if kind == "cgroup2" and own and os.access(place, os.W_OK):
            return place
    return ""


@pytest.mark.skipif(not v2_place(), reason="no cgroup file system of version 2 is writable here")
def test_version_2_joins_kills_and_removes(tmp_path: Path) -> None:
    """On a real one: even a hierarchy without controllers has members, CPU times and cgroup.kill."""
    group = Cgroup(CgroupRoot(2, (("memory", v2_place()),)), f"batchyard-test-{os.getpid()}")
    group.make(0, 0)
    entrances = group.open_entrances()
    try:
        null = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
        inner = Path(group.directories[0], "made-by-the-task")
        script = f"mkdir {inner}; echo $$ > {inner}/cgroup.procs; sleep 1000 & setsid sleep 1000 & wait"
        program = Program([b"sh", b"-c", script.encode()], [b"/bin/sh"], "/", [b"PATH=/usr/bin:/bin"], None, ())
        pid = Spawner(resource.getrlimit(resource.RLIMIT_NOFILE)).start(program, null, entrances)
        until(lambda: len(group.members()) == 3)
        assert pid in group.members()
        assert not group.remove(), "what lives is not removed"
        group.kill()
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        until(group.remove)
        assert not Path(group.directories[0]).exists()
    finally:
        group.kill()
        until(group.remove)
        for fd in (*entrances, null):
            os.close(fd)


def test_a_cgroup_that_can_not_be_joined_is_said(tmp_path: Path) -> None:
    closed = os.open("/dev/full", os.O_WRONLY)
    program = Program([b"true"], [b"/bin/true"], "/", [], None, ())
    with pytest.raises(ExecFailed) as failed:
        Spawner(resource.getrlimit(resource.RLIMIT_NOFILE)).start(program, closed, [closed])
    os.close(closed)
    assert failed.value.at_cgroup
    assert failed.value.errno == errno.ENOSPC


def test_version_2_without_the_memory_controller_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CgroupsUnavailable, match=r"not given the memory controller \(it has: cpu pids\): start the serv"
    ):
        find_cgroup_support(v2_tree(tmp_path, "a/b", "cpu pids"))


def test_version_2_in_the_topmost_of_a_container_says_what_to_do(tmp_path: Path) -> None:
    proc = v2_tree(tmp_path, "a", "memory")
    (proc / "cgroup").write_text("0::/\n")
    with pytest.raises(CgroupsUnavailable, match="the topmost cgroup it sees"):
        find_cgroup_support(proc)


def test_version_1_offers_places_below_the_services_own(tmp_path: Path) -> None:
    """In a container only its own part of the hierarchy is mounted; cpu and cpuacct are one."""
    for name in ("memory/below", "cpu,cpuacct"):
        (tmp_path / name).mkdir(parents=True)
    mountinfo = (
        "34 25 0:30 /docker/1f {root}/memory ro - cgroup cgroup rw,memory\n"
        "35 25 0:31 / {root}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "36 25 0:32 / {root}/unified rw - cgroup2 cgroup2 rw\n"
    )
    proc = host(tmp_path, mountinfo, "9:memory:/docker/1f/below\n4:cpu,cpuacct:/\n3:name=systemd:/x\n0::/\n")
    both = str(tmp_path / "cpu,cpuacct")
    locations = (("memory", str(tmp_path / "memory/below")), ("cpu", both), ("cpuacct", both))
    assert find_cgroup_support(proc) == CgroupSupport(1, locations)
    assert find_cgroup_support(proc).directories == [str(tmp_path / "memory/below"), both]


def test_a_host_without_cgroups_is_told(tmp_path: Path) -> None:
    with pytest.raises(CgroupsUnavailable, match="no cgroup file system with the memory controller is mounted"):
        find_cgroup_support(host(tmp_path, "20 1 0:1 / / rw - ext4 /dev/sda rw\n", "0::/\n"))
