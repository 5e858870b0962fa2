"""`--enforce cgroup`: from the setting to the job's end, or to a sentence that says why this host can't."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from batchyard.engines.cgroup_hierarchies import CgroupsUnavailable, find_cgroup_support, try_out
from batchyard.server.admin import machine_checks
from batchyard.server.admin.doctor import findings
from batchyard.server.admin.finding import Finding
from batchyard.server.admin.terminal import EXIT_USAGE, Failure
from batchyard.server.engines import choice as engines_module
from batchyard.server.engines.choice import check_limits
from batchyard.server.settings.config import Settings, load
from batchyard.server.settings.paths import paths_of
from tests.server.running import Server, command
from tests.waiting import until


@pytest.fixture
def bare_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which no cgroup file system is mounted."""
    (tmp_path / "mountinfo").write_text("20 1 0:1 / / rw - ext4 /dev/sda rw\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    for module in (engines_module, machine_checks):
        monkeypatch.setattr(module, "find_cgroup_support", partial(find_cgroup_support, tmp_path))


def settings(tmp_path: Path, enforce: str) -> Settings:
    return load({"enforce": enforce, "data_dir": str(tmp_path / "data")}, {"HOME": str(tmp_path)})


def finding_of(chosen: Settings) -> Finding:
    paths = paths_of(chosen.data_dir, chosen.work_dir, {})
    (finding,) = [f for f in findings(chosen, paths) if f.check == "cgroups"]
    return finding


@pytest.mark.usefixtures("bare_host")
def test_a_host_without_cgroups_ends_the_start_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        check_limits(settings(tmp_path, "cgroup"))
    assert failure.value.code == EXIT_USAGE
    assert failure.value.sentence == (
        "--enforce cgroup is not possible here: no cgroup file system with the memory controller is mounted: "
        "mount one, or leave out --enforce cgroup: memory limits are then held by watching the jobs."
    )
    check_limits(settings(tmp_path, "none"))


@pytest.mark.usefixtures("bare_host")
@pytest.mark.parametrize(("enforce", "ok"), [("none", True), ("cgroup", False)])
def test_the_doctor_calls_it_a_fault_only_where_it_was_asked_for(tmp_path: Path, enforce: str, ok: bool) -> None:
    finding = finding_of(settings(tmp_path, enforce))
    assert finding.ok is ok
    assert "no cgroup file system" in finding.detail


def test_another_value_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "up", "--enforce", "quota")
    assert done.returncode == EXIT_USAGE
    assert "--enforce must be one of none, cgroup" in done.stderr


def test_a_job_over_its_memory_says_so(tmp_path: Path) -> None:
    try:
        try_out(find_cgroup_support())
    except CgroupsUnavailable as reason:
        pytest.skip(str(reason))
    finding = finding_of(settings(tmp_path, "cgroup"))
    assert finding.ok
    assert "held by them: memory" in finding.detail
    with Server(tmp_path, "--enforce", "cgroup") as server:
        job_id = server.submit(["sh", "-c", "cat /proc/self/cgroup; tail /dev/zero; exit $?"])
        until(lambda: server.status(job_id) == "FAILED")
        (job,) = server.call("DescribeJobs", {"jobs": [job_id]})["jobs"]
        assert job["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
        assert job["container"]["exitCode"] == 137
        record = tmp_path / "data"
        (yards,) = [json.loads(path.read_text()) for path in record.rglob("cgroups")]
    places = [Path(place) for yard in yards for _, place in yard["controllers"]]
    until(lambda: not any(place.exists() for place in places), describe="the last supervisor's tidying up")
