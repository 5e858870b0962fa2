"""`batchyard simulate`: reads what is asked, runs the variants, and prints their figures side by side."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from batchyard.cli.client import BATCH, YARD, Client, ClientError, Document
from batchyard.cli.formats import counted, now_ms, table
from batchyard.cli.options import connect
from batchyard.cli.past import past_runs
from batchyard.cli.terminal_output import StatusLine, print_json, say, tell
from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.capacity.prices import Prices
from batchyard.planning.csv_trace import read_csv
from batchyard.planning.history import workload_of
from batchyard.planning.html_report import html_report
from batchyard.planning.instance_types import PriceError, load_catalogue, load_prices
from batchyard.planning.simulation import Conditions
from batchyard.planning.site import FAIR, FIFO, Site, SiteError, host_of, read_site, site_of_trace
from batchyard.planning.swf import read_swf, write_swf
from batchyard.planning.synthetic import lublin
from batchyard.planning.tables import Table, side_by_side, waits_by
from batchyard.planning.variants import Question, Result, run_side_by_side, variants
from batchyard.planning.workload import TraceError, Workload

HISTORY_STEP_MS = 10  # of a history: the service itself takes together what arrives within some milliseconds


class Request(NamedTuple):
    """What the command line asks for; empty: not given."""

    trace: str
    from_history: bool
    since_ms: int
    jobs: int
    load: float
    vcpus: int
    environments: str
    policies: tuple[str, ...]
    hosts: tuple[str, ...]
    spot_rate: float
    prices: str
    boot_seconds: float
    seed: int
    html: str
    write_trace: str
    url: str | None


def show_simulation(request: Request, *, as_json: bool) -> int:
    """Runs the variants, and prints or writes what came of them."""
    try:
        return _simulate(request, as_json=as_json)
    except (TraceError, SiteError, PriceError) as error:
        raise ClientError(str(error)) from None


def _simulate(request: Request, *, as_json: bool) -> int:
    if request.trace and request.from_history:
        raise ClientError("--trace and --from-history exclude each other.")
    catalogue = load_catalogue()
    prices = load_prices(Path(request.prices) if request.prices else None, catalogue)
    workload, site = _what_runs_where(request)
    for note in workload.notes:
        tell(note)
    if request.write_trace:
        _write(request.write_trace, "\n".join(write_swf(workload, now_ms() // 1000)) + "\n")
    names, documents = _policies(request.policies)
    found = variants(site, workload, names, documents, request.hosts, catalogue)
    conditions = Conditions(
        boot_ms=round(request.boot_seconds * 1000),
        spot_rate_per_hour=request.spot_rate,
        step_ms=HISTORY_STEP_MS if request.from_history else 1000,
        seed=request.seed,
    )
    results = _run(found, workload, conditions, catalogue, prices)
    _show(request, workload, results, as_json=as_json)
    return 0


# -- what is asked --


def _what_runs_where(request: Request) -> tuple[Workload, Site]:
    site = read_site(_read(request.environments), request.environments) if request.environments else None
    if request.from_history:
        with connect(request.url) as client:
            now = now_ms()
            workload = workload_of(past_runs(client, max(0, now - request.since_ms), now))
            return workload, site or _site_of_service(client)
    if request.trace:
        lines = _read(request.trace).splitlines()
        reader = read_csv if request.trace.endswith(".csv") else read_swf
        workload = reader(lines, request.trace)
    else:
        workload = lublin(request.jobs, request.vcpus, request.load, request.seed)
    return workload, site or site_of_trace(workload)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}.") from None


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror}.") from None


def _site_of_service(client: Client) -> Site:
    """Returns the service's own environments, queues and policies, those that are enabled."""
    environments = _all(client, "DescribeComputeEnvironments", "computeEnvironments")
    queues = _all(client, "DescribeJobQueues", "jobQueues")
    arns = sorted({one["schedulingPolicyArn"] for one in queues if one.get("schedulingPolicyArn")})
    answer = client.call("DescribeSchedulingPolicies", {"arns": arns}, BATCH) if arns else {"schedulingPolicies": []}
    rows = client.call("ListInstances", {}, YARD)["instances"]
    host = next(row for row in rows if "instanceType" not in row)
    return Site(
        tuple(one for one in environments if one["state"] == "ENABLED"),
        tuple(one for one in queues if one["state"] == "ENABLED"),
        {one["name"]: one.get("fairsharePolicy", {}) for one in answer["schedulingPolicies"]},
        host_of(host["capacity"]),
    )


def _all(client: Client, operation: str, member: str) -> list[Document]:
    found: list[Document] = []
    page: Document = {}
    while True:
        answer = client.call(operation, page, BATCH)
        found += answer[member]
        if not answer.get("nextToken"):
            return found
        page = {"nextToken": answer["nextToken"]}


def _policies(given: tuple[str, ...]) -> tuple[list[str], dict[str, Document]]:
    """Returns the names of the policies, and the documents of those that are files."""
    names, documents = [], {}
    for text in given:
        if text in (FIFO, FAIR):
            names.append(text)
            continue
        try:
            document = json.loads(_read(text))
        except ValueError as error:
            raise ClientError(f"{text} is not JSON: {error}.") from None
        name = "".join(c if c.isalnum() else "-" for c in Path(text).stem)
        names.append(name)
        documents[name] = document.get("fairsharePolicy", document)
    return names, documents


# -- running and showing --


def _run(
    found: list[Any], workload: Workload, conditions: Conditions, catalogue: Catalogue, prices: Prices
) -> list[Result]:
    status = StatusLine()
    began = time.monotonic()

    def progress(ended: int, total: int) -> None:
        seconds = time.monotonic() - began
        status.progress(f"{ended:,} of {total:,} jobs simulated, {seconds:.0f} s")

    try:
        return run_side_by_side(found, Question(workload, conditions, catalogue, prices), progress)
    finally:
        status.clear()


def _show(request: Request, workload: Workload, results: list[Result], *, as_json: bool) -> None:
    tables = [("Side by side", side_by_side(results))]
    for kind, rows_of in (("queue", lambda one: one.by_queue), ("share", lambda one: one.by_share)):
        found = waits_by(results, kind, rows_of)
        if found is not None:
            tables.append((f"Waits by {kind}", found))
    notes = [workload.source, *workload.notes, *_reasons(results)]
    if request.html:
        _write(request.html, html_report("What would happen", notes, tables, results))
    if as_json:
        print_json({"source": workload.source, "notes": notes[1:], "variants": [_document(one) for one in results]})
        return
    say(workload.source)
    for _, one in tables:
        say()
        say(_text(one))
    for text in _reasons(results):
        tell(text)
    if request.html:
        tell(f"The report with plots is {request.html}.")


def _text(one: Table) -> str:
    return table(one.headings, one.rows)


def _reasons(results: list[Result]) -> list[str]:
    found = []
    for result in results:
        if result.waits_for is not None:
            reason, count = result.waits_for
            found.append(f"{result.name}: {counted(count, 'job')} can never start, such as one of which: {reason}")
        elif not result.is_complete:
            found.append(f"{result.name}: it was stopped before all jobs had ended.")
    return found


def _document(result: Result) -> Document:
    measures: Document = msgspec.to_builtins(result.measures)
    return {
        "name": result.name,
        "isComplete": result.is_complete,
        "neverStarts": None
        if result.waits_for is None
        else {"jobs": result.waits_for[1], "reason": result.waits_for[0]},
        "measures": measures,
    }
