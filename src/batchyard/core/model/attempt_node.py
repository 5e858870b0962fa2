"""The address of what an engine runs: one node of one attempt, on an instance."""

from __future__ import annotations

from msgspec import Struct

from batchyard.core.model.names import NODE_BITS

NODE_HEX = NODE_BITS // 4
MAX_NODES = 1000  # NodeProperties.numNodes
_NODE_ZERO = "0" * NODE_HEX


class AttemptNode(Struct, frozen=True, gc=False):
    """One node of an attempt: it is launched, stopped, acknowledged and recovered by this. A plain job's attempt has
    node 0 alone.

    `attempt_id`: 32 hex digits (names.task_id). `instance_id`: where the node is placed; empty when that is not known
    any more: the attempt is no longer its job's current one."""

    attempt_id: str
    node: int = 0
    instance_id: str = ""

    @property
    def task_id(self) -> str:
        """Names the node's ECS task, log file and container, and the node on the way to a supervisor: the attempt's id
        for node 0."""
        return task_id_of(self.attempt_id, self.node) if self.node else self.attempt_id


def task_id_of(attempt_id: str, node: int) -> str:
    """The first digits of an attempt's id are 0; the node's number stands there."""
    if not node:
        return attempt_id
    assert 0 < node < MAX_NODES, f"node {node} of attempt {attempt_id} is no node"
    assert attempt_id.startswith(_NODE_ZERO), f"the attempt id {attempt_id} leaves no digits to its nodes"
    return f"{node:0{NODE_HEX}x}{attempt_id[NODE_HEX:]}"


def parse_node(task_id: str) -> tuple[str, int]:
    """(attempt id, node) of a node's task id."""
    if task_id.startswith(_NODE_ZERO):
        return task_id, 0
    return _NODE_ZERO + task_id[NODE_HEX:], int(task_id[:NODE_HEX], 16)
