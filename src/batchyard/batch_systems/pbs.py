"""OpenPBS and PBS Professional: qsub, qstat and qdel. Written by their manual and recorded outputs; not tried with a
PBS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from batchyard.batch_systems.batch_system import (
    BatchSystem,
    JobState,
    PilotJob,
    PilotRequest,
    UnreadableAnswer,
    pilot_job,
    walltime_text,
)
from batchyard.batch_systems.command_template import CommandTemplate

JOB_ID = re.compile(r"[0-9]+(\.[A-Za-z0-9][A-Za-z0-9._-]*)?")
JOB_LINE = "Job Id: "
# job_state (qstat(1B)): held, queued, moved, in transit and waiting jobs have not run; U and S are suspended ones, B an
# array that has begun; X are ended subjobs.
STATES = {
    **dict.fromkeys("HQMTW", JobState.QUEUED),
    **dict.fromkeys("RESUB", JobState.RUNNING),
    **dict.fromkeys("FX", JobState.ENDED),
}


def _values(request: PilotRequest) -> Mapping[str, str | int]:
    select = f"1:ncpus={request.vcpus}"
    if request.memory_mib:
        select += f":mem={request.memory_mib}mb"
    if request.gpus:
        select += f":ngpus={request.gpus}"
    if request.constraints:
        select += f":{request.constraints}"
    return {
        "name": request.name,
        "partition": request.partition,
        "account": request.account,
        "select": select,
        "place": "excl" if request.is_whole_node else "",
        "walltime": walltime_text(request.walltime_seconds),
    }


def read_job_id(answer: str) -> str:
    """Reads what qsub prints: the number and the server's name, `1234.server`."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines or not JOB_ID.fullmatch(lines[-1]):
        raise UnreadableAnswer(f"qsub printed no job id: {answer[-200:]!r}")
    return lines[-1]


def read_jobs(answer: str) -> list[PilotJob]:
    """Reads `qstat -f`: jobs begin with `Job Id: `, attributes are `    name = value`, and lines that begin with a tab
    continue the value before."""
    jobs = []
    for job_id, attributes in _records(answer):
        word = attributes.get("job_state", "")
        state = STATES.get(word, JobState.UNKNOWN)
        comment = attributes.get("comment", "")
        detail = f"{word} ({comment})" if comment else word
        job = pilot_job(job_id, attributes.get("Job_Name", ""), state, detail)
        if job is not None and JOB_ID.fullmatch(job_id):
            jobs.append(job)
    return jobs


def _records(answer: str) -> Iterator[tuple[str, dict[str, str]]]:
    job_id, attributes, last = "", dict[str, str](), ""
    for line in answer.splitlines():
        if line.startswith(JOB_LINE):
            if job_id:
                yield job_id, attributes
            job_id, attributes, last = line.removeprefix(JOB_LINE).strip(), {}, ""
        elif line.startswith("\t") and last:
            attributes[last] += line[1:]
        elif line.startswith("    ") and " = " in line:
            last, _, value = line.strip().partition(" = ")
            attributes[last] = value
    if job_id:
        yield job_id, attributes


PBS = BatchSystem(
    name="pbs",
    submit=CommandTemplate(
        "qsub",
        (
            ("-N", "{name}"),
            ("-q", "{partition}"),
            ("-A", "{account}"),
            ("-l", "select={select}"),
            ("-l", "place={place}"),
            ("-l", "walltime={walltime}"),
            ("-r", "n"),  # a pilot is one instance: a second run of it would be refused
            ("-m", "n"),
            ("-j", "oe"),
            ("-o", "/dev/null"),
        ),
    ),
    list_jobs=CommandTemplate("qstat", (("-x",), ("-f",))),
    cancel=CommandTemplate("qdel", (("{job_id}",),)),
    values=_values,
    read_job_id=read_job_id,
    read_jobs=read_jobs,
)
