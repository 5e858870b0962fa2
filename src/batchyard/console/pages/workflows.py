"""State machines: what there is, their executions, definitions, versions and aliases, and the form that starts one."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from batchyard.console.execution_graph import Visited, drawing_of
from batchyard.console.rendering import render
from batchyard.console.site import Answer, PageRequest, Site, redirect
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

STATES = "states"
PAGE_MACHINES, PAGE_EXECUTIONS = 50, 50
MAX_LISTED = 100  # versions and aliases
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
EXPRESS = "EXPRESS"


class MachineRow(Struct, frozen=True):
    """A state machine, and the newest of its executions; empty: it has none."""

    machine: Document
    last: Document


async def show(site: Site, request: PageRequest) -> Answer:
    asked: Document = {"maxResults": PAGE_MACHINES}
    if request.query.get("next"):
        asked["nextToken"] = request.query["next"]
    answer = await site.call(request.visitor, STATES, "ListStateMachines", asked)
    rows = []
    for machine in answer["stateMachines"]:
        newest = await _executions(site, request, machine, {"maxResults": 1})
        rows.append(MachineRow(machine, next(iter(newest["executions"]), {})))
    return render(site, request, "workflows.html", rows=rows, following=answer.get("nextToken", ""))


async def _executions(site: Site, request: PageRequest, machine: Document, asked: Document) -> Document:
    if machine["type"] == EXPRESS:  # its executions are not kept
        return {"executions": []}
    return await site.call(
        request.visitor, STATES, "ListExecutions", {"stateMachineArn": machine["stateMachineArn"]} | asked
    )


def machine_arn(site: Site, name: str) -> str:
    return site.context.account.arn(STATES, f"stateMachine:{name}")


async def show_one(site: Site, request: PageRequest) -> Answer:
    """A state machine; `version`: the definition of that one is shown."""
    arn = machine_arn(site, request.parts["name"])
    version = request.query.get("version", "")
    machine = await site.call(request.visitor, STATES, "DescribeStateMachine", {"stateMachineArn": arn})
    shown = machine
    if version:
        versioned = {"stateMachineArn": f"{arn}:{version}"}
        shown = await site.call(request.visitor, STATES, "DescribeStateMachine", versioned)
    asked: Document = {"maxResults": PAGE_EXECUTIONS}
    status = request.query.get("state", "").upper()
    if status in STATUSES:
        asked["statusFilter"] = status
    if request.query.get("older"):
        asked["nextToken"] = request.query["older"]
    found = await _executions(site, request, machine, asked)
    return render(
        site,
        request,
        "state_machine.html",
        machine=machine,
        shown=shown,
        version=version,
        executions=found["executions"],
        older=found.get("nextToken", ""),
        state=status if status in STATUSES else "",
        statuses=STATUSES,
        drawing=drawing_of(shown["definition"], {}, Visited({}, 0)),
        **await _labels(site, request, arn),
    )


async def _labels(site: Site, request: PageRequest, arn: str) -> dict[str, Any]:
    """Returns the versions and aliases of a state machine, the newest first."""
    asked = {"stateMachineArn": arn, "maxResults": MAX_LISTED}
    versions = await site.call(request.visitor, STATES, "ListStateMachineVersions", asked)
    listed = await site.call(request.visitor, STATES, "ListStateMachineAliases", asked)
    aliases = [
        await site.call(request.visitor, STATES, "DescribeStateMachineAlias", {"stateMachineAliasArn": one})
        for one in (alias["stateMachineAliasArn"] for alias in listed["stateMachineAliases"])
    ]
    return {"versions": versions["stateMachineVersions"], "aliases": aliases}


# -- starting --


async def edit(site: Site, request: PageRequest) -> Answer:
    return await _form(site, request, {"name": "", "input": request.query.get("input", "{}"), "qualifier": ""}, "")


async def start(site: Site, request: PageRequest) -> Answer:
    form, name = request.form, request.parts["name"]
    qualifier = form.get("qualifier", "").strip()
    asked: Document = {
        "stateMachineArn": machine_arn(site, name) + (f":{qualifier}" if qualifier else ""),
        "input": form.get("input", "").strip() or "{}",
    }
    if form.get("name", "").strip():
        asked["name"] = form["name"].strip()
    try:
        started = await site.call(request.visitor, STATES, "StartExecution", asked)
    except Refused as error:
        given = {member: form.get(member, "") for member in ("name", "input", "qualifier")}
        return await _form(site, request, given, error.message, 400)
    if ":express:" in started["executionArn"]:
        return redirect(f"workflows/{name}", {"started": started["executionArn"].rpartition(":")[2]})
    return redirect(f"workflows/{name}/executions/{started['executionArn'].rpartition(':')[2]}")


async def _form(site: Site, request: PageRequest, fields: dict[str, str], problem: str, status: int = 200) -> Answer:
    arn = machine_arn(site, request.parts["name"])
    machine = await site.call(request.visitor, STATES, "DescribeStateMachine", {"stateMachineArn": arn})
    labels = await _labels(site, request, arn)
    return render(site, request, "start.html", status=status, machine=machine, fields=fields, problem=problem, **labels)
