"""The nodes of a multi-node job: which there are, in which of the job's attempts each ran, and which failed first."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.cli.attempt_usage import usage_rows
from batchyard.cli.client import Client, Document
from batchyard.cli.formats import duration, exit_code_of, reason_of
from batchyard.cli.job_lookup import describe
from batchyard.cli.streams import containers, recorded_exit_code

# AWS's statusReasons of jobs all of whose nodes are stopped. Each node has a reason of its own: a lost one the host's.
TIMED_OUT = "Job attempt duration exceeded timeout"
HOST_LOST = "Host EC2"
NODE_HEADINGS = ("NODE", "STATUS", "EXIT", "ADDRESS", "INSTANCE", "REASON")
STATUS_COLUMN = 1


def count_of(detail: Document) -> int:
    """Returns the number of a multi-node job's nodes; 0 for other jobs, and for a node."""
    return int((detail.get("nodeProperties") or {}).get("numNodes") or 0)


def node_ids(job_id: str, count: int) -> list[str]:
    return [f"{job_id}#{node}" for node in range(count)]


def describe_nodes(client: Client, detail: Document) -> list[Document]:
    """Returns the details of a job's nodes, by index; none for jobs that have no nodes."""
    return describe(client, node_ids(detail["jobId"], count_of(detail)))


def is_main(node: Document) -> bool:
    return bool((node.get("nodeDetails") or {}).get("isMainNode"))


def with_main(detail: Document, nodes: Sequence[Document]) -> Document:
    """Returns a job with what its main node ran, and how that ended: the job's own detail leaves it out."""
    main = next((node for node in nodes if is_main(node)), {})
    return detail | {member: main[member] for member in ("container", "ecsProperties") if member in main}


def attempt_numbers(detail: Document, node: Document) -> list[int]:
    """Returns the number of the job's attempt for each attempt of a node, the live one's last: nodes other than the
    main one are not launched in each. An attempt begins when all nodes of the one before it have ended."""
    ended = detail.get("attempts") or []
    begun = [(number, one["startedAt"]) for number, one in enumerate(ended, start=1) if one.get("startedAt")]
    if detail["status"] == "RUNNING" and detail.get("startedAt"):
        begun.append((len(ended) + 1, detail["startedAt"]))
    times = [one.get("startedAt") or one.get("stoppedAt") or 0 for one in node.get("attempts") or []]
    if node["status"] == "RUNNING":
        times.append(node.get("startedAt") or 0)
    if is_main(node):
        return list(range(1, len(times) + 1))
    return [max((number for number, started in begun if started <= at), default=1) for at in times]


def failed_first(detail: Document, nodes: Sequence[Document]) -> str:
    """Returns which node failed before the main node did, and why: the first one of the job's last attempt. Empty where
    none did, and where all nodes were stopped together."""
    main = next((node for node in nodes if is_main(node)), None)
    if main is None or main["status"] != "FAILED" or not main.get("startedAt") or not main.get("stoppedAt"):
        return ""
    why = detail.get("statusReason") or ""
    if detail.get("isTerminated") or TIMED_OUT in (why, main.get("statusReason")):
        return ""
    failed = [
        (node["stoppedAt"], node["nodeDetails"]["nodeIndex"], node)
        for node in nodes
        if node["status"] == "FAILED"
        and main["startedAt"] < node.get("stoppedAt", 0) < main["stoppedAt"]
        and (not why.startswith(HOST_LOST) or node.get("statusReason") == why)
    ]
    if not failed:
        return ""
    stopped, index, node = min(failed, key=lambda one: one[:2])
    code, reason = recorded_exit_code(node), reason_of(node)
    parts = (f"exit code {code}" if code is not None else "", reason)
    before = duration(main["stoppedAt"] - stopped)
    return f"node {index}, {before} before the main node: " + ", ".join(part for part in parts if part)


def instances_of(client: Client, detail: Document) -> list[str]:
    """Returns the instance of each node, by index, in the job's latest attempt; empty where there was none yet."""
    return list(usage_rows(client, detail["jobId"]).get("instanceIds") or [])


def node_rows(nodes: Sequence[Document], instances: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the rows of NODE_HEADINGS."""
    return [
        (
            f"{index} main" if is_main(node) else str(index),
            node["status"],
            _exit_codes(node),
            address_of(node),
            instances[index] if index < len(instances) else "",
            reason_of(node),
        )
        for index, node in enumerate(nodes)
    ]


def address_of(node: Document) -> str:
    """Returns the address of a node; empty before it has one. A pod's containers do not have it, its `container`
    has."""
    for container in [*containers(node), node.get("container") or {}]:
        for interface in container.get("networkInterfaces") or []:
            return str(interface.get("privateIpv4Address") or "")
    return ""


def _exit_codes(node: Document) -> str:
    several = containers(node)
    if not several:
        return exit_code_of(node.get("container"))
    return ", ".join(f"{one['name']} {exit_code_of(one)}" for one in several if one.get("exitCode") is not None)
