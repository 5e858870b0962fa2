"""What the attempts of a job used: peak memory and CPU time, as the service's engines measured them."""

from __future__ import annotations

from batchyard.cli.client import YARD, Client, Document, ServiceError
from batchyard.cli.formats import duration

OUT_OF_MEMORY = "OutOfMemoryError"  # how the reason of a container killed for its memory begins (AWS's text)


def usage(client: Client, detail: Document) -> list[list[Document]]:
    """Returns what each container of each ended attempt used, the first one's with what the attempt used of its GPUs;
    empty for a service that does not report it."""
    if not detail.get("attempts"):
        return []
    return [_with_gpu(row) for row in usage_rows(client, detail["jobId"]).get("attempts", [])]


def usage_rows(client: Client, job_id: str) -> Document:
    """Returns the answer of ListAttempts; empty for a service that has no such operation."""
    try:
        return client.call("ListAttempts", {"jobId": job_id}, YARD)
    except ServiceError:  # an older service, or AWS itself
        return {}


def _with_gpu(row: Document) -> list[Document]:
    containers: list[Document] = row["containers"]
    if "gpu" not in row or not containers:
        return containers
    return [containers[0] | {"gpu": row["gpu"]}, *containers[1:]]


def gpu_use(used: list[Document]) -> str:
    """Formats `1234 MiB, 87 % busy`; empty where it was not measured."""
    found = next((one["gpu"] for one in used if "gpu" in one), None)
    return f"{found['peakMemory']} MiB, {found['utilization']} % busy" if found else ""


def memory(used: list[Document]) -> str:
    """Formats memory as `131 MiB`; of several containers, that of each."""
    return ", ".join(f"{_name(one)}{one['peakMemory']} MiB" for one in used if one.get("peakMemory"))


def cpu_time(used: list[Document]) -> str:
    return ", ".join(f"{_name(one)}{duration(one['cpuMilliseconds'])}" for one in used if one.get("cpuMilliseconds"))


def out_of_memory(reason: str, used: list[Document], detail: Document) -> str:
    """Returns what the reason of a memory kill leaves out: `its peak was 131 MiB, and its limit is 128 MiB`."""
    if OUT_OF_MEMORY not in reason:
        return ""
    limit = memory_limit(detail.get("container") or {})
    peak = memory(used)
    parts = [f"its peak was {peak}" if peak else "", f"its limit is {limit} MiB" if limit else ""]
    return ", and ".join(part for part in parts if part)


def memory_limit(container: Document) -> str:
    """Returns the limit in MiB; empty where there is none."""
    asked = {entry["type"]: entry["value"] for entry in container.get("resourceRequirements") or []}
    return str(asked.get("MEMORY") or container.get("memory") or "")


def _name(one: Document) -> str:
    return f"{one['name']} " if one.get("name") else ""
