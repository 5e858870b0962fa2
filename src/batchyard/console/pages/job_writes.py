"""What can be done with one job: cancel it, terminate it, run it again with changes."""

from __future__ import annotations

from typing import Any

from batchyard.console.pages.job import find
from batchyard.console.rendering import job_url, render
from batchyard.console.site import Answer, Forbidden, PageRequest, Site, redirect
from batchyard.console.submission import BadForm, fields_of, request_of, submission_of
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

MEANING = {
    "Cancel": "It ends as FAILED if it still waits; if it runs, it runs to its end and is not tried again.",
    "Terminate": "It ends as FAILED; what runs of it is stopped.",
}


async def ask_cancel(site: Site, request: PageRequest) -> Answer:
    return await _ask(site, request, "Cancel")


async def ask_terminate(site: Site, request: PageRequest) -> Answer:
    return await _ask(site, request, "Terminate")


async def _ask(site: Site, request: PageRequest, verb: str) -> Answer:
    view = await find(site, request)
    size = f" It is an array of {view.job.array.size:,} children." if view.job.array else ""
    return render(
        site,
        request,
        "confirm.html",
        heading=f"{verb} {view.spec.name}?",
        text=f"It is {view.job.status}.{size} {MEANING[verb]}",
        hidden=[],
        asks_reason=True,
        reason=f"{verb.rstrip('e').replace('Cancel', 'Cancell')}ed in the console",
        button=f"{verb} {view.spec.name}",
        back=job_url(view.job_id),
    )


async def cancel(site: Site, request: PageRequest) -> Answer:
    return await _withdraw(site, request, "CancelJob")


async def terminate(site: Site, request: PageRequest) -> Answer:
    return await _withdraw(site, request, "TerminateJob")


async def _withdraw(site: Site, request: PageRequest, operation: str) -> Answer:
    view = await find(site, request)
    reason = request.form.get("reason", "").strip() or "Withdrawn in the console"
    await site.call(request.visitor, "batch", operation, {"jobId": view.job_id, "reason": reason})
    return redirect(f"jobs/{view.job_id}")


async def edit(site: Site, request: PageRequest) -> Answer:
    """The form, filled with what the job ran."""
    view, before = await _before(site, request)
    return _form(site, request, view, fields_of(before), "")


async def resubmit(site: Site, request: PageRequest) -> Answer:
    view, before = await _before(site, request)
    try:
        submitted = request_of(request.form, before)
        answer = await site.call(request.visitor, "batch", "SubmitJob", submitted)
    except (BadForm, Refused) as error:
        text = error.message if isinstance(error, Refused) else str(error)
        return _form(site, request, view, fields_of(before) | dict(request.form), text, status=400)
    return redirect(f"jobs/{answer['jobId']}")


async def _before(site: Site, request: PageRequest) -> tuple[JobView, Document]:
    view = await find(site, request)
    if view.index is not None or view.node is not None:
        raise Forbidden(
            "A part of a job is not submitted alone: submit the whole job, or its command as a job of its own."
        )
    detail = (await site.call(request.visitor, "batch", "DescribeJobs", {"jobs": [view.job_id]}))["jobs"][0]
    return view, submission_of(detail)


def _form(
    site: Site, request: PageRequest, view: JobView, fields: dict[str, Any], problem: str, status: int = 200
) -> Answer:
    return render(
        site,
        request,
        "job_writes.html",
        status=status,
        fields=fields,
        problem=problem,
        heading=f"Run {view.spec.name} again",
        action=f"jobs/{view.job_id}/resubmit",
        back=job_url(view.job_id),
        has_container=not (view.spec.ecs_task or view.spec.pod or view.spec.num_nodes),
    )
