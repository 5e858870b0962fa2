"""The Standard Workload Format 2.2: reads traces of the Parallel Workloads Archive, and writes a workload as one.

One job a line, 18 fields, -1 for what is not known; lines that begin with `;` are comments, some of them labels.
Files in use break the rules in harmless ways: short lines, unsorted ones, fractions, unknown labels. None of it is an
error."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from batchyard.planning.workload import MS, PlannedJob, TraceError, Workload

FIELDS = 18
KIB_PER_MIB = 1024
DEFAULT_MIB = 512  # memory of a processor where the trace has none: small, so that vCPUs decide
PARTIAL = (2, 3, 4)  # statuses of lines that are parts of a job: its summary is another line
CANCELLED = 5
DAY_SECONDS = 86_400.0
MAX_SECONDS = 10 * 365 * DAY_SECONDS  # more is a broken field
# Places of fields in a line.
SUBMIT, RUN, ALLOCATED, USED_KIB, REQUESTED, LIMIT, ASKED_KIB, STATUS = 1, 3, 4, 6, 7, 8, 9, 10
GROUP, EXECUTABLE, QUEUE = 12, 13, 14
REASONS = {
    "malformed": "are no numbers",
    "partial": "are parts of jobs whose summaries are there",
    "unsized": "have no number of processors",
    "unrun": "have no run time (cancelled before they started, mostly)",
}


def read_swf(lines: Iterable[str], name: str) -> Workload:
    """Reads a trace. `name`: for the report and errors."""
    labels: dict[str, str] = {}
    queues: dict[int, str] = {}
    dropped: Counter[str] = Counter()
    rows: list[tuple[float, PlannedJob]] = []
    overuses = True
    for line in lines:
        text = line.strip()
        if text.startswith(";"):
            _take_label(text, labels, queues)
            overuses = labels.get("AllowOveruse", "").lower() != "no"
        elif text:
            found = _job(text, queues, overuses=overuses)
            if isinstance(found, str):
                dropped[found] += 1
            else:
                rows.append(found)
    if not rows:
        raise TraceError(
            f"{name} has no job that ran. Each line needs {FIELDS} numbers: see the Standard Workload Format."
        )
    rows.sort(key=lambda row: row[0])
    first = rows[0][0]
    jobs = [_moved(job, round((at - first) * MS)) for at, job in rows]
    notes = tuple(f"{count:,} lines left out: they {REASONS[reason]}." for reason, count in sorted(dropped.items()))
    return Workload(jobs, f"{labels.get('Computer') or name}, {len(jobs):,} jobs", notes, _label(labels, "MaxProcs"))


def _take_label(text: str, labels: dict[str, str], queues: dict[int, str]) -> None:
    label, colon, value = text.lstrip("; \t").partition(":")
    if not colon:
        return
    label, value = label.strip(), value.strip()
    number, _, rest = value.partition(" ")
    if label == "Queue" and number.isdigit() and rest:
        queues[int(number)] = rest.split()[0]
    else:
        labels.setdefault(label, value)


def _label(labels: dict[str, str], name: str) -> int:
    """Returns a number; 0 where it is not known."""
    digits = labels.get(name, "").split(" ")[0]
    return int(digits) if digits.isdigit() else 0


def _numbers(text: str) -> list[float] | None:
    try:
        found = [float(part) for part in text.split()[:FIELDS]]
    except ValueError:
        return None
    if not all(math.isfinite(value) and abs(value) <= MAX_SECONDS * MS for value in found):
        return None
    return found + [-1.0] * (FIELDS - len(found))


def _job(text: str, queues: dict[int, str], *, overuses: bool) -> tuple[float, PlannedJob] | str:
    """Returns the submission in seconds and the job, or the reason why the line counts for nothing."""
    fields = _numbers(text)
    if fields is None:
        return "malformed"
    if int(fields[STATUS]) in PARTIAL:
        return "partial"
    processors = int(fields[REQUESTED] if fields[REQUESTED] > 0 else fields[ALLOCATED])
    if processors <= 0:
        return "unsized"
    run = fields[RUN]
    if run < 0 or (run == 0 and int(fields[STATUS]) == CANCELLED):
        return "unrun"
    kib = fields[ASKED_KIB] if fields[ASKED_KIB] > 0 else fields[USED_KIB]
    mib = math.ceil(kib * processors / KIB_PER_MIB) if kib > 0 else DEFAULT_MIB * processors
    limit = fields[LIMIT]
    if limit > 0 and overuses:
        limit = max(limit, run)  # it ran on beyond its limit there
    number = int(fields[QUEUE])
    return fields[SUBMIT], PlannedJob(
        submit_ms=0,
        runs_ms=(max(1, round(run * MS)),),
        milli_vcpus=processors * 1000,
        memory_mib=max(4, mib),
        queue=queues.get(number, f"queue-{number}") if number >= 0 else "default",
        share=f"group{int(fields[GROUP])}" if fields[GROUP] >= 0 else "",
        limit_ms=max(60 * MS, math.ceil(limit) * MS) if limit > 0 else 0,
        definition=f"executable-{int(fields[EXECUTABLE])}" if fields[EXECUTABLE] >= 0 else "",
    )


def _moved(job: PlannedJob, submit_ms: int) -> PlannedJob:
    members = {name: getattr(job, name) for name in job.__struct_fields__}
    return PlannedJob(**members | {"submit_ms": submit_ms})


def write_swf(workload: Workload, unix_start_s: int) -> Iterator[str]:
    """Yields the lines of a workload as a trace; children of an array are jobs of their own. SWF has no GPUs, arrays or
    priorities: they are left out."""
    queues = {name: number for number, name in enumerate(sorted({job.queue for job in workload.jobs}), 1)}
    shares = {name: number for number, name in enumerate(sorted({job.share for job in workload.jobs}), 1)}
    kinds = {name: number for number, name in enumerate(sorted({job.definition for job in workload.jobs}), 1)}
    yield "; Version: 2.2"
    yield f"; Computer: {workload.source}"
    yield f"; MaxJobs: {workload.children}"
    yield f"; UnixStartTime: {unix_start_s}"
    if workload.vcpus:
        yield f"; MaxProcs: {workload.vcpus}"
    for name, number in queues.items():
        yield f"; Queue: {number} {name}"
    number = 0
    for job in workload.jobs:
        processors = max(1, math.ceil(job.milli_vcpus / 1000)) * job.nodes
        kib = job.memory_mib * job.nodes * KIB_PER_MIB // processors
        for run_ms in job.runs_ms:
            number += 1
            limit = job.limit_ms // MS if job.limit_ms else -1
            place = f"{shares[job.share]} {kinds[job.definition]} {queues[job.queue]}"
            asked = f"{processors} -1 -1 {processors} {limit} {kib}"
            yield f"{number} {job.submit_ms / MS:.3f} -1 {run_ms / MS:.3f} {asked} 1 -1 {place} -1 -1 -1"
