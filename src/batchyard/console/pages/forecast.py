"""When a waiting job will start: the service plays the live state on, which takes longer than a page may, so that it is
a page of its own."""

from __future__ import annotations

from batchyard.analysis.forecasts import HISTORY, NOT_WAITING
from batchyard.console.pages.job import find
from batchyard.console.rendering import render
from batchyard.console.site import Answer, NotFound, PageRequest, Site


async def show(site: Site, request: PageRequest) -> Answer:
    view = await find(site, request)
    if site.context.forecaster is None:
        raise NotFound("Starts are forecast by a running service.")
    answer = await site.call(request.visitor, "yard", "ForecastJobs", {"jobs": [view.spec.job_id]})
    forecast = answer["forecasts"][0]
    return render(
        site,
        request,
        "forecast.html",
        job_id=view.job_id,
        name=view.spec.name,
        as_of=answer["asOf"],
        forecast=forecast,
        is_waiting=forecast["basis"] != NOT_WAITING,
        is_from_history=forecast["basis"] == HISTORY,
    )
