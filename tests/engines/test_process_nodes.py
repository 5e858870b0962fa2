"""Nodes of multi-node jobs as processes of this host."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchyard.core.model.attempt_node import AttemptNode
from batchyard.core.model.gang import Gang
from batchyard.core.model.node_addresses import LOOPBACK_POOL, address_of, choose
from batchyard.core.model.reports import NotStarted
from batchyard.engines.base import Launch
from batchyard.engines.process_nodes import ProcessNodes, outgoing_interface
from tests.engines.conformance import final_of
from tests.engines.gpu_conformance import GpuNodeConformance
from tests.engines.node_conformance import NodeConformance, numbers
from tests.engines.process_harness import ProcessHarness
from tests.kill.yard import is_dead


@pytest.fixture
def harness(process: ProcessHarness) -> ProcessHarness:
    return process


class TestProcessNodes(NodeConformance, GpuNodeConformance):
    pool = LOOPBACK_POOL

    def launch_in(self, harness: ProcessHarness, directory: Path, command: tuple[str, ...], path: str = "/bin") -> str:
        """Launches a main node alone, which runs this command in this directory."""
        attempt_id = f"{next(numbers):032x}"
        first = choose(self.pool, 2, attempt_id, [])
        gang = Gang(0, (first, address_of(first, 1)), (1, 1))
        task = replace(harness.shell(""), command=command, working_directory=str(directory))
        harness.engine.launch([Launch(AttemptNode(attempt_id), -1, task, (("PATH", path),), gang=gang)])
        harness.until(lambda: final_of(harness, attempt_id))
        return attempt_id

    def test_nodes_share_the_directory_in_which_they_start(self, harness: ProcessHarness) -> None:
        script = "pwd; echo data > file; $BATCHYARD_RSH $OTHER 'cat file; pwd'"
        attempt_id, _ = self.launch(harness, script, harness.sleeps())
        assert self.ended(harness, attempt_id) == 0
        own, data, others = harness.words(attempt_id)
        assert (own, data) == (others, "data")
        self.stop(harness, attempt_id, 1)

    def test_a_missing_program_is_not_started_and_the_other_hears_of_it(self, harness: ProcessHarness) -> None:
        attempt_id, _ = self.launch(harness, "$BATCHYARD_RSH $OTHER true; echo code $?", harness.missing())
        assert self.ended(harness, attempt_id) == 0
        report = final_of(harness, attempt_id, 1)
        assert isinstance(report, NotStarted)
        assert report.exit_code == 127
        assert "is not in PATH" in report.reason
        assert "code 255" in harness.words(attempt_id)

    def test_a_relative_program_is_in_the_directory_where_it_runs(
        self, harness: ProcessHarness, tmp_path: Path
    ) -> None:
        (tmp_path / "solve").write_text("#!/bin/sh\nexit 5\n")
        (tmp_path / "solve").chmod(0o700)
        for command, path in ((("./solve",), ""), (("solve",), ":/bin")):
            attempt_id = self.launch_in(harness, tmp_path, command, path)
            assert self.ended(harness, attempt_id) == 5

    def test_a_program_that_may_not_run_is_named_with_the_remedy(self, harness: ProcessHarness, tmp_path: Path) -> None:
        (tmp_path / "solve").write_text("#!/bin/sh\nexit 5\n")
        attempt_id = self.launch_in(harness, tmp_path, ("./solve",))
        report = final_of(harness, attempt_id, 0)
        assert isinstance(report, NotStarted)
        assert "program ./solve: Permission denied; it is not an executable file" in report.reason

    def test_what_the_agent_runs_ends_with_its_node(self, harness: ProcessHarness, tmp_path: Path) -> None:
        script = f"$BATCHYARD_RSH $OTHER 'echo $$ > {tmp_path}/pid; exec sleep 1000'"
        attempt_id, _ = self.launch(harness, script, harness.sleeps())
        harness.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
        harness.until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"))
        self.stop(harness, attempt_id, 1)
        assert is_dead(pid), "it was killed before the end of its node was reported"
        self.ended(harness, attempt_id)

    def test_files_of_attempts_that_failed_long_ago_are_removed_while_the_server_runs(
        self, harness: ProcessHarness
    ) -> None:
        attempt_id, _ = self.launch(harness, "exit 1", None)
        assert self.ended(harness, attempt_id) == 1
        harness.engine.acknowledge([AttemptNode(attempt_id)])
        failed = harness.work_dir / ".gangs" / attempt_id
        harness.run(harness.engine._nodes.close())  # its removals are done
        assert [one.name for one in failed.iterdir()] == ["scratch"]
        os.utime(failed, (0, 0))
        attempt_id, _ = self.launch(harness, "exit 0", None)
        assert self.ended(harness, attempt_id) == 0
        harness.engine.acknowledge([AttemptNode(attempt_id)])
        harness.until(lambda: not failed.exists())


@pytest.mark.parametrize(("kept_seconds", "left"), [(None, {"live", "new"}), (1000, {"live"})])
def test_files_of_failed_attempts_are_kept_as_long_as_those_of_other_jobs(
    tmp_path: Path, kept_seconds: float | None, left: set[str]
) -> None:
    now = time.time()
    for name, days in (("live", 30), ("new", 6), ("old", 8)):
        (tmp_path / ".gangs" / name).mkdir(parents=True)
        os.utime(tmp_path / ".gangs" / name, (now, now - days * 24 * 3600))

    async def sweep() -> None:
        nodes = ProcessNodes(tmp_path, allow_root=False, kept_seconds=kept_seconds)
        nodes.start(asyncio.get_running_loop())
        nodes.sweep({"live"})
        await nodes.close()

    asyncio.run(sweep())
    assert {one.name for one in (tmp_path / ".gangs").iterdir()} == left


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
enp3s0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
"""


def test_the_interface_where_daemons_meet_has_the_default_route(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    assert outgoing_interface(routes) == ""
    routes.write_text(ROUTES)
    assert outgoing_interface(routes) == "enp3s0"
    routes.write_text("".join(ROUTES.splitlines(keepends=True)[:2]))
    assert outgoing_interface(routes) == ""
