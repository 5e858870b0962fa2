"""One execution: where it is, what it waits for, what it did, and what can be done with it; and map runs."""

from __future__ import annotations

from typing import Any

import msgspec

from batchyard.analysis.critical_path import COLUMNS
from batchyard.analysis.execution_paths import path_rows
from batchyard.analysis.state_visits import RUNNING, Visit, details_of
from batchyard.console.execution_graph import drawing_of, lines_of, visited
from batchyard.console.pages.workflows import STATES, STATUSES
from batchyard.console.rendering import pretty, render
from batchyard.console.site import Answer, PageRequest, Site, redirect, url_of
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

PAGE_EVENTS = 50
PAGE_CHILDREN = 50
MAX_MAP_RUNS = 20
EXPLAINED = 5  # jobs that wait, whose reason is asked for


def arn_of(site: Site, request: PageRequest) -> str:
    """Returns the ARN of the execution that the path names."""
    parts = request.parts
    machine = parts["name"] + (f"/{parts['label']}" if "label" in parts else "")
    return site.context.account.arn(STATES, f"execution:{machine}:{parts['execution']}")


def path_of(arn: str) -> str:
    """Returns the path of an execution's page."""
    machine, name = arn.split(":")[6:8]
    return f"workflows/{machine}/executions/{name}"


def map_run_path(arn: str) -> str:
    """Returns the path of a map run's page: its ARN ends with `mapRun:MACHINE/LABEL:ID`."""
    machine, name = arn.split(":")[6:8]
    return f"workflows/{machine}/map-runs/{name}"


async def show(site: Site, request: PageRequest) -> Answer:
    arn = arn_of(site, request)
    execution = await site.call(request.visitor, STATES, "DescribeExecution", {"executionArn": arn})
    asked = {"executionArn": arn}
    machine = await site.call(request.visitor, STATES, "DescribeStateMachineForExecution", asked)
    visits = await site.answered(request.visitor, site.visits.read(arn, execution["startDate"]))
    now_ms = site.now_ms()
    map_runs = await _map_runs(site, request, arn)
    lines = lines_of(visits.all)
    url = url_of(request.path)
    is_running = execution["status"] == RUNNING
    rows = [] if is_running else await site.answered(request.visitor, path_rows(visits))
    return render(
        site,
        request,
        "execution.html",
        execution=execution,
        machine=machine,
        is_running=is_running,
        drawing=drawing_of(machine["definition"], map_runs, visited(visits.all, now_ms), url),
        lines=lines,
        visits_count=len(visits.all),
        waits=await _waits(site, request, [line.visit for line in lines if line.visit is not None]),
        map_runs=map_runs,
        path=rows,
        path_sums={column: sum(row.spent[column] for row in rows) for column in COLUMNS},
        columns=COLUMNS,
        input=_json_text(execution["input"]),
        output=_json_text(execution.get("output", "")),
        failure=_failure(execution),
        map_run_path=map_run_path,
        started_ms=round(execution["startDate"] * 1000),
        **await _history(site, request, arn),
    )


async def _map_runs(site: Site, request: PageRequest, arn: str) -> dict[str, Document]:
    """Returns the map runs of an execution by ARN, as DescribeMapRun has them."""
    asked = {"executionArn": arn, "maxResults": MAX_MAP_RUNS}
    listed = (await site.call(request.visitor, STATES, "ListMapRuns", asked))["mapRuns"]
    return {
        one["mapRunArn"]: await site.call(request.visitor, STATES, "DescribeMapRun", {"mapRunArn": one["mapRunArn"]})
        for one in listed
    }


async def _history(site: Site, request: PageRequest, arn: str) -> dict[str, Any]:
    """Returns one page of events; the newest first with `order=new`."""
    is_reverse = request.query.get("order") == "new"
    asked: Document = {"executionArn": arn, "maxResults": PAGE_EVENTS, "reverseOrder": is_reverse}
    if request.query.get("events"):
        asked["nextToken"] = request.query["events"]
    answer = await site.call(request.visitor, STATES, "GetExecutionHistory", asked)
    events = [(event, details_of(event)) for event in answer["events"]]
    return {"events": events, "is_reverse": is_reverse, "more_events": answer.get("nextToken", "")}


async def _waits(site: Site, request: PageRequest, visits: list[Visit]) -> dict[str, dict[str, str]]:
    """Returns status and reason of the jobs of visits, by id."""
    ids = list(dict.fromkeys(visit.job_id for visit in visits if visit.job_id))
    views = await site.context.read(site.context.reader.jobs, ids)
    asking = [view for view in views if not view.job.status.is_final and not view.job.attempt][:EXPLAINED]
    why = {view.job_id: await _why(site, request, view) for view in asking}
    return {
        view.job_id: {"status": view.job.status.value, "name": view.spec.name, "why": why.get(view.job_id, "")}
        for view in views
    }


async def _why(site: Site, request: PageRequest, view: JobView) -> str:
    try:
        found = await site.call(request.visitor, "yard", "ExplainJob", {"jobId": view.job_id})
    except Refused:  # it has ended meanwhile, and is no longer kept
        return ""
    return str(found["text"])


def _json_text(text: str) -> str:
    """Returns a JSON text indented; another text as it is."""
    try:
        return pretty(msgspec.json.decode(text)) if text else ""
    except msgspec.DecodeError:
        return text


def _failure(execution: Document) -> str:
    """Returns error and cause of an execution that failed; the cause of a job that failed in words."""
    cause = execution.get("cause", "")
    try:
        found = msgspec.json.decode(cause) if cause else None
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict) and "JobId" in found:
        code = (found.get("Container") or {}).get("ExitCode")
        cause = f"job {found['JobId']}: {found.get('StatusReason', '')}" + ("" if code is None else f", exit {code}")
    elif isinstance(found, dict) and found.get("Cause"):
        cause = f"{found.get('Error', '')}: {found['Cause']}"
    return ": ".join(text for text in (execution.get("error", ""), cause) if text)


# -- writes --


async def ask_stop(site: Site, request: PageRequest) -> Answer:
    return await _ask(
        site,
        request,
        "Stop",
        "It ends as ABORTED. Jobs that its states wait for are terminated, as on AWS; it can be redriven later.",
        asks_reason=True,
    )


async def stop(site: Site, request: PageRequest) -> Answer:
    reason = request.form.get("reason", "").strip() or "Stopped in the console"
    arn = arn_of(site, request)
    await site.call(request.visitor, STATES, "StopExecution", {"executionArn": arn, "cause": reason})
    return redirect(path_of(arn))


async def ask_redrive(site: Site, request: PageRequest) -> Answer:
    return await _ask(
        site,
        request,
        "Redrive",
        "It goes on with the states that did not succeed; what succeeded is not done again.",
        asks_reason=False,
    )


async def redrive(site: Site, request: PageRequest) -> Answer:
    arn = arn_of(site, request)
    await site.call(request.visitor, STATES, "RedriveExecution", {"executionArn": arn})
    return redirect(path_of(arn))


async def _ask(site: Site, request: PageRequest, verb: str, text: str, *, asks_reason: bool) -> Answer:
    arn = arn_of(site, request)
    execution = await site.call(request.visitor, STATES, "DescribeExecution", {"executionArn": arn})
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} {execution['name']}?",
        text=f"It is {execution['status']}. {text}",
        hidden=[],
        asks_reason=asks_reason,
        reason="Stopped in the console",
        button=f"{verb} it",
        back=url_of(path_of(arn)),
    )


# -- map runs --


async def show_map_run(site: Site, request: PageRequest) -> Answer:
    """A map run with its child executions, the newest first."""
    parts = request.parts
    arn = site.context.account.arn(STATES, f"mapRun:{parts['name']}/{parts['label']}:{parts['id']}")
    run = await site.call(request.visitor, STATES, "DescribeMapRun", {"mapRunArn": arn})
    asked: Document = {"mapRunArn": arn, "maxResults": PAGE_CHILDREN}
    status = request.query.get("state", "").upper()
    if status in STATUSES:
        asked["statusFilter"] = status
    if request.query.get("older"):
        asked["nextToken"] = request.query["older"]
    found = await site.call(request.visitor, STATES, "ListExecutions", asked)
    return render(
        site,
        request,
        "map_run.html",
        run=run,
        executions=found["executions"],
        older=found.get("nextToken", ""),
        state=status if status in STATUSES else "",
        statuses=STATUSES,
        parent=path_of(run["executionArn"]),
        parent_name=run["executionArn"].rpartition(":")[2],
        path_of=path_of,
    )
