"""What `run`, `logs`, `cancel` and `terminate` do: submit, write lines, ask at Ctrl-C, and say how it ended."""

from __future__ import annotations

import sys
from typing import Any

from batchyard.cli.client import Client, ClientError
from batchyard.cli.follow import ArrayTail, Event, JobTail, Tail, Write, follow, is_array, is_final
from batchyard.cli.listing import Document, describe_one, resolve
from batchyard.cli.options import INTERRUPTED
from batchyard.cli.present import SHORT_ID, progress, reason_of, run_time
from batchyard.cli.printing import StatusLine, ask, job_line, output_is_raw, print_json, say, shown
from batchyard.cli.streams import check_container, exit_code, sources

PATIENCE_SECONDS = 60.0  # the service may be restarted while a job is followed: the job runs on
INTERRUPT_REASON = "Interrupted by the user"


def run_job(client: Client, request: dict[str, Any], *, as_json: bool, raw: bool = False) -> int:
    """Submits, follows, and returns the exit code: the job's, an array's highest."""
    _check_text(request)
    answer = client.call("RunJob", request)
    job_id = answer["jobId"]
    line = StatusLine(silent=as_json)
    if as_json:
        print_json(answer, line=True)
    line.note(f"Job {job_id} ({answer['jobName']}) submitted.")
    _be_patient(client, line)
    array = "arraySize" in request
    tail: Tail = ArrayTail(client, job_id) if array else JobTail(client, job_id)
    detail = _follow_or_ask(client, tail, job_id, writer(as_json=as_json, prefixes=array, raw=raw), line)
    if detail is None:
        return INTERRUPTED
    if as_json:
        print_json(detail, line=True)
    line.note(_ending(detail))
    return max(tail.highest_exit_code, int(detail["status"] == "FAILED"))


def print_logs(
    client: Client,
    job_id: str,
    *,
    follows: bool,
    attempt: int | None,
    as_json: bool,
    container: str = "",
    raw: bool = False,
) -> int:
    """The log of the last attempt, or of `attempt`; with `follows` until the end of that attempt, else of the job. Of
    several containers that of each, or of `container`."""
    detail = describe_one(client, job_id)
    check_container(detail, container)
    array = is_array(detail)
    line = StatusLine(silent=as_json)
    if attempt is not None:
        _check_attempt(detail, attempt)
    first = attempt or len(sources(detail)) or 1
    tail: Tail = ArrayTail(client, job_id, container) if array else JobTail(client, job_id, first, attempt, container)
    if follows:
        _be_patient(client, line)
        follow(client, tail, job_id, writer(as_json=as_json, prefixes=array, raw=raw), line)
        return 0
    if as_json:
        print_json([_document(event) for event in tail.advance(detail)])
    else:
        write = writer(as_json=False, prefixes=array, raw=raw)
        for event in tail.advance(detail):
            write(event)
    if not array and not any(sources(detail)):
        reason = reason_of(detail)
        line.note(f"No output: the job is {detail['status']}" + (f" ({reason})." if reason else "."))
    return 0


def stop_job(client: Client, operation: str, text: str, reason: str, *, as_json: bool) -> int:
    """CancelJob or TerminateJob, and what came of it."""
    job_id = resolve(client, text)
    before = describe_one(client, job_id)
    if is_final(before):
        return _stopped(before, f"Job {job_id} has ended already: {before['status']}.", as_json=as_json)
    if operation == "CancelJob" and before["status"] in ("STARTING", "RUNNING") and not is_array(before):
        raise ClientError(
            f"Job {job_id} is {before['status']}, and cancelling stops only jobs that wait. "
            f"Stop it with: batchyard terminate {job_id[:SHORT_ID]}"
        )
    client.call(operation, {"jobId": job_id, "reason": reason})
    after = describe_one(client, job_id)
    verb = "cancelled" if operation == "CancelJob" else "terminated" if is_final(after) else "being terminated"
    return _stopped(after, f"Job {job_id} is {verb}.", as_json=as_json)


def writer(*, as_json: bool, prefixes: bool, raw: bool) -> Write:
    """Writes an event as the line the job wrote, with the child's index for arrays and the container's name where there
    are several, or as a JSON line. On a terminal the line's control characters are shown, unless it is to be `raw`."""
    raw = output_is_raw(raw)

    def write(event: Event) -> None:
        if as_json:
            print_json(_document(event), line=True)
            return
        prefix = f"[{event.job_id.rpartition(':')[2]}] " if prefixes else ""
        prefix += f"[{event.container}] " if event.container else ""
        job_line(prefix, event.document["message"], raw=raw)

    return write


def _document(event: Event) -> Document:
    return {"jobId": event.job_id, "logStreamName": event.stream, **event.document}


def _stopped(detail: Document, text: str, *, as_json: bool) -> int:
    if as_json:
        print_json(detail)
    else:
        say(shown(text))
    return 0


def _be_patient(client: Client, line: StatusLine) -> None:
    client.patience_seconds = PATIENCE_SECONDS
    client.on_wait = line.show


def _follow_or_ask(client: Client, tail: Tail, job_id: str, write: Write, line: StatusLine) -> Document | None:
    """The final detail. Ctrl-C asks whether to terminate; None when the job is left running."""
    try:
        return follow(client, tail, job_id, write, line)
    except KeyboardInterrupt:
        line.clear()
    try:
        # Without a terminal nobody can answer, and a job outlives its client.
        if sys.stdin.isatty() and ask(f"\nTerminate job {job_id}? [y/N] "):
            client.call("TerminateJob", {"jobId": job_id, "reason": INTERRUPT_REASON})
            return follow(client, tail, job_id, write, line)
    except KeyboardInterrupt:
        line.clear()
    short = job_id[:SHORT_ID]
    line.note(f"Job {job_id} runs on. See it: batchyard logs --follow {short}   Stop it: batchyard terminate {short}")
    return None


def _check_attempt(detail: Document, attempt: int) -> None:
    if is_array(detail):
        raise ClientError("An array's children have attempts, the array has none: give a child's id, like JOB:0.")
    count = len(sources(detail))
    if attempt > count:
        tried = f"it has {count}" if count else "it has none yet"
        raise ClientError(f"Job {detail['jobId']} has no attempt {attempt}: {tried}.")


def _check_text(request: dict[str, Any]) -> None:
    """Arguments come as bytes: those that are no UTF-8 cannot travel in JSON."""
    texts = [*request.get("command", []), request["workingDirectory"]]
    texts += [text for pair in request.get("environment", []) for text in pair.values()]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text.encode("utf-8", "backslashreplace").decode()
            raise ClientError(f"{shown!r} is not UTF-8, and a job's command and variables must be.") from None


def _ending(detail: Document) -> str:
    took = run_time(detail, detail.get("stoppedAt") or 0)
    text = f"Job {detail['status']}" + (f" after {took}" if took else "")
    if is_array(detail):
        return f"{text}: {progress(detail['arrayProperties'])}"
    if detail["status"] == "SUCCEEDED":
        return text
    code = exit_code(detail)
    return f"{text}: {reason_of(detail)}" + (f" (exit code {code})" if code is not None else "")
