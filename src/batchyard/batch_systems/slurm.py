"""Slurm: sbatch, squeue, scancel and sinfo (tried with 22.05)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from batchyard.batch_systems.batch_system import (
    BatchSystem,
    JobState,
    NodeKind,
    PilotJob,
    PilotRequest,
    UnreadableAnswer,
    pilot_job,
    walltime_text,
)
from batchyard.batch_systems.command_template import CommandTemplate

JOB_ID = re.compile(r"[1-9][0-9]*")
CLUSTER_LINE = "CLUSTER: "  # squeue and sinfo begin with it where they were asked about clusters by name
NO_LIMIT = ("infinite", "unlimited", "n/a", "not_set", "invalid", "partition_limit", "")
# State -> what it is to a pilot (squeue(1), JOB STATE CODES). Jobs in REQUEUED and SPECIAL_EXIT wait to run again,
# those in CONFIGURING for their nodes to boot.
STATES = {
    **dict.fromkeys(
        ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
        JobState.QUEUED,
    ),
    **dict.fromkeys(
        ("RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"), JobState.RUNNING
    ),
    **dict.fromkeys(
        ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"), JobState.ENDED
    ),
    **dict.fromkeys(("PREEMPTED", "REVOKED", "TIMEOUT"), JobState.ENDED),
}
# gpu:2, gpu:a100:4, gpu:a100:4(S:0-1), gpu:a100_1g.5gb:7
GPUS = re.compile(r"gpu(?::(?P<type>[^:,()]*[^:,()0-9][^:,()]*))?(?::(?P<count>[0-9]+))?(?:\([^)]*\))?")
SECONDS_PER_DAY = 86400
OUTSIDE_OF_PARENTHESES = re.compile(r",(?![^()]*\))")


def _values(request: PilotRequest) -> Mapping[str, str | int]:
    kind = f"gpu:{request.gpu_type}" if request.gpu_type else "gpu"
    return {
        "name": request.name,
        "partition": request.partition,
        "account": request.account,
        "qos": request.qos,
        "constraints": request.constraints,
        "exclusive": "exclusive" if request.is_whole_node else "",
        "vcpus": request.vcpus,
        "memory_mib": request.memory_mib,
        "gres": f"{kind}:{request.gpus}" if request.gpus else "",
        "walltime": walltime_text(request.walltime_seconds),
        "notice_seconds": request.notice_seconds,
    }


def read_job_id(answer: str) -> str:
    """Reads what `sbatch --parsable` prints: the id, and after a semicolon the cluster where several are known. A site
    may print something of its own before it."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    job_id = lines[-1].partition(";")[0] if lines else ""
    if not JOB_ID.fullmatch(job_id):
        raise UnreadableAnswer(f"sbatch printed no job id: {answer[-200:]!r}")
    return job_id


def read_state(word: str) -> JobState:
    """Reads a state: `CANCELLED by 1000` is CANCELLED, and a `+` stands for what did not fit."""
    name = (word.split() or [""])[0].rstrip("+")
    return STATES.get(name.upper(), JobState.UNKNOWN)


def read_jobs(answer: str) -> list[PilotJob]:
    """Reads lines `id|state|reason|name`. Jobs of others, elements of arrays and components of heterogeneous jobs are
    no pilots. A reason may contain bars; ids and names of pilots don't."""
    jobs = []
    for line in answer.splitlines():
        job_id, _, rest = line.strip().partition("|")
        word, _, rest = rest.partition("|")
        reason, _, name = rest.rpartition("|")
        if not JOB_ID.fullmatch(job_id):
            continue
        detail = word if reason in ("", "None", word) else f"{word} ({reason})"
        job = pilot_job(job_id, name, read_state(word), detail)
        if job is not None:
            jobs.append(job)
    return jobs


def read_nodes(answer: str) -> tuple[NodeKind, ...]:
    """Reads lines `name|CPUs|MiB|gres|time limit` of a partition into its kinds of nodes, the largest first. Amounts
    may end with a `+`, where Slurm has put several nodes together."""
    seen: dict[str, NodeKind] = {}
    for line in answer.splitlines():
        if not line.strip() or line.startswith(CLUSTER_LINE):
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 5 or not all(field.rstrip("+").isdecimal() for field in fields[1:3]):
            raise UnreadableAnswer(f"sinfo printed a line that is no node: {line[:200]!r}")
        name, cpus, memory, gres, limit = fields
        gpus, gpu_type = read_gpus(gres)
        seen[name] = NodeKind(int(cpus.rstrip("+")), int(memory.rstrip("+")), gpus, gpu_type, 0, read_time_limit(limit))
    counts = Counter(seen.values())
    kinds = (
        NodeKind(kind.vcpus, kind.memory_mib, kind.gpus, kind.gpu_type, count, kind.max_walltime_seconds)
        for kind, count in counts.items()
    )
    return tuple(sorted(kinds, reverse=True))


def read_gpus(gres: str) -> tuple[int, str]:
    """Returns how many GPUs a node's GRES has, and their type where all have one."""
    total, types = 0, set()
    for part in OUTSIDE_OF_PARENTHESES.split(gres):
        found = GPUS.fullmatch(part.strip())
        if found is not None:
            count = int(found["count"] or 1)
            total += count
            types.add(found["type"] or "" if count else "")
    return total, types.pop() if len(types) == 1 else ""


def read_time_limit(text: str) -> int:
    """Returns seconds of `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes` or
    `days-hours:minutes:seconds`; 0 for no limit."""
    if text.lower() in NO_LIMIT:
        return 0
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3 or (dash and not days.isdecimal()):
        raise UnreadableAnswer(f"sinfo printed a time limit that is none: {text!r}")
    numbers = [int(part) for part in parts]
    if dash or len(numbers) == 3:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    else:
        hours, minutes, seconds = 0, *(*numbers, 0)[:2]
    return int(days or 0) * SECONDS_PER_DAY + hours * 3600 + minutes * 60 + seconds


SLURM = BatchSystem(
    name="slurm",
    submit=CommandTemplate(
        "sbatch",
        (
            ("--parsable",),
            ("--no-requeue",),  # a pilot is one instance: a second run of it would be refused
            ("--export=NIL",),  # the job gets nothing of the service's environment
            ("--job-name={name}",),
            ("--partition={partition}",),
            ("--account={account}",),
            ("--qos={qos}",),
            ("--constraint={constraints}",),
            ("--nodes=1",),
            ("--ntasks=1",),
            ("--{exclusive}",),
            ("--cpus-per-task={vcpus}",),
            ("--mem={memory_mib}M",),
            ("--gres={gres}",),
            ("--time={walltime}",),
            ("--signal=B:TERM@{notice_seconds}",),
            ("--chdir=/",),
            ("--output=/dev/null",),
        ),
    ),
    list_jobs=CommandTemplate("squeue", (("--noheader",), ("--me",), ("--states=all",), ("--format=%i|%T|%r|%j",))),
    cancel=CommandTemplate("scancel", (("{job_id}",),)),
    values=_values,
    read_job_id=read_job_id,
    read_jobs=read_jobs,
    nodes=CommandTemplate(
        "sinfo", (("--noheader",), ("--Node",), ("--partition={partition}",), ("--format=%N|%c|%m|%G|%l",))
    ),
    read_nodes=read_nodes,
)
