"""Running the failed children of an array again: each as a job of its own, with its index."""

from __future__ import annotations

from collections.abc import AsyncIterator

from batchyard.console.bulk import BulkWork
from batchyard.console.pages.job import find
from batchyard.console.rendering import job_url, render
from batchyard.console.site import Answer, Forbidden, PageRequest, Site, redirect
from batchyard.console.submission import submission_of
from batchyard.core.model.records import Status
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
PAGE_CHILDREN = 1000
MAX_AT_ONCE = 200  # submitted before the answer
MAX_NAME_CHARACTERS = 128  # of a job


async def ask(site: Site, request: PageRequest) -> Answer:
    view = await _array(site, request)
    number = sum(stop - start for start, stop in (await _states(site, view)).get("FAILED", ()))
    await _submission(site, request, view)
    return render(
        site,
        request,
        "confirm.html",
        heading=f"Run the {number:,} failed children again?",
        text=f"Each becomes a job of its own in the same queue, named {view.spec.name}-INDEX, with the tag "
        f"retried-from={view.job_id}. Its command is run by env, which sets {INDEX} to its index: the image needs env.",
        hidden=[],
        asks_reason=False,
        reason="",
        button=f"Submit {number:,} jobs" if number != 1 else "Submit 1 job",
        back=job_url(view.job_id),
    )


async def resubmit(site: Site, request: PageRequest) -> Answer:
    view = await _array(site, request)
    submission = await _submission(site, request, view)
    number = sum(stop - start for start, stop in (await _states(site, view)).get("FAILED", ()))
    visitor = request.visitor

    async def act(index: str) -> Document:
        return await site.call(visitor, "batch", "SubmitJob", alone(submission, index, view.job_id))

    work = BulkWork(f"Run failed children of {view.spec.name} again", site.now_ms())
    indexes = _failed(site, view)
    if number > MAX_AT_ONCE:
        return redirect(f"bulk/{site.works.start(work, indexes, act)}")
    await work.run(indexes, act)
    return redirect("jobs", {"tag": f"retried-from={view.job_id}"})


async def _array(site: Site, request: PageRequest) -> JobView:
    view = await find(site, request)
    if view.job.array is None:
        raise Forbidden("It is no array: resubmit the job itself.")
    return view


async def _states(site: Site, view: JobView) -> dict[str, list[tuple[int, int]]]:
    found = await site.context.read(site.context.reader.child_states, view)
    return {state: [(start, stop) for start, stop in ranges] for state, ranges in found.items()}


async def _submission(site: Site, request: PageRequest, view: JobView) -> Document:
    """Returns the request that ran the array. Raises Forbidden: its children cannot run alone."""
    detail = (await site.call(request.visitor, "batch", "DescribeJobs", {"jobs": [view.job_id]}))["jobs"][0]
    submission = submission_of(detail)
    if not submission.get("containerOverrides", {}).get("command"):
        raise Forbidden(
            "Its definition has no command, or several containers: children cannot be given their index. Resubmit the "
            "whole array."
        )
    return submission


def alone(submission: Document, index: str, job_id: str) -> Document:
    """Returns the request that runs one child of an array as a job of its own."""
    name = f"{submission['jobName'][: MAX_NAME_CHARACTERS - len(index) - 1]}-{index}"
    overrides = dict(submission["containerOverrides"])
    overrides["command"] = ["env", f"{INDEX}={index}", *overrides["command"]]
    request = {member: value for member, value in submission.items() if member != "arrayProperties"}
    tags = submission.get("tags", {}) | {"retried-from": job_id}
    return request | {"jobName": name, "containerOverrides": overrides, "tags": tags}


async def _failed(site: Site, view: JobView) -> AsyncIterator[str]:
    """Yields the indexes of the children that failed."""
    after: str | None = None
    while True:
        children, after = await site.context.read(
            site.context.reader.list_children, view, Status.FAILED, PAGE_CHILDREN, after
        )
        for child in children:
            yield str(child.index)
        if after is None:
            return
