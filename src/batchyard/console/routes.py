"""The routes of the console: which page answers which path. A new page is one line here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from batchyard.api.readers import CALLER
from batchyard.console.bulk import TooMany
from batchyard.console.pages import (
    alarms,
    array_writes,
    definitions,
    environments,
    events,
    execution,
    forecast,
    insights,
    job,
    job_writes,
    jobs,
    log,
    logs,
    metrics,
    overview,
    preferences,
    queues,
    resources,
    workflows,
)
from batchyard.console.rendering import ENVIRONMENT, render
from batchyard.console.site import Answer, Forbidden, NotFound, Page, PageRequest, Site
from batchyard.console.tokens import BadFilter
from batchyard.core.model.refusal import Refused
from batchyard.store.queries import OutOfTime

GET, POST = "GET", "POST"
# What the bar at the top leads to.
NAV_PAGES = (
    ("", "Overview"),
    ("jobs", "Jobs"),
    ("queues", "Queues"),
    ("environments", "Environments"),
    ("definitions", "Definitions"),
    ("workflows", "Workflows"),
    ("metrics", "Metrics"),
    ("insights", "Logs"),
    ("more", "More"),
)
# Refusals with these words are about something that is not there.
MISSING = re.compile(r"does not exist|not found|no such", re.IGNORECASE)
READ_ONLY = "This access key may only read. Sign in with another one to change something."


class Route(NamedTuple):
    """`pattern`: a path below /console/, in which `{name}` stands for one part. `writes`: not for read-only ones."""

    method: str
    pattern: str
    page: Page
    writes: bool = True

    def match(self, path: str) -> Mapping[str, str] | None:
        return found.groupdict() if (found := _compiled(self.pattern).fullmatch(path)) else None


ROUTES: tuple[Route, ...] = (
    Route(GET, "", overview.show),
    Route(GET, "jobs", jobs.show),
    Route(GET, "jobs/withdraw", jobs.ask),
    Route(POST, "jobs/withdraw", jobs.withdraw),
    Route(GET, "bulk/{number}", jobs.show_bulk),
    Route(POST, "bulk/{number}/stop", jobs.stop_bulk),
    Route(GET, "jobs/{id}", job.show),
    Route(GET, "jobs/{id}/forecast", forecast.show),
    Route(GET, "jobs/{id}/log", log.show),
    Route(GET, "jobs/{id}/log/raw", log.raw),
    Route(GET, "jobs/{id}/cancel", job_writes.ask_cancel),
    Route(POST, "jobs/{id}/cancel", job_writes.cancel),
    Route(GET, "jobs/{id}/terminate", job_writes.ask_terminate),
    Route(POST, "jobs/{id}/terminate", job_writes.terminate),
    Route(GET, "jobs/{id}/resubmit-failed", array_writes.ask),
    Route(POST, "jobs/{id}/resubmit-failed", array_writes.resubmit),
    Route(GET, "jobs/{id}/resubmit", job_writes.edit),
    Route(POST, "jobs/{id}/resubmit", job_writes.resubmit),
    Route(GET, "queues", queues.show),
    Route(GET, "queues/{name}", queues.show_one),
    Route(GET, "environments", environments.show),
    Route(GET, "environments/{name}", environments.show_one),
    Route(GET, "instances/{id}/interrupt", environments.ask_interrupt),
    Route(POST, "instances/{id}/interrupt", environments.interrupt),
    Route(GET, "definitions", definitions.show),
    Route(GET, "definitions/{name}", definitions.show_name),
    Route(GET, "definitions/{name}/{revision}", definitions.show_one),
    Route(GET, "definitions/{name}/{revision}/submit", definitions.edit),
    Route(POST, "definitions/{name}/{revision}/submit", definitions.submit),
    Route(GET, "workflows", workflows.show),
    Route(GET, "workflows/{name}", workflows.show_one),
    Route(GET, "workflows/{name}/start", workflows.edit),
    Route(POST, "workflows/{name}/start", workflows.start),
    Route(GET, "workflows/{name}/executions/{execution}", execution.show),
    Route(GET, "workflows/{name}/executions/{execution}/stop", execution.ask_stop),
    Route(POST, "workflows/{name}/executions/{execution}/stop", execution.stop),
    Route(GET, "workflows/{name}/executions/{execution}/redrive", execution.ask_redrive),
    Route(POST, "workflows/{name}/executions/{execution}/redrive", execution.redrive),
    Route(GET, "workflows/{name}/{label}/executions/{execution}", execution.show),
    Route(GET, "workflows/{name}/{label}/executions/{execution}/stop", execution.ask_stop),
    Route(POST, "workflows/{name}/{label}/executions/{execution}/stop", execution.stop),
    Route(GET, "workflows/{name}/{label}/map-runs/{id}", execution.show_map_run),
    Route(GET, "metrics", metrics.show),
    Route(GET, "log-group", logs.show_group),
    Route(GET, "log-stream", logs.show_stream),
    Route(GET, "insights", insights.show),
    Route(GET, "alarm", alarms.show),
    Route(POST, "alarm/state", alarms.set_state),
    Route(GET, "alarm/actions", alarms.ask_switch),
    Route(POST, "alarm/actions", alarms.switch),
    Route(GET, "rule", events.show_rule),
    Route(GET, "rule/state", events.ask_switch_rule),
    Route(POST, "rule/state", events.switch_rule),
    Route(GET, "schedule", events.show_schedule),
    Route(GET, "schedule/state", events.ask_switch_schedule),
    Route(POST, "schedule/state", events.switch_schedule),
    Route(GET, "topic", events.show_topic),
    Route(GET, "more", resources.show_all),
    Route(GET, "doctor", resources.show_doctor),
    Route(POST, "theme", preferences.set_theme, writes=False),
    Route(GET, "{kind}", resources.show),
)

_PATTERNS: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern not in _PATTERNS:
        _PATTERNS[pattern] = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(pattern)))
    return _PATTERNS[pattern]


ENVIRONMENT.globals["nav_pages"] = NAV_PAGES


async def answer(site: Site, request: PageRequest) -> Answer:
    """Answers one request of a visitor who was let in. What operations refuse is a page with their text. Raises Busy or
    Stopped."""
    CALLER.set(request.visitor.caller)
    try:
        route, parts = _find(request)
        if route.method == POST and route.writes and request.visitor.is_read_only:
            raise Forbidden(READ_ONLY)
        return await route.page(site, replace(request, parts=parts, fact_number=site.ring.number))
    except NotFound as error:
        return refusal(site, request, 404, "Not found", str(error))
    except TooMany as error:
        return refusal(site, request, 429, "Not now", str(error))
    except Forbidden as error:
        return refusal(site, request, 403, "Not allowed", str(error))
    except BadFilter as error:
        return refusal(site, request, 400, "This was refused", str(error))
    except OutOfTime as error:
        return refusal(site, request, 503, "This took too long", str(error))
    except Refused as error:
        is_missing = MISSING.search(error.message) is not None
        heading = "Not found" if is_missing else "This was refused"
        return refusal(site, request, 404 if is_missing else 400, heading, error.message)


def _find(request: PageRequest) -> tuple[Route, Mapping[str, str]]:
    method = GET if request.method == "HEAD" else request.method
    others = False
    for route in ROUTES:
        parts = route.match(request.path)
        if parts is not None:
            if route.method == method:
                return route, parts
            others = True
    raise NotFound(f"This page does not take {method}." if others else "The console has no such page.")


def refusal(site: Site, request: PageRequest, status: int, heading: str, text: str) -> Answer:
    """A page that says why there is nothing else to show."""
    return render(site, request, "refusal.html", status=status, heading=heading, text=text)
