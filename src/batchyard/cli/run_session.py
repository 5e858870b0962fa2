"""The work of `run` and `logs`: submits, writes lines, asks at Ctrl-C, and reports how the job ended."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import stat
import sys
from typing import Any, NamedTuple

from batchyard.cli.attempt_usage import OUT_OF_MEMORY, out_of_memory, usage
from batchyard.cli.client import YARD, Client, ClientError, Document
from batchyard.cli.follow import ArrayTail, Event, JobTail, NodesTail, Tail, Write, follow, is_array, outcome
from batchyard.cli.formats import SHORT_ID, progress, reason_of, run_time
from batchyard.cli.job_lookup import describe_one
from batchyard.cli.job_nodes import count_of, describe_nodes, failed_first, with_main
from batchyard.cli.options import INTERRUPTED
from batchyard.cli.streams import check_container, recorded_exit_code, sources
from batchyard.cli.terminal_output import StatusLine, ask, complain, flush, job_line, output_is_raw, print_json

STDIN = 0
PATIENCE_SECONDS = 60.0  # the service may be restarted while a job is followed: the job runs on
INTERRUPT_REASON = "Interrupted by the user"
NO_INPUT = "Standard input is not passed on: a job reads none. Give it a file, or arguments."
ESCAPED = "Control characters in the output are shown, not obeyed; --raw lets them through."
INDEX = re.compile("[:#]")  # comes before a child's or a node's
SHELL_CHARACTERS = frozenset(" \t\n|&;<>()$`*?\"'")


def run_job(client: Client, request: dict[str, Any], *, as_json: bool, raw: bool = False) -> int:
    """Submits and follows a job, and returns its exit code, of an array the highest, of nodes the main one's."""
    _check_text(request)
    hint = shell_hint(request)
    if hint:
        complain(hint)
    answer = client.call("RunJob", request, YARD)
    job_id = answer["jobId"]
    line = StatusLine(silent=as_json)
    if as_json:
        print_json(answer, line=True)
    line.note(f"Job {job_id} ({answer['jobName']}) submitted.")
    if input_waits():
        line.note(NO_INPUT)
    _be_patient(client, line)
    nodes = request.get("nodes", 0)
    tail: Tail = ArrayTail(client, job_id) if "arraySize" in request else JobTail(client, job_id)
    if nodes:
        tail = NodesTail(client, job_id, nodes)
    write = Writer(as_json=as_json, prefixes="arraySize" in request or nodes > 1, raw=raw)
    detail = _follow_or_ask(client, tail, job_id, write, line)
    write.explain(line)
    if detail is None:
        return INTERRUPTED
    if as_json:
        print_json(detail, line=True)
    line.note(_ending(client, detail))
    return max(tail.highest_exit_code, int(detail["status"] == "FAILED"))


class Output(NamedTuple):
    """The selected output of a job: of `attempt` (None: the last) or of `every` one, of `container` ("": each);
    `raw`: unescaped, on a terminal too."""

    attempt: int | None = None
    every: bool = False
    container: str = ""
    raw: bool = False


def print_logs(client: Client, job_id: str, wanted: Output, *, follows: bool, as_json: bool) -> int:
    """Prints the log of the selected attempts; with `follows` until the end of that attempt, else of the job."""
    detail = describe_one(client, job_id)
    nodes = describe_nodes(client, detail)
    check_container(detail, wanted.container, nodes)
    detail, array = with_main(detail, nodes), is_array(detail)
    prefixes = array or len(nodes) > 1
    line = StatusLine(silent=as_json)
    if wanted.attempt is not None:
        _check_attempt(detail, wanted.attempt)
    count = len(sources(detail))
    first = wanted.attempt or (1 if wanted.every else count or 1)
    tail = _tail(client, detail, first, wanted.attempt, wanted.container)
    if follows:
        _be_patient(client, line)
        write = Writer(as_json=as_json, prefixes=prefixes, raw=wanted.raw)
        follow(client, tail, job_id, write, line)
        write.explain(line)
        return 0
    if as_json:
        print_json([_document(event) for event in tail.advance(detail)])
    elif wanted.every and not array:
        _print_attempts(client, detail, wanted, line, prefixes=prefixes)
    else:
        _print_events(tail, detail, line, prefixes=prefixes, raw=wanted.raw)
        if not array and wanted.attempt is None and count > 1:
            line.note(f"This is attempt {count}. Those before it: batchyard logs --attempts {job_id[:SHORT_ID]}")
    if not array and not any(sources(detail)):
        reason = reason_of(detail)
        line.note(f"No output: the job is {detail['status']}" + (f" ({reason})." if reason else "."))
    return 0


def _tail(client: Client, detail: Document, first_attempt: int, last_attempt: int | None, container: str) -> Tail:
    job_id, nodes = detail["jobId"], count_of(detail)
    if is_array(detail):
        return ArrayTail(client, job_id, container)
    if nodes:
        return NodesTail(client, job_id, nodes, first_attempt, last_attempt, container)
    return JobTail(client, job_id, first_attempt, last_attempt, container)


def _print_attempts(client: Client, detail: Document, wanted: Output, line: StatusLine, *, prefixes: bool) -> None:
    """Prints each attempt's log below a line about it, which is not part of the log."""
    attempts, found = detail.get("attempts") or [], sources(detail)
    for number in range(1, len(found) + 1):
        ended = attempts[number - 1] if number <= len(attempts) else None
        flush()
        line.note(f"-- Attempt {number} " + (outcome(ended) if ended else "runs"))
        tail = _tail(client, detail, number, number, wanted.container)
        _print_events(tail, detail, line, prefixes=prefixes, raw=wanted.raw)


def _print_events(tail: Tail, detail: Document, line: StatusLine, *, prefixes: bool, raw: bool) -> None:
    write = Writer(as_json=False, prefixes=prefixes, raw=raw)
    for event in tail.advance(detail):
        write(event)
    flush()
    write.explain(line)


class Writer:
    """Writes an event as the line the job wrote, or as a JSON line. Before it stand the index of the child or node
    (`prefixes`), and the container's name where there are several. On a terminal the line's control characters are
    shown, unless it is to be `raw`."""

    def __init__(self, *, as_json: bool, prefixes: bool, raw: bool) -> None:
        self.has_escaped = False
        self._as_json = as_json
        self._prefixes = prefixes
        self._raw = output_is_raw(raw)

    def __call__(self, event: Event) -> None:
        if self._as_json:
            print_json(_document(event), line=True)
            return
        prefix = f"[{INDEX.split(event.job_id)[-1]}] " if self._prefixes else ""
        prefix += f"[{event.container}] " if event.container else ""
        self.has_escaped |= job_line(prefix, event.document["message"], raw=self._raw)

    def explain(self, line: StatusLine) -> None:
        """Explains the escapes when they appear for the first time."""
        if self.has_escaped:
            line.note(ESCAPED)


def _document(event: Event) -> Document:
    return {"jobId": event.job_id, "logStreamName": event.stream, **event.document}


def _be_patient(client: Client, line: StatusLine) -> None:
    client.patience_seconds = PATIENCE_SECONDS
    client.on_wait = line.show


def _follow_or_ask(client: Client, tail: Tail, job_id: str, write: Write, line: StatusLine) -> Document | None:
    """Follows the job and returns its final detail. Ctrl-C asks whether to terminate; None when the job is left
    running."""
    try:
        return follow(client, tail, job_id, write, line)
    except KeyboardInterrupt:
        line.clear()
    try:
        # Without a terminal no user can answer, and a job outlives its client.
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
    """Refuses arguments that are not UTF-8: they come as bytes, and JSON can't contain them."""
    texts = [*request.get("command", []), request["workingDirectory"]]
    texts += [text for pair in request.get("environment", []) for text in pair.values()]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = text.encode("utf-8", "backslashreplace").decode()
            raise ClientError(f"{shown!r} is not UTF-8, and a job's command and variables must be.") from None


def _ending(client: Client, detail: Document) -> str:
    took = run_time(detail, detail.get("stoppedAt") or 0)
    text = f"Job {detail['status']}" + (f" after {took}" if took else "")
    if is_array(detail):
        return f"{text}: {progress(detail['arrayProperties'])}"
    if detail["status"] == "SUCCEEDED":
        return text
    nodes = describe_nodes(client, detail)
    first, detail = failed_first(detail, nodes), with_main(detail, nodes)
    reason, code = reason_of(detail), recorded_exit_code(detail)
    parts = [f"exit code {code}" if code is not None else ""]
    if OUT_OF_MEMORY in reason:
        used = usage(client, detail)
        parts.append(out_of_memory(reason, used[-1] if used else [], detail))
    shown = ", ".join(part for part in parts if part)
    return f"{text}: {reason}" + (f" ({shown})" if shown else "") + (f". Died first: {first}" if first else "")


def shell_hint(request: dict[str, Any]) -> str:
    """Returns the remedy for a single word that only a shell would understand; else empty."""
    command = request.get("command") or []
    if len(command) != 1 or not SHELL_CHARACTERS & set(command[0]) or shutil.which(command[0]) is not None:
        return ""
    line = shlex.quote(command[0])
    return f"{line} is taken as the name of one program. For a line of the shell: batchyard run -- sh -c {line}"


def input_waits() -> bool:
    """Whether there is input, from a file or a pipe, that the job will not see."""
    try:
        mode = os.fstat(STDIN).st_mode
    except OSError:  # it is closed
        return False
    if stat.S_ISREG(mode):
        return os.lseek(STDIN, 0, os.SEEK_CUR) < os.fstat(STDIN).st_size
    if not stat.S_ISFIFO(mode):
        return False
    return bool(select.select([STDIN], [], [], 0)[0])
