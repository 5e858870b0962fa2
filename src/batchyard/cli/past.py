"""Reads what ran from the service: all pages of ListPastAttempts, and ListPastInstances."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.analysis.past_runs import PastInstance, PastRun, instances_of, runs_of
from batchyard.cli.client import YARD, Client, Document


def past_runs(client: Client, since_ms: int, until_ms: int, definition: str = "") -> Iterator[PastRun]:
    """Yields the attempts that ran at some time in the span, of a definition or of all."""
    request: Document = {"since": since_ms, "until": until_ms}
    if definition:
        request["jobDefinition"] = definition
    return runs_of(_rows(client, request))


def _rows(client: Client, request: Document) -> Iterator[Document]:
    page: Document = {}
    while True:
        answer = client.call("ListPastAttempts", request | page, YARD)
        yield from answer["attempts"]
        if not answer.get("nextToken"):
            return
        page = {"nextToken": answer["nextToken"]}


def past_instances(client: Client, since_ms: int) -> list[PastInstance]:
    return instances_of(client.call("ListPastInstances", {"since": since_ms}, YARD)["instances"])
