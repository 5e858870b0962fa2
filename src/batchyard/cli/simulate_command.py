"""`batchyard simulate`."""

from __future__ import annotations

from typing import Annotated

import typer

from batchyard.cli.options import Json, Url, reports_errors
from batchyard.cli.usage import Application, decimal_number, whole_number

DEFAULT_SINCE = "30d"
MAX_JOBS, MAX_VCPUS = 10_000_000, 10_000_000  # more is a typing mistake: a million jobs take minutes


def _span(text: str) -> int:
    from batchyard.cli.log_query import milliseconds

    return milliseconds(text)


def add_to(app: Application) -> None:
    """Adds the command."""
    app.command("simulate", short_help="Ask what would happen: other hosts, policies, Spot.")(simulate)


Trace = Annotated[
    str, typer.Option("--trace", metavar="FILE", help="Jobs of a file: .swf (Standard Workload Format) or .csv.")
]
FromHistory = Annotated[bool, typer.Option("--from-history", help="Jobs that this service ran.")]
Since = Annotated[int, typer.Option("--since", metavar="TIME", parser=_span, help="With --from-history: how far back.")]
Jobs = Annotated[
    int, typer.Option("--jobs", metavar="N", parser=whole_number(1, MAX_JOBS), help="N jobs of a synthetic mix.")
]
Load = Annotated[
    float,
    typer.Option("--load", metavar="X", parser=decimal_number(0.01), help="Of the mix: work per vCPU; 1: all busy."),
]
Vcpus = Annotated[
    int, typer.Option("--vcpus", metavar="N", parser=whole_number(1, MAX_VCPUS), help="Of the mix, and its machine.")
]
Environments = Annotated[
    str,
    typer.Option(
        "--environments",
        metavar="FILE",
        help="Compute environments as for create-compute-environment, JSON or TOML; else the trace's machine, or with "
        "--from-history those of the service.",
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", metavar="NAME", help="fifo, fair, or a JSON file; each more is a variant."),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--hosts", metavar="HOSTS", help="Such as +2xc5.4xlarge: a variant with more instances."),
]
SpotRate = Annotated[
    float,
    typer.Option(
        "--spot-rate", metavar="X", parser=decimal_number(0), help="Interruptions of a Spot instance per hour."
    ),
]
PricesFile = Annotated[
    str, typer.Option("--prices", metavar="FILE", help="Prices of instance types, as for `batchyard up`.")
]
Boot = Annotated[
    float,
    typer.Option(
        "--boot", metavar="SECONDS", parser=decimal_number(0), help="From an instance's launch to its first job."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", parser=whole_number(0), help="Of the mix, and of interruptions.")
]
Report = Annotated[str, typer.Option("--html", metavar="FILE", help="Write a report with plots.")]
WriteTrace = Annotated[str, typer.Option("--write-trace", metavar="FILE", help="Write the jobs as an .swf.")]


@reports_errors
def simulate(
    trace: Trace = "",
    from_history: FromHistory = False,
    since: Since = DEFAULT_SINCE,  # type: ignore[assignment]  # typer parses it
    jobs: Jobs = 1000,
    load: Load = 0.9,
    vcpus: Vcpus = 64,
    environments: Environments = "",
    policies: Policies = None,
    hosts: Hosts = None,
    spot_rate: SpotRate = 0.0,
    prices: PricesFile = "",
    boot_seconds: Boot = 60.0,
    seed: Seed = 1,
    html: Report = "",
    write_trace: WriteTrace = "",
    url: Url = None,
    as_json: Json = False,
) -> int:
    """Ask what would happen. The scheduler of the service runs a trace, its own history or a synthetic mix under
    simulated time, in variants side by side: waits, slowdown, utilisation, interrupted work, cost. Ctrl-C shows what it
    has."""
    from batchyard.cli.simulation import Request, show_simulation

    request = Request(
        trace=trace,
        from_history=from_history,
        since_ms=since,
        jobs=jobs,
        load=load,
        vcpus=vcpus,
        environments=environments,
        policies=tuple(policies or ()),
        hosts=tuple(hosts or ()),
        spot_rate=spot_rate,
        prices=prices,
        boot_seconds=boot_seconds,
        seed=seed,
        html=html,
        write_trace=write_trace,
        url=url,
    )
    return show_simulation(request, as_json=as_json)
