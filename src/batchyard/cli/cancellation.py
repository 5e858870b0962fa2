"""`batchyard cancel` and `terminate`: one job, several, or all of a queue that are in a state."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from batchyard.cli.client import Client, ClientError, Document, ServiceError
from batchyard.cli.follow import is_array, is_final
from batchyard.cli.formats import SHORT_ID, counted
from batchyard.cli.job_lookup import UNFINISHED, describe, list_states, resolve_all
from batchyard.cli.terminal_output import StatusLine, ask, complain, print_json, say, shown

CANCEL, TERMINATE = "CancelJob", "TerminateJob"
VERBS = {CANCEL: "Cancel", TERMINATE: "Terminate"}
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
STOPPABLE = {CANCEL: WAITING, TERMINATE: UNFINISHED}
STEP = 100  # jobs described at once, and stopped between two progress reports


class Wanted(NamedTuple):
    """The selected jobs: `ids` as typed, or those of `queue` in `statuses`."""

    ids: Sequence[str] = ()
    queue: str = ""
    statuses: tuple[str, ...] = ()


class Stopped(NamedTuple):
    """The result for one job. `failure`: why it was not stopped."""

    detail: Document
    text: str
    failure: str = ""


def stop_jobs(client: Client, operation: str, wanted: Wanted, reason: str, *, agreed: bool, as_json: bool) -> int:
    """Stops the jobs and prints the outcome; returns 1 when one could not be stopped. For the jobs of a queue it
    asks for confirmation with their number first, unless `agreed`."""
    line = StatusLine(silent=as_json)
    if wanted.queue:
        ids = _of_queue(client, operation, wanted, line)
        if not ids or not (agreed or _agrees(operation, wanted, len(ids))):
            return _nothing(wanted, ids, as_json=as_json)
    else:
        ids = list(dict.fromkeys(resolve_all(client, wanted.ids)))
    results = []
    for one in _stop(client, operation, ids, reason):
        results.append(one)
        if len(ids) > 1:
            line.progress(f"{VERBS[operation]}: {len(results)} of {counted(len(ids), 'job')}")
    line.clear()
    _report(operation, results, many=bool(wanted.queue), single=len(wanted.ids) == 1, as_json=as_json)
    return int(any(one.failure for one in results))


def _of_queue(client: Client, operation: str, wanted: Wanted, line: StatusLine) -> list[str]:
    ids: list[str] = []
    for job in list_states(client, wanted.queue, wanted.statuses or STOPPABLE[operation]):
        ids.append(job["jobId"])
        if len(ids) % STEP == 0:
            line.progress(f"Looking: {counted(len(ids), 'job')}")
    line.clear()
    return list(dict.fromkeys(ids))


def _agrees(operation: str, wanted: Wanted, count: int) -> bool:
    states = f" in the state {' or '.join(wanted.statuses)}" if wanted.statuses else ""
    what = f"{VERBS[operation]} {counted(count, 'job')} of the queue {wanted.queue}{states}"
    if not sys.stdin.isatty():
        raise ClientError(f"{what}? Nobody can be asked here: say --yes if so.")
    return ask(f"{shown(what)}? [y/N] ")


def _nothing(wanted: Wanted, ids: list[str], *, as_json: bool) -> int:
    if as_json:
        print_json({"jobs": []})
    elif ids:
        say("Nothing was done.")
    else:
        say(shown(f"The queue {wanted.queue} has no such jobs."))
    return 1 if ids else 0


def _stop(client: Client, operation: str, ids: list[str], reason: str) -> Iterator[Stopped]:
    for start in range(0, len(ids), STEP):
        step = ids[start : start + STEP]
        found = {detail["jobId"]: detail for detail in describe(client, step)}
        refusals = {job_id: _stop_one(client, operation, job_id, found.get(job_id), reason) for job_id in step}
        after = {detail["jobId"]: detail for detail in describe(client, step)}
        for job_id in step:
            yield _outcome(operation, job_id, found.get(job_id), after.get(job_id), refusals[job_id])


def _stop_one(client: Client, operation: str, job_id: str, before: Document | None, reason: str) -> str:
    """Stops one job. Returns why it was not stopped; empty when it was, or had ended."""
    if before is None:
        return f"There is no job {job_id}: `batchyard jobs --all` lists those there are."
    if is_final(before):
        return ""
    if operation == CANCEL and before["status"] not in WAITING and not is_array(before):
        return (
            f"Job {job_id} is {before['status']}, and cancelling stops only jobs that wait. "
            f"Stop it with: batchyard terminate {_short(job_id)}"
        )
    try:
        client.call(operation, {"jobId": job_id, "reason": reason})
    except ServiceError as refusal:
        return str(refusal)
    return ""


def _outcome(operation: str, job_id: str, before: Document | None, after: Document | None, failure: str) -> Stopped:
    if failure or before is None or after is None:
        return Stopped(after or {"jobId": job_id}, "", failure or f"Job {job_id} is gone.")
    if is_final(before):
        return Stopped(after, f"Job {job_id} has ended already: {before['status']}.")
    verb = "cancelled" if operation == CANCEL else "terminated" if is_final(after) else "being terminated"
    return Stopped(after, f"Job {job_id} is {verb}.")


def _report(operation: str, results: list[Stopped], *, many: bool, single: bool, as_json: bool) -> None:
    """Prints a line for each job that was named; for a queue, a count."""
    failed = [one for one in results if one.failure]
    if as_json:
        details: list[Any] = [one.detail for one in results if not one.failure]
        if not single:
            print_json({"jobs": details})
        elif details:
            print_json(details[0])
    elif many:
        done = len(results) - len(failed)
        say(f"{counted(done, 'job')} {'cancelled' if operation == CANCEL else 'terminated'}.")
    else:
        for one in results:
            if not one.failure:
                say(shown(one.text))
    for one in failed:
        complain(one.failure)


def _short(job_id: str) -> str:
    """Shortens an id to `3f2b8c1e`, of a child to `3f2b8c1e:7`."""
    parent, colon, child = job_id.partition(":")
    return parent[:SHORT_ID] + colon + child
