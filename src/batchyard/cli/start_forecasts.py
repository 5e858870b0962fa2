"""When waiting jobs will start, as the service forecasts it."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.analysis.forecasts import HISTORY, NOT_WAITING, TIMEOUT
from batchyard.cli.client import YARD, Client, Document
from batchyard.cli.formats import duration

JOBS_OF_CALL = 100
BASES = {
    HISTORY: "run times of the same definitions",
    TIMEOUT: "timeouts, since some definitions never ran before: at the latest",
}


def forecasts(client: Client, job_ids: Sequence[str]) -> dict[str, Document]:
    """Returns the forecasts of jobs, each with `asOf`."""
    found: dict[str, Document] = {}
    for at in range(0, len(job_ids), JOBS_OF_CALL):
        answer = client.call("ForecastJobs", {"jobs": list(job_ids[at : at + JOBS_OF_CALL])}, YARD)
        found |= {one["jobId"]: one | {"asOf": answer["asOf"]} for one in answer["forecasts"]}
    return found


def in_brief(forecast: Document) -> str:
    """Formats `in 2m 5s to 10m`."""
    if "latest" not in forecast:
        return "now" if forecast["basis"] == NOT_WAITING else "not known"
    low, high = (max(0, forecast[member] - forecast["asOf"]) for member in ("earliest", "latest"))
    texts = duration(low), duration(high)
    return f"in {texts[0]}" if texts[0] == texts[1] else f"in {texts[0]} to {texts[1]}"


def sentence(forecast: Document) -> str:
    """Says when a job starts, and what that rests on."""
    if forecast["basis"] == NOT_WAITING:
        return "It does not wait."
    if "latest" not in forecast:
        return (
            "Not known: it waits for jobs whose definitions never ran to their end before and have no timeout, or "
            "for more than jobs that end."
        )
    likely = duration(max(0, forecast["likely"] - forecast["asOf"]))
    rests = f"{BASES[forecast['basis']]}, {forecast['draws']} futures played"
    return f"{in_brief(forecast)} with 80 %, most likely in {likely} (from {rests}; later jobs are not foreseen)"
