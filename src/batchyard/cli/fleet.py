"""`batchyard envs`, `queues`, `instances`, `interrupt`: capacity, the jobs that wait for it, and what the scaler
does next."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from typing import NamedTuple

from batchyard.cli.client import YARD, Client, Document
from batchyard.cli.formats import clock, counted, duration, now_ms, table
from batchyard.cli.job_lookup import short_ids
from batchyard.cli.tables import PATIENCE_SECONDS, WATCH_SECONDS
from batchyard.cli.terminal_output import print_json, redraw, say, shown, tell

Column = tuple[str, Callable[[Document], str]]

MAX_NAME_CHARACTERS = 24  # longer names would push the numbers off the terminal
NOTE_INDENT = "    "
MIB_PER_GIB = 1024
NONE = "-"


class View(NamedTuple):
    """One kind of rows: the operation that lists them, the member that contains them, and the member that names a
    row; the columns, those that a narrow terminal leaves out, in that order; and the lines below a row."""

    operation: str
    member: str
    key: str
    columns: tuple[Column, ...]
    dispensable: tuple[str, ...]
    notes: Callable[[Document], list[str]]
    nothing: str


def show(client: Client, view: View, *, as_json: bool) -> int:
    rows = client.call(view.operation, {}, YARD)[view.member]
    if as_json:
        print_json(rows)
    elif rows:
        say(text_of(view, rows))
    else:
        tell(view.nothing)
    return 0


def watch(client: Client, view: View, *, as_json: bool) -> int:
    """Shows the rows until Ctrl-C, the normal way to end it. JSON: a line for each row that is new or has changed."""
    client.patience_seconds = PATIENCE_SECONDS
    seen: dict[str, Document] = {}
    try:
        while True:
            rows = client.call(view.operation, {}, YARD)[view.member]
            if as_json:
                for row in rows:
                    if seen.get(row[view.key]) != row:
                        print_json(row, line=True)
                seen = {row[view.key]: row for row in rows}
            else:
                text = f"{clock(now_ms())}  {shown(client.url)}\n\n{text_of(view, rows) if rows else view.nothing}"
                redraw(text)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def interrupt(client: Client, instance_id: str, notice_seconds: float | None, *, as_json: bool) -> int:
    request: Document = {"instanceId": instance_id}
    if notice_seconds is not None:
        request["noticeSeconds"] = notice_seconds
    row = client.call("InterruptInstance", request, YARD)["instance"]
    if as_json:
        print_json(row)
        return 0
    jobs = row.get("jobsCount", 0)
    left = max(0, row.get("endsAt", 0) - now_ms())
    told = f"its {jobs} job{'' if jobs == 1 else 's'} got the notice" if jobs else "no job runs on it"
    say(shown(f"{row['instanceId']} of {row['computeEnvironment']} goes in {duration(left)}; {told}."))
    return 0


def text_of(view: View, rows: list[Document]) -> str:
    """Returns the table, each row with its notes below it."""
    columns = _columns_for(view, rows)
    lines = table(
        [heading for heading, _ in columns], [[cell(row) for _, cell in columns] for row in rows]
    ).splitlines()
    out = lines[:1]
    for line, row in zip(lines[1:], rows, strict=True):
        out.append(line)
        for note in view.notes(row):
            out += _wrapped(shown(note))
    return "\n".join(out)


def _columns_for(view: View, rows: list[Document]) -> list[Column]:
    """Returns all columns with any content; on a terminal those that fit."""
    columns = [c for c in view.columns if c[0] != GPUS or any(row["capacity"]["gpus"] for row in rows)]
    if not sys.stdout.isatty():
        return columns
    for heading in view.dispensable:
        widths = [max(len(name), *(len(cell(row)) for row in rows)) for name, cell in columns]
        if sum(widths) + 2 * (len(widths) - 1) <= shutil.get_terminal_size().columns:
            break
        columns = [column for column in columns if column[0] != heading]
    return columns


def _wrapped(note: str) -> list[str]:
    if not sys.stdout.isatty():
        return [NOTE_INDENT + note]
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.wrap(note, width, initial_indent=NOTE_INDENT, subsequent_indent=NOTE_INDENT, break_on_hyphens=False)


# -- cells --

GPUS = "FREE GPU"


def _name(row: Document, member: str) -> str:
    name = shown(row[member])
    return name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 3] + "..."


def _free(row: Document, kind: str) -> str:
    """Formats free and total amounts as `1.5/2`."""
    if not any(row["capacity"].values()):
        return NONE
    return f"{_amount(row['free'], kind)}/{_amount(row['capacity'], kind)}"


def _amount(amounts: Document, kind: str) -> str:
    if kind == "memory":
        return f"{amounts[kind] / MIB_PER_GIB:.1f}"
    return f"{amounts[kind]:g}"


def _asked(row: Document, kind: str) -> str:
    demand = row["demand"]
    return _amount(demand["resources"], kind) if demand["jobs"] else NONE


def _bounds(row: Document) -> str:
    if "minvCpus" in row:
        return f"{row['minvCpus']}/{row['desiredvCpus']}/{row['maxvCpus']}"
    return f"{NONE}/{NONE}/{row['maxvCpus']}" if "maxvCpus" in row else NONE


def _count(row: Document) -> str:
    return str(sum(row["instances"].values())) if "minvCpus" in row or row["instances"] else NONE


def _market(row: Document) -> str:
    return {"ON_DEMAND": "on-demand", "SPOT": "spot"}.get(row.get("market", ""), NONE)


def _next(row: Document) -> list[str]:
    step = row["next"]
    if not step.get("text"):
        return []
    if not step.get("at"):
        return [step["text"]]
    return [f"{step['text'].removesuffix('.')} ({duration(max(0, step['at'] - now_ms()))} left)."]


def _gpu_models(row: Document) -> list[str]:
    """Returns a note with the models of its GPUs, where they are known."""
    counts: dict[tuple[str, int], int] = {}
    for gpu in row.get("gpus", []):
        if "model" in gpu:
            key = gpu["model"], gpu.get("memory", 0)
            counts[key] = counts.get(key, 0) + 1
    models = [
        f"{count} × {model}" + (f" ({memory / MIB_PER_GIB:.1f} GiB)" if memory else "")
        for (model, memory), count in counts.items()
    ]
    return [f"GPUs: {', '.join(models)}."] if models else []


def _state_notes(row: Document) -> list[str]:
    """Returns notes about a state that is not normal; a normal one needs none."""
    notes = [f"It is {row['state']}: nothing new is placed there."] if row["state"] != "ENABLED" else []
    _, reason, text = row["statusReason"].partition(" - ")
    if row["status"] != "VALID":
        notes.append(f"{row['status']}: {row['statusReason']}")
    elif reason:  # healthy, but
        notes.append(text)
    return notes


def _queue_notes(row: Document) -> list[str]:
    notes = [f"It is {row['state']}: it takes no new jobs."] if row["state"] != "ENABLED" else []
    if row["status"] != "VALID":
        notes.append(f"{row['status']}: {row['statusReason']}")
    if row.get("blockedJob"):
        job = row["blockedJob"]
        short = short_ids([job.partition(":")[0]])[job.partition(":")[0]] + job[len(job.partition(":")[0]) :]
        why = row.get("blockedReason") or f"batchyard explain {short} says what for."
        notes.append(f"{short} is next, and has waited for {duration(now_ms() - row['blockedSince'])}: {why}")
    if row["jobsNeverRunnable"]:
        notes.append(
            f"{counted(row['jobsNeverRunnable'], 'job')} can never run here: batchyard jobs shows which, and why."
        )
    return notes


ENVIRONMENTS = View(
    "ListEnvironments",
    "environments",
    "computeEnvironment",
    (
        ("NAME", lambda row: _name(row, "computeEnvironment")),
        ("KIND", lambda row: row["kind"]),
        ("FREE CPU", lambda row: _free(row, "vcpus")),
        ("FREE GIB", lambda row: _free(row, "memory")),
        (GPUS, lambda row: _free(row, "gpus")),
        ("JOBS", lambda row: str(row["jobsRunning"])),
        ("WAITING", lambda row: str(row["demand"]["jobs"])),
        ("CPU ASKED", lambda row: _asked(row, "vcpus")),
        ("INSTANCES", _count),
        ("MIN/NOW/MAX", _bounds),
        ("STRATEGY", lambda row: row.get("allocationStrategy", NONE)),
    ),
    ("STRATEGY", "CPU ASKED", "MIN/NOW/MAX", GPUS),
    lambda row: [*_state_notes(row), *_next(row)],
    "No compute environments.",
)

QUEUES = View(
    "ListQueues",
    "queues",
    "jobQueue",
    (
        ("NAME", lambda row: _name(row, "jobQueue")),
        ("PRIORITY", lambda row: str(row["priority"])),
        ("JOBS", lambda row: str(row["jobsRunning"])),
        ("WAITING", lambda row: str(row["demand"]["jobs"])),
        ("CPU ASKED", lambda row: _asked(row, "vcpus")),
        ("GIB ASKED", lambda row: _asked(row, "memory")),
        ("POLICY", lambda row: row.get("schedulingPolicy", NONE)),
        ("ENVIRONMENTS", lambda row: shown(", ".join(row["computeEnvironments"]))),
    ),
    ("POLICY", "GIB ASKED"),
    _queue_notes,
    "No job queues.",
)

INSTANCES = View(
    "ListInstances",
    "instances",
    "instanceId",
    (
        ("INSTANCE", lambda row: row["instanceId"]),
        ("TYPE", lambda row: shown(row.get("hostName") or row.get("instanceType", NONE))),
        ("ENVIRONMENT", lambda row: _name(row, "computeEnvironment")),
        ("MARKET", _market),
        ("FREE CPU", lambda row: _free(row, "vcpus")),
        ("FREE GIB", lambda row: _free(row, "memory")),
        (GPUS, lambda row: _free(row, "gpus")),
        ("JOBS", lambda row: str(row["jobsCount"])),
        ("AGE", lambda row: duration(now_ms() - row["launchedAt"]) if row.get("launchedAt") else NONE),
        ("STATE", lambda row: row["state"]),
    ),
    ("MARKET", "AGE", "FREE GIB", GPUS),
    lambda row: [*_gpu_models(row), *_next(row)],
    "No instances: this machine has not been set up yet.",
)
