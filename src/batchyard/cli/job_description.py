"""`batchyard describe`: formats everything about one job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchyard.cli.attempt_usage import cpu_time, gpu_use, memory, memory_limit, out_of_memory
from batchyard.cli.client import Document
from batchyard.cli.follow import is_array, is_final
from batchyard.cli.formats import (
    clock,
    command_line,
    duration,
    exit_code_of,
    name_of,
    now_ms,
    pairs,
    progress,
    reason_of,
    run_time,
    table,
)
from batchyard.cli.job_nodes import (
    NODE_HEADINGS,
    STATUS_COLUMN,
    address_of,
    count_of,
    failed_first,
    is_main,
    node_rows,
    with_main,
)
from batchyard.cli.streams import attempt_containers, attempts, containers, recorded_exit_code, sources
from batchyard.cli.terminal_output import coloured, shown

LABEL_WIDTH = 12
ATTEMPT_HEADINGS = ("#", "STARTED", "RAN", "EXIT", "MEMORY", "CPU", "REASON")
STATUS_LINE = 1  # of the head
Pairs = Iterator[tuple[str, str]]


def sheet(
    detail: Document,
    used: Sequence[list[Document]] = (),
    nodes: Sequence[Document] = (),
    instances: Sequence[str] = (),
    *,
    every: bool = False,
) -> str:
    """Returns the text of a JobDetail and of what each of its attempts used. `every`: each attempt by itself. `nodes`,
    `instances`: of a multi-node job, by index."""
    now = now_ms()
    work, first = _work(detail), failed_first(detail, nodes)
    detail = with_main(detail, nodes)
    parts = (_head(detail, used, first), _times(detail, now), work, _rules(detail))
    lines = [line for part in parts for line in pairs(part, LABEL_WIDTH)]
    lines[STATUS_LINE] = lines[STATUS_LINE].replace(detail["status"], coloured(detail["status"], detail["status"]), 1)
    if nodes:
        rows = node_rows(nodes, instances)
        lines += ["", "Nodes", table(NODE_HEADINGS, rows, status_column=STATUS_COLUMN, indent="  ")]
    ran = [
        (number, attempt, used[number - 1] if number <= len(used) else [])
        for number, attempt in enumerate(attempts(detail), start=1)
    ]
    if every:
        for number, attempt, one in ran:
            lines += pairs(_attempt(detail, number, attempt, one, now), LABEL_WIDTH)
    elif ran:
        rows = [_attempt_row(number, attempt, one, now) for number, attempt, one in ran]
        lines += ["", "Attempts", table(ATTEMPT_HEADINGS, rows, indent="  ")]
        lines += [f"  GPU, attempt {number}: {use}" for number, _, one in ran if (use := gpu_use(one))]
    lines += pairs(_log(detail), LABEL_WIDTH)
    return "\n".join(lines)


def _head(detail: Document, used: Sequence[list[Document]], first: str) -> Iterator[tuple[str, str]]:
    """Returns what the job is and how it stands. `first`: the node that failed before the main node."""
    yield "Job", f"{detail['jobName']}  {detail['jobId']}"
    status = detail["status"]
    reason = reason_of(detail)
    numbers = out_of_memory(reason, used[-1] if used else [], detail)
    reason += f" ({numbers})" if numbers else ""
    code = recorded_exit_code(detail)
    yield "Status", status + (f", exit code {code}" if code is not None else "") + (f": {reason}" if reason else "")
    if first:
        yield "Died first", first
    if is_array(detail):
        yield "Children", progress(detail["arrayProperties"])
    if "nodeDetails" in detail:
        yield "Node", f"{detail['nodeDetails']['nodeIndex']}" + (", the main node" if is_main(detail) else "")
        if address := address_of(detail):
            yield "Address", address
    yield "Queue", name_of(detail["jobQueue"])
    yield "Definition", name_of(detail["jobDefinition"])


def _times(detail: Document, now: int) -> Iterator[tuple[str, str]]:
    created, started, stopped = (detail.get(member) or 0 for member in ("createdAt", "startedAt", "stoppedAt"))
    yield "Created", f"{clock(created)}  ({duration(now - created)} ago)"
    if started:
        yield "Started", f"{clock(started)}  (after {duration(started - created)})"
    if stopped:
        yield "Stopped", clock(stopped) + (f"  (ran {run_time(detail, now)})" if started else "")
    elif started:
        yield "Runs for", run_time(detail, now)


def _work(detail: Document) -> Iterator[tuple[str, str]]:
    for each in (detail.get("nodeProperties") or {}).get("nodeRangeProperties") or []:
        yield "", ""
        yield "On nodes", each["targetNodes"]
        yield from _work(each)
    for container in containers(detail):
        yield "", ""
        yield "Container", _named(container)
        yield from _what_runs(container)
    yield from _what_runs(detail.get("container") or {})


def _named(container: Document) -> str:
    """Returns a container's name, what it waits for, and how it ended."""
    waits = [f"{entry['containerName']} {entry['condition']}" for entry in container.get("dependsOn") or []]
    code = exit_code_of(container)
    parts = [
        container["name"],
        "" if container.get("essential", True) else "not essential",
        f"after {', '.join(waits)}" if waits else "",
        f"exit code {code}" if code else "",
        container.get("reason") or "",
    ]
    return shown("; ".join(part for part in parts if part))


def _what_runs(container: Document) -> Iterator[tuple[str, str]]:
    if container.get("command"):
        yield "Command", command_line(container["command"])
    if container.get("image"):
        yield "Image", shown(container["image"])
    resources = _resources(container)
    if resources:
        yield "Resources", resources
    for number, pair in enumerate(container.get("environment") or []):
        label = "" if number else "Environment"
        yield label, shown(f"{pair.get('name', '')}={pair.get('value', '')}")


def _resources(container: Document) -> str:
    asked = {entry["type"]: entry["value"] for entry in container.get("resourceRequirements") or []}
    vcpus = asked.get("VCPU") or container.get("vcpus")
    limit = memory_limit(container)
    parts = [
        f"{vcpus} vCPU" if vcpus else "",
        f"{limit} MiB" if limit else "",
        f"{asked['GPU']} GPU" if "GPU" in asked else "",
    ]
    return ", ".join(part for part in parts if part)


def _rules(detail: Document) -> Iterator[tuple[str, str]]:
    for number, other in enumerate(detail.get("dependsOn") or []):
        yield "" if number else "Depends on", " ".join(part for part in (other.get("jobId"), other.get("type")) if part)
    most = (detail.get("retryStrategy") or {}).get("attempts") or 1
    if most > 1:
        yield "Retries", f"up to {most} attempts"
    seconds = (detail.get("timeout") or {}).get("attemptDurationSeconds")
    if seconds:
        yield "Timeout", f"{duration(seconds * 1000)} for each attempt"
    for number, (key, value) in enumerate(sorted((detail.get("tags") or {}).items())):
        yield "" if number else "Tags", shown(f"{key}={value}")


def _attempt_row(number: int, attempt: Document, used: list[Document], now: int) -> tuple[str, ...]:
    started = attempt.get("startedAt")
    return (
        str(number),
        clock(started) if started else "never",
        run_time(attempt, now),
        _exit_codes(attempt),
        memory(used),
        cpu_time(used),
        reason_of(attempt),
    )


def _attempt(detail: Document, number: int, attempt: Document, used: list[Document], now: int) -> Pairs:
    """Returns the lines of one attempt by itself."""
    started, stopped = attempt.get("startedAt"), attempt.get("stoppedAt")
    reason = reason_of(attempt)
    yield "", ""
    yield "Attempt", f"{number} of {len(detail['attempts'])}"
    yield "Started", clock(started) if started else "never"
    if stopped:
        yield "Stopped", clock(stopped) + (f"  (ran {run_time(attempt, now)})" if started else "")
    for label, value in (
        ("Exit code", _exit_codes(attempt)),
        ("Reason", reason),
        ("Peak memory", memory(used)),
        ("CPU time", cpu_time(used)),
        ("GPU", gpu_use(used)),
        ("Killed", out_of_memory(reason, used, detail)),
        ("On", name_of((attempt.get("container") or {}).get("containerInstanceArn") or "")),
    ):
        if value:
            yield label, value
    for one in attempt_containers(attempt) or [attempt.get("container") or {}]:
        if one.get("logStreamName"):
            yield "Log stream", one["logStreamName"]
    yield "Read it", f"batchyard logs --attempt {number} {detail['jobId']}"


def _exit_codes(attempt: Document) -> str:
    several = attempt_containers(attempt)
    if not several:
        return exit_code_of(attempt.get("container"))
    return ", ".join(f"{one['name']} {exit_code_of(one)}" for one in several if one.get("exitCode") is not None)


def _log(detail: Document) -> Iterator[tuple[str, str]]:
    found = next((one for one in reversed(sources(detail)) if one), []) if not count_of(detail) else []
    if found or count_of(detail):
        yield "", ""
    groups = list(dict.fromkeys(one.group for one in found))
    for number, group in enumerate(groups):
        yield "" if number else "Log group", group
    for number, one in enumerate(found):
        yield "" if number else "Log stream", one.stream
    if found or is_array(detail) or count_of(detail):
        yield "Read it", f"batchyard logs {detail['jobId']}" + ("" if is_final(detail) else " --follow")
