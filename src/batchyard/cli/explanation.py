"""`batchyard explain`: formats why a job is not running."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.cli.client import Document
from batchyard.cli.formats import pairs
from batchyard.cli.start_forecasts import sentence

LABEL_WIDTH = 12
MAX_ROWS = 10  # dependencies and holders listed; the counts are complete


def explanation(answer: Document) -> str:
    """Returns the text of an ExplainJob answer."""
    return "\n".join(pairs(_pairs(answer), LABEL_WIDTH, prose=True))


def _pairs(answer: Document) -> Iterator[tuple[str, str]]:
    yield "Job", answer["jobId"]
    yield "Status", answer["status"]
    yield "Why", answer["text"]
    if answer.get("remedy"):
        yield "Do", answer["remedy"]
    if "forecast" in answer:
        yield "Starts", sentence(answer["forecast"])
    if "asked" in answer:
        environments = answer.get("environments", [])
        if len(environments) > 1:
            for number, row in enumerate(environments):
                yield "" if number else "Places", f"{row['computeEnvironment']}: {row['text']}"
        yield "Asked", _amounts(answer["asked"])
        if any(answer["largest"].values()):
            yield "Largest", _amounts(answer["largest"])
        for number, free in enumerate(answer.get("free", [])):
            yield "" if number else "Free", _amounts(free)
        yield "Ahead", _ahead(answer)
    if "share" in answer:
        yield "Share", _share(answer["share"])
    yield from _listed("Waits for", answer.get("dependencies", []), answer.get("dependenciesCount", 0), "status")
    holders = [{"jobId": h["jobId"], "holds": _amounts(h["resources"])} for h in answer.get("holders", [])]
    yield from _listed("Held by", holders, answer.get("holdersCount", 0), "holds")


def _listed(label: str, rows: list[Document], count: int, member: str) -> Iterator[tuple[str, str]]:
    shown = rows[:MAX_ROWS]
    for number, row in enumerate(shown):
        yield "" if number else label, f"{row['jobId']}  {row[member]}"
    if count > len(shown) > 0:
        yield "", f"and {count - len(shown)} more"


def _ahead(answer: Document) -> str:
    ahead, elsewhere = answer["jobsAhead"], answer["jobsAheadElsewhere"]
    jobs = "1 job" if ahead == 1 else f"{ahead} jobs"
    return jobs + (f", and {elsewhere} in queues of higher priority" if elsewhere else "")


def _share(share: Document) -> str:
    used = f"{share['usedVcpuSeconds']:.1f} vCPU seconds used, {share['heldVcpus']:g} vCPUs held"
    place = f"number {share['place']} of {share['shares']}"
    return f"{share['shareIdentifier']}: {used}, weight {share['weight']:g}, {place}"


def _amounts(amounts: Document) -> str:
    vcpus, gpus = amounts["vcpus"], amounts["gpus"]
    text = f"{vcpus:g} vCPU{'' if vcpus == 1 else 's'}, {amounts['memory']} MiB"
    return f"{text}, {gpus} GPU{'' if gpus == 1 else 's'}" if gpus else text
