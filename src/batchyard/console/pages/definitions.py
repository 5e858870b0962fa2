"""Job definitions: what there is, what changed between two revisions, and a form that runs one."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

from msgspec import Struct

from batchyard.console.rendering import pretty, render
from batchyard.console.site import Answer, NotFound, PageRequest, Site, redirect, url_of
from batchyard.console.submission import BadForm, fields_of, request_of
from batchyard.core.model.refusal import Refused
from batchyard.wire.messages import Document

PAGE_DEFINITIONS = 100
MAX_REVISIONS = 100  # of one name, the newest; each is a document of up to 24 KiB
UNSHOWN = ("jobDefinitionArn", "revision", "status")  # they differ from revision to revision as they must
ADDED, REMOVED, SAME = "added", "removed", "same"


class DiffLine(Struct, frozen=True):
    kind: str
    text: str


async def show(site: Site, request: PageRequest) -> Answer:
    """The active definitions, by name."""
    asked: Document = {"status": "ACTIVE", "maxResults": PAGE_DEFINITIONS}
    if request.query.get("next"):
        asked["nextToken"] = request.query["next"]
    answer = await site.call(request.visitor, "batch", "DescribeJobDefinitions", asked)
    found = answer["jobDefinitions"]
    return render(site, request, "definitions.html", definitions=found, following=answer.get("nextToken", ""))


async def show_name(site: Site, request: PageRequest) -> Answer:
    """The newest revision of a name."""
    name = request.parts["name"]
    revisions = await _revisions(site, request, name)
    return redirect(f"definitions/{name}/{revisions[0]['revision']}")


async def show_one(site: Site, request: PageRequest) -> Answer:
    name = request.parts["name"]
    revisions = await _revisions(site, request, name)
    shown = _revision(revisions, name, request.parts["revision"])
    against = request.query.get("against", "")
    before = _revision(revisions, name, against) if against else None
    return render(
        site,
        request,
        "definition.html",
        definition=shown,
        revisions=revisions,
        against=before,
        diff=_diff(before, shown) if before is not None else [],
    )


async def edit(site: Site, request: PageRequest) -> Answer:
    """The form that submits a job of a definition. What stays empty is as the definition has it."""
    shown, before = await _before(site, request)
    return _form(site, request, shown, fields_of(before), "")


async def submit(site: Site, request: PageRequest) -> Answer:
    shown, before = await _before(site, request)
    try:
        answer = await site.call(request.visitor, "batch", "SubmitJob", request_of(request.form, before))
    except (BadForm, Refused) as error:
        text = error.message if isinstance(error, Refused) else str(error)
        return _form(site, request, shown, fields_of(before) | dict(request.form), text, status=400)
    return redirect(f"jobs/{answer['jobId']}")


async def _revisions(site: Site, request: PageRequest, name: str) -> list[Document]:
    """Returns the revisions of a name, the newest first. Raises NotFound."""
    asked: Document = {"jobDefinitionName": name, "maxResults": PAGE_DEFINITIONS}
    found: list[Document] = []
    while True:
        answer = await site.call(request.visitor, "batch", "DescribeJobDefinitions", asked)
        found += answer["jobDefinitions"]
        if not answer.get("nextToken"):
            break
        asked["nextToken"] = answer["nextToken"]
    if not found:
        raise NotFound(f"The job definition {name} does not exist.")
    return sorted(found, key=lambda one: -int(one["revision"]))[:MAX_REVISIONS]


def _revision(revisions: list[Document], name: str, text: str) -> Document:
    found = next((one for one in revisions if str(one["revision"]) == text), None)
    if found is None:
        raise NotFound(f"The job definition {name}:{text} does not exist.")
    return found


def _diff(before: Document, after: Document) -> list[DiffLine]:
    """Returns the lines of two revisions as JSON, those that changed with their neighbours."""
    old, new = (pretty({k: v for k, v in one.items() if k not in UNSHOWN}).splitlines() for one in (before, after))
    kinds = {"+": ADDED, "-": REMOVED, " ": SAME}
    lines = list(unified_diff(old, new, n=3, lineterm=""))[2:]
    return [DiffLine(kinds[line[0]], line) for line in lines if line[0] in kinds]


async def _before(site: Site, request: PageRequest) -> tuple[Document, Document]:
    name = request.parts["name"]
    shown = _revision(await _revisions(site, request, name), name, request.parts["revision"])
    queues = (await site.call(request.visitor, "yard", "ListQueues", {}))["queues"]
    before: Document = {
        "jobName": name,
        "jobQueue": queues[0]["jobQueue"] if queues else "",
        "jobDefinition": f"{name}:{shown['revision']}",
    }
    if shown.get("parameters"):
        before["parameters"] = dict(shown["parameters"])
    return shown, before


def _form(
    site: Site, request: PageRequest, shown: Document, fields: dict[str, Any], problem: str, status: int = 200
) -> Answer:
    path = f"definitions/{shown['jobDefinitionName']}/{shown['revision']}"
    return render(
        site,
        request,
        "job_writes.html",
        status=status,
        fields=fields,
        problem=problem,
        heading=f"Run {shown['jobDefinitionName']}:{shown['revision']}",
        action=f"{path}/submit",
        back=url_of(path),
        has_container="containerProperties" in shown,
    )
