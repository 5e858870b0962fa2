"""Compute environments and instances: who uses the machine, and what the scaler does next and why."""

from __future__ import annotations

from msgspec import Struct

from batchyard.console.rendering import render
from batchyard.console.site import Answer, NotFound, PageRequest, Site, redirect, url_of
from batchyard.core.model.records import node_resources
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.store.queries import JobView
from batchyard.wire.messages import Document

PARTS = 1000  # of a bar's width
MAX_NAMED = 20  # jobs named in one instance's box


class Slice(Struct, frozen=True):
    """The part of an instance that one job holds."""

    job_id: str
    name: str
    queue: str
    vcpus: float
    start: int
    width: int


class Box(Struct, frozen=True):
    """An instance and what fills it. `others`: jobs that are not named; `free`: its vCPUs without a job."""

    instance: Document
    slices: list[Slice]
    others: int
    free: float


async def show(site: Site, request: PageRequest) -> Answer:
    environments = (await site.call(request.visitor, "yard", "ListEnvironments", {}))["environments"]
    boxes = await _boxes(site, request)
    return render(site, request, "environments.html", environments=environments, boxes=boxes)


async def show_one(site: Site, request: PageRequest) -> Answer:
    name = request.parts["name"]
    environments = (await site.call(request.visitor, "yard", "ListEnvironments", {}))["environments"]
    environment = next((one for one in environments if one["computeEnvironment"] == name), None)
    if environment is None:
        raise NotFound(f"The compute environment {name} does not exist.")
    asked = {"computeEnvironments": [name]}
    described = await site.call(request.visitor, "batch", "DescribeComputeEnvironments", asked)
    boxes = [box for box in await _boxes(site, request) if name in box.instance["computeEnvironment"].split(",")]
    detail = described["computeEnvironments"][0]
    return render(site, request, "environment.html", environment=environment, detail=detail, boxes=boxes)


async def ask_interrupt(site: Site, request: PageRequest) -> Answer:
    instance_id = request.parts["id"]
    return render(
        site,
        request,
        "confirm.html",
        heading=f"Interrupt {instance_id}?",
        text="It is taken away as a Spot interruption does: it gets no more jobs, and after a notice of two seconds "
        "what runs there is stopped, and tried again where its retry strategy says so.",
        hidden=[],
        asks_reason=False,
        reason="",
        button="Interrupt it",
        back=url_of("environments"),
    )


async def interrupt(site: Site, request: PageRequest) -> Answer:
    await site.call(request.visitor, "yard", "InterruptInstance", {"instanceId": request.parts["id"]})
    return redirect("environments")


async def _boxes(site: Site, request: PageRequest) -> list[Box]:
    instances = (await site.call(request.visitor, "yard", "ListInstances", {}))["instances"]
    ids = list(dict.fromkeys(job_id for one in instances for job_id in one["jobs"][:MAX_NAMED]))
    views = {view.job_id: view for view in await site.context.read(site.context.reader.jobs, ids)}
    boxes = []
    for one in instances:
        total = one["capacity"]["vcpus"] or 1
        slices: list[Slice] = []
        start = 0.0
        for job_id in one["jobs"][:MAX_NAMED]:
            view = views.get(job_id)
            if view is None:
                continue
            vcpus = _held_vcpus(view, one["instanceId"])
            named = view.spec.name if view.index is None else f"{view.spec.name}:{view.index}"
            width = round(PARTS * vcpus / total)
            slices.append(Slice(job_id, named, view.spec.queue, vcpus, round(start), max(0, width - 4)))
            start += PARTS * vcpus / total
        boxes.append(Box(one, slices, one["jobsCount"] - len(slices), one["free"]["vcpus"]))
    return boxes


def _held_vcpus(view: JobView, instance_id: str) -> float:
    """Returns the vCPUs that a job holds on an instance: those of all its nodes there."""
    attempt = view.job.attempt
    if attempt is None:  # it has ended since the instance was asked
        return 0.0
    held = zip(attempt.placements, node_resources(view.spec), strict=True)
    return sum(asked.milli_vcpus for place, asked in held if place.instance_id == instance_id) / MILLI_PER_VCPU
