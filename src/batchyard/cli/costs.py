"""`batchyard cost`: hours, waste and money as a table."""

from __future__ import annotations

from batchyard.analysis.costs import MIB_PER_GIB, MS_PER_HOUR, CostRow, Report, Span, costs
from batchyard.analysis.spot import SpotRow, spot_rows
from batchyard.cli.client import Client, ClientError
from batchyard.cli.formats import clock, now_ms, table
from batchyard.cli.past import past_instances, past_runs
from batchyard.cli.terminal_output import print_json, say, tell

MICRO_PER_DOLLAR = 1_000_000
NOT_MEASURED = "-"


def show_costs(client: Client, by: str, span_ms: int, *, as_json: bool) -> int:
    """Prints what ran in the last `span_ms`."""
    until_ms = now_ms()
    span = Span(max(0, until_ms - span_ms), until_ms)
    try:
        report = costs(past_runs(client, span.since_ms, span.until_ms), past_instances(client, span.since_ms), span, by)
    except ValueError as error:
        raise ClientError(str(error)) from None
    if as_json:
        print_json(_document(report, span, by))
        return 0
    if not report.rows and not report.idle.milli_vcpu_ms:
        tell("Nothing ran in that time. --since looks further back.")
        return 0
    rows = [*report.rows, *([report.idle] if report.idle.milli_vcpu_ms else []), report.total]
    headings = [by.upper(), "ATTEMPTS", "VCPU-H", "GIB-H", "GPU-H", "CPU UNUSED", "MEMORY UNUSED", "LOST VCPU-H"]
    say(table([*headings, *(["COST"] if report.is_priced else [])], [_cells(row, report.is_priced) for row in rows]))
    tell(f"From {clock(span.since_ms)} to {clock(span.until_ms)}. Hours are of what was asked for, from start to end.")
    if not report.is_priced:
        tell("No instance has a price: [prices] in the configuration names them (docs/configuration.md).")
    return 0


def _cells(row: CostRow, is_priced: bool) -> list[str]:
    is_job = bool(row.attempts)
    cells = [
        row.name,
        f"{row.attempts:,}" if is_job else "",
        _hours(row.milli_vcpu_ms / 1000),
        _hours(row.mib_ms / MIB_PER_GIB),
        _hours(row.gpu_ms) if row.gpu_ms else "",
        _unused(row.used_milli_vcpu_ms, row.measured_milli_vcpu_ms) if is_job else "",
        _unused(row.used_mib_ms, row.measured_mib_ms) if is_job else "",
        _hours(row.interrupted_milli_vcpu_ms / 1000) if row.interrupted_milli_vcpu_ms else "",
    ]
    return [*cells, f"${row.micro_dollars / MICRO_PER_DOLLAR:,.2f}"] if is_priced else cells


def _hours(unit_ms: float) -> str:
    hours = unit_ms / MS_PER_HOUR
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.3f}"


def _unused(used: int, measured: int) -> str:
    """Formats the share of what was asked for and not used, of the runs that were measured."""
    return f"{max(0, measured - used) * 100 // measured} %" if measured else NOT_MEASURED


def _document(report: Report, span: Span, by: str) -> dict[str, object]:
    return {
        "by": by,
        "since": span.since_ms,
        "until": span.until_ms,
        "rows": [_row_document(row) for row in report.rows],
        "idle": _row_document(report.idle),
        "total": _row_document(report.total),
        "isPriced": report.is_priced,
    }


def _row_document(row: CostRow) -> dict[str, object]:
    return {
        "name": row.name,
        "attempts": row.attempts,
        "vcpuHours": row.milli_vcpu_ms / 1000 / MS_PER_HOUR,
        "gibHours": row.mib_ms / MIB_PER_GIB / MS_PER_HOUR,
        "gpuHours": row.gpu_ms / MS_PER_HOUR,
        "usedVcpuHours": row.used_milli_vcpu_ms / 1000 / MS_PER_HOUR,
        "measuredVcpuHours": row.measured_milli_vcpu_ms / 1000 / MS_PER_HOUR,
        "usedGibHours": row.used_mib_ms / MIB_PER_GIB / MS_PER_HOUR,
        "measuredGibHours": row.measured_mib_ms / MIB_PER_GIB / MS_PER_HOUR,
        "interruptedVcpuHours": row.interrupted_milli_vcpu_ms / 1000 / MS_PER_HOUR,
        "dollars": row.micro_dollars / MICRO_PER_DOLLAR,
    }


# -- Spot --


def show_spot(client: Client, span_ms: int, *, as_json: bool) -> int:
    """Prints which definitions lost work with their hosts, those that lost most first."""
    until_ms = now_ms()
    rows = spot_rows(past_runs(client, max(0, until_ms - span_ms), until_ms))
    if as_json:
        print_json({"definitions": [{name: getattr(row, name) for name in row.__struct_fields__} for row in rows]})
        return 0
    if not rows:
        tell("No attempt has ended in that time. --since looks further back.")
        return 0
    headings = ["DEFINITION", "ATTEMPTS", "LOST", "LOST VCPU-H", "DONE VCPU-H", "LOSSES/H", "CHECKPOINTS", "SPOT PAYS"]
    say(table(headings, [_spot_cells(row) for row in rows]))
    tell("SPOT PAYS: while its price is below this part of the on-demand price, for attempts that begin anew.")
    return 0


def _spot_cells(row: SpotRow) -> list[str]:
    known = {None: "not known", True: "yes", False: "no"}[row.has_checkpoints] if row.lost else ""
    return [
        row.definition,
        f"{row.attempts:,}",
        f"{row.lost:,}" if row.lost else "",
        f"{row.lost_vcpu_hours:,.2f}" if row.lost else "",
        f"{row.useful_vcpu_hours:,.2f}",
        f"{row.rate_per_hour:.3f}" if row.lost else "",
        known,
        NOT_MEASURED if row.worth_below is None else f"below {row.worth_below:.0%}",
    ]
