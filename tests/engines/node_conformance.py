"""What every engine that runs multi-node jobs promises beside the rest: nodes know each other, and a command gets from
one into another (`batchyard.engines.gang_directories`)."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

from batchyard.core.model.attempt_node import AttemptNode, task_id_of
from batchyard.core.model.gang import Gang
from batchyard.core.model.node_addresses import address_of, choose
from batchyard.core.model.records import TaskSpec
from batchyard.core.model.reports import Exited, Started
from batchyard.engines.base import Launch, Recovery
from tests.engines.conformance import Harness, final_of

# From anywhere, like those of the rest of the suite; the digits of the node stay 0.
numbers = count(SystemRandom().getrandbits(48))


class NodesHarness(Harness, Protocol):
    work_dir: Path

    def shell(self, script: str, **members: Any) -> TaskSpec: ...

    def words(self, task_id: str) -> list[str]:
        """The lines of its log."""


class NodeConformance:
    """`pool`: where the engine's nodes have their addresses."""

    pool: IPv4Network

    def launch(self, harness: NodesHarness, main: str, other: TaskSpec | None, **members: Any) -> tuple[str, Gang]:
        """Two nodes. The main one runs this script, where $OTHER is the address of the other node."""
        number = next(numbers)
        attempt_id = f"{number:032x}"
        first = choose(self.pool, 2, attempt_id, [])
        gang = Gang(0, (first, address_of(first, 1)), (2, 1))
        tasks = [harness.shell(main, **members)] + ([other] if other is not None else [])
        for node, task in enumerate(tasks):
            variables = (("OTHER", gang.addresses[1]), ("WHO", f"node {node}"))
            launch = Launch(AttemptNode(attempt_id, node), -number * 8 - node, task, variables, gang=gang)
            harness.engine.launch([launch])
        return attempt_id, gang

    def ended(self, harness: NodesHarness, attempt_id: str, node: int = 0) -> int | None:
        harness.until(lambda: final_of(harness, attempt_id, node))
        report = final_of(harness, attempt_id, node)
        assert isinstance(report, Exited), report
        return report.containers[0].exit_code

    def stop(self, harness: NodesHarness, attempt_id: str, *nodes: int) -> None:
        for node in nodes:
            harness.engine.stop(AttemptNode(attempt_id, node), 0)
            harness.until(lambda node=node: final_of(harness, attempt_id, node))

    def test_a_command_runs_in_the_other_node(self, harness: NodesHarness) -> None:
        script = "$BATCHYARD_RSH -x -l me $OTHER 'read a; echo $a from $WHO; echo oops >&2; exit 5' <<E\nhello\nE\n"
        attempt_id, _ = self.launch(harness, f"{script}echo code $?", harness.sleeps())
        assert self.ended(harness, attempt_id) == 0
        assert sorted(harness.words(attempt_id)) == ["code 5", "hello from node 1", "oops"]
        self.stop(harness, attempt_id, 1)

    def test_a_node_that_is_not_there_yet_is_waited_for(self, harness: NodesHarness) -> None:
        attempt_id, gang = self.launch(harness, "$BATCHYARD_RSH $OTHER 'echo $WHO'", None)
        harness.until(lambda: any(isinstance(one, Started) for one in harness.reports))
        launch = Launch(AttemptNode(attempt_id, 1), -1, harness.sleeps(), (("WHO", "late"),), gang=gang)
        harness.engine.launch([launch])
        assert self.ended(harness, attempt_id) == 0
        assert harness.words(attempt_id) == ["late"]
        self.stop(harness, attempt_id, 1)

    def test_the_end_of_a_node_ends_what_waits_for_it(self, harness: NodesHarness) -> None:
        script = "$BATCHYARD_RSH $OTHER 'echo here; exec sleep 1000'; echo code $?"
        attempt_id, gang = self.launch(harness, script, harness.sleeps())
        harness.until(lambda: harness.words(attempt_id) == ["here"])
        self.stop(harness, attempt_id, 1)
        assert self.ended(harness, attempt_id) == 0
        # Errors and output are two streams to Docker: it may read them in any order.
        said = f"batchyard-rsh: node 1 ({gang.addresses[1]}) has ended"
        assert sorted(harness.words(attempt_id)) == sorted(["here", said, "code 255"])

    def test_an_address_of_no_node_is_refused(self, harness: NodesHarness) -> None:
        attempt_id, _ = self.launch(harness, "$BATCHYARD_RSH 192.0.2.1 true; echo code $?", None)
        assert self.ended(harness, attempt_id) == 0
        said, code = sorted(harness.words(attempt_id))
        assert "192.0.2.1 is no node of this job" in said
        assert code == "code 255"

    def test_nodes_know_their_addresses_and_the_definition_is_stronger(self, harness: NodesHarness) -> None:
        script = "cat $BATCHYARD_HOSTFILE; echo $BATCHYARD_NODE_ADDRESSES $NODE_RANK $WORLD_SIZE $MASTER_ADDR"
        attempt_id, gang = self.launch(harness, script, None, environment=(("MASTER_ADDR", "mine"),))
        assert self.ended(harness, attempt_id) == 0
        one, other = gang.addresses
        assert harness.words(attempt_id) == [f"{one} slots=2", f"{other} slots=1", f"{one},{other} 0 2 mine"]

    def test_another_server_finds_nodes_and_agents_as_they_were(self, harness: NodesHarness) -> None:
        go = "until [ -e \"$BATCHYARD_NODES_DIR/go\" ]; do sleep 0.05; done; $BATCHYARD_RSH $OTHER 'echo $WHO'"
        attempt_id, gang = self.launch(harness, go, harness.sleeps())
        harness.until(lambda: len([one for one in harness.reports if isinstance(one, Started)]) == 2)
        harness.connect(2)
        tasks = harness.shell(go), harness.sleeps()
        launches = [Launch(AttemptNode(attempt_id, node), -9 - node, tasks[node], (), gang=gang) for node in (0, 1)]
        harness.engine.recover([Recovery(launch, may_launch=False, known_started=True) for launch in launches])
        (nodes,) = harness.work_dir.glob("*/*/nodes")
        (nodes / "go").touch()
        assert self.ended(harness, attempt_id) == 0
        assert harness.words(attempt_id) == ["node 1"]
        self.stop(harness, attempt_id, 1)

    def test_nothing_is_left_once_all_nodes_are_acknowledged(self, harness: NodesHarness) -> None:
        attempt_id, _ = self.launch(harness, "exit 0", harness.sleeps())
        assert self.ended(harness, attempt_id) == 0
        harness.engine.acknowledge([AttemptNode(attempt_id, 0)])
        assert list(harness.work_dir.glob("*/*/nodes"))
        self.stop(harness, attempt_id, 1)
        harness.engine.acknowledge([AttemptNode(attempt_id, 1)])
        harness.until(lambda: not list(harness.work_dir.glob(f".*/{attempt_id}")))
        harness.settle()

    def test_nodes_have_logs_of_their_own(self, harness: NodesHarness) -> None:
        attempt_id, _ = self.launch(harness, "echo main", harness.shell("echo other"))
        for node in (0, 1):
            assert self.ended(harness, attempt_id, node) == 0
        assert harness.words(attempt_id) == ["main"]
        assert harness.words(task_id_of(attempt_id, 1)) == ["other"]
