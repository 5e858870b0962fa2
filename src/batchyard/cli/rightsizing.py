"""`batchyard rightsize`: what attempts used, drawn as a histogram, and the size that follows from it."""

from __future__ import annotations

from typing import Any

from batchyard.analysis.past_runs import PastRun
from batchyard.analysis.quantiles import quantile
from batchyard.analysis.rightsizing import (
    MARGIN_PERCENT,
    MILLI,
    MIN_ATTEMPTS,
    PERCENT,
    Host,
    Recommendation,
    Usage,
    fitting,
    histogram,
    recommend,
    usage_of,
)
from batchyard.cli.client import BATCH, YARD, Client, ClientError, Document
from batchyard.cli.formats import counted, now_ms, pairs, table
from batchyard.cli.past import past_runs
from batchyard.cli.terminal_output import print_json, say, tell

FULL, EIGHTHS = "█", " ▏▎▍▌▋▊▉"
BAR_COLUMNS = 40
LABEL_WIDTH = 14
REGISTERED = (  # members of a definition that RegisterJobDefinition takes as DescribeJobDefinitions answers them
    "jobDefinitionName",
    "type",
    "parameters",
    "schedulingPriority",
    "retryStrategy",
    "timeout",
    "propagateTags",
    "tags",
    "platformCapabilities",
    "consumableResourceProperties",
)


def show_all(client: Client, span_ms: int, *, as_json: bool) -> int:
    """Prints a line for each definition that ran in the last `span_ms`."""
    now = now_ms()
    runs: dict[str, list[PastRun]] = {}
    for run in past_runs(client, max(0, now - span_ms), now):
        runs.setdefault(run.definition_name, []).append(run)
    found = []
    for name in sorted(runs):
        usage = usage_of(runs[name])
        found.append((name, runs[name][-1], usage, recommend(usage)))
    if as_json:
        print_json({"definitions": [_document(*one) for one in found]})
        return 0
    if not found:
        tell("No attempt ran in that time. --since looks further back.")
        return 0
    headings = ["DEFINITION", "ATTEMPTS", "ASKED", "P50", "P95", "PEAK", "KILLED", "RECOMMENDED"]
    say(table(headings, [_line(*one) for one in found]))
    return 0


def _line(name: str, last: PastRun, usage: Usage, advice: Recommendation | None) -> list[str]:
    peaks = usage.peaks_mib
    return [
        name,
        f"{usage.attempts:,}",
        f"{last.memory_mib} MiB",
        f"{quantile(peaks, 50)} MiB" if peaks else "-",
        f"{quantile(peaks, PERCENT)} MiB" if peaks else "-",
        f"{peaks[-1]} MiB" if peaks else "-",
        f"{len(usage.limits_mib):,}" if usage.limits_mib else "",
        _advice(advice),
    ]


def _advice(advice: Recommendation | None) -> str:
    if advice is None:
        return "not measured"
    if advice.memory_mib is None:
        return f"more than {advice.peak.value} MiB"
    size = f"{advice.memory_mib} MiB" + (f", {_vcpus(advice.milli_vcpus)}" if advice.milli_vcpus else "")
    return size if advice.is_confident else f"{size} (few attempts)"


def _vcpus(milli_vcpus: int) -> str:
    return f"{milli_vcpus / MILLI:g} vCPU{'' if milli_vcpus == MILLI else 's'}"


def show_definition(client: Client, name: str, span_ms: int, *, applies: bool, as_json: bool) -> int:
    """Prints what a definition's attempts used in the last `span_ms` and the size it should ask for; `applies`:
    registers it."""
    definition = _definition(client, name)
    now = now_ms()
    wanted = name if ":" in name else str(definition["jobDefinitionName"])
    runs = list(past_runs(client, max(0, now - span_ms), now, wanted))
    usage = usage_of(runs)
    advice = recommend(usage, is_fargate="FARGATE" in definition.get("platformCapabilities", ()))
    if as_json:
        print_json(_document(definition["jobDefinitionName"], runs[-1] if runs else None, usage, advice))
    else:
        _show(client, definition, usage, advice)
    if applies:
        _apply(client, definition, advice)
    return 0


def _definition(client: Client, name: str) -> Document:
    """Returns the revision that is named, else the newest active one."""
    by = {"jobDefinitions": [name]} if ":" in name else {"jobDefinitionName": name, "status": "ACTIVE"}
    found = client.call("DescribeJobDefinitions", by, BATCH)["jobDefinitions"]
    if not found:
        raise ClientError(f"There is no job definition {name}.")
    return max(found, key=lambda one: int(one["revision"]))


def _asked(definition: Document) -> tuple[int, int]:
    """Returns the milli-vCPUs and MiB that a definition asks for; 0 where it is of another kind."""
    container: Document = definition.get("containerProperties") or {}
    needs = {one["type"]: one["value"] for one in container.get("resourceRequirements", [])}
    vcpus = needs.get("VCPU") or container.get("vcpus") or 0
    memory_mib = needs.get("MEMORY") or container.get("memory") or 0
    return round(float(vcpus) * MILLI), int(memory_mib)


def _show(client: Client, definition: Document, usage: Usage, advice: Recommendation | None) -> None:
    title = f"{definition['jobDefinitionName']}:{definition['revision']}"
    if advice is None:
        left = f" {counted(usage.left_out, 'other attempt')} failed or ran unmeasured." if usage.left_out else ""
        tell(f"No attempt of {title} in that time has succeeded and was measured.{left}")
        return
    milli_vcpus, memory_mib = _asked(definition)
    say(f"{title}: {counted(usage.attempts, 'attempt')}")
    if usage.peaks_mib:
        say(_drawing(usage))
    say("\n".join(pairs(_facts(usage, advice, milli_vcpus, memory_mib), LABEL_WIDTH)))
    if advice.memory_mib is None:
        higher = advice.peak.value * 3 // 2
        tell(f"More than {PERCENT} % of what is known exceeds {advice.peak.value} MiB: try {higher} MiB.")
        return
    if not advice.is_confident:
        tell(f"Fewer than {MIN_ATTEMPTS} attempts: their largest peak and {MARGIN_PERCENT} % more, not a percentile.")
    if memory_mib:
        hosts = _hosts(client)
        before = fitting(hosts, milli_vcpus, memory_mib)
        after = fitting(hosts, advice.milli_vcpus or milli_vcpus, advice.memory_mib)
        say(
            "\n".join(
                pairs([("side by side", f"{after:,} on the instances there are now, {before:,} as it is")], LABEL_WIDTH)
            )
        )


def _drawing(usage: Usage) -> str:
    """Draws the peaks as bars with eighths of a column."""
    bars = histogram(usage.peaks_mib)
    highest = max(bar.count for bar in bars)
    width = len(f"{bars[-1].high - 1:,}")
    lines = []
    for bar in bars:
        eighths = -(-bar.count * BAR_COLUMNS * 8 // highest)
        drawn = FULL * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
        span = f"{bar.low:>{width},}-{bar.high - 1:<{width},} MiB"
        lines.append(f"  {span}  {drawn.ljust(BAR_COLUMNS)}  {bar.count:,}")
    return "\n".join(lines)


def _facts(usage: Usage, advice: Recommendation, milli_vcpus: int, memory_mib: int) -> list[tuple[str, str]]:
    found = []
    if usage.peaks_mib:
        at = [f"p50 {quantile(usage.peaks_mib, 50)}", f"p95 {quantile(usage.peaks_mib, PERCENT)}"]
        found.append(("peak memory", f"{', '.join(at)}, highest {usage.peaks_mib[-1]} MiB"))
    if usage.milli_vcpus:
        rates = [f"p{n} {quantile(usage.milli_vcpus, n) / MILLI:.2f}" for n in (50, PERCENT)]
        found.append(("CPU in use", f"{', '.join(rates)} vCPUs"))
    if usage.limits_mib:
        text = f"{counted(len(usage.limits_mib), 'attempt')} killed for memory: they needed more than their limits"
        found.append(("killed", f"{text}, {usage.limits_mib[0]} to {usage.limits_mib[-1]} MiB"))
    if memory_mib:
        found.append(("asks for", f"{memory_mib} MiB, {_vcpus(milli_vcpus)}"))
    if advice.memory_mib is not None:
        size = f"{advice.memory_mib} MiB" + (f", {_vcpus(advice.milli_vcpus)}" if advice.milli_vcpus else "")
        found.append(("recommended", size))
        text = f"{advice.killed:,} of {usage.attempts:,} attempts would have been killed with it"
        found.append(("risk", text))
    return found


def _hosts(client: Client) -> list[Host]:
    """Returns what the instances offer: those of MANAGED environments and this machine overlap, so that only the first
    kind counts where there are any."""
    rows = client.call("ListInstances", {}, YARD)["instances"]
    managed = [row for row in rows if "instanceType" in row]
    return [Host(round(row["capacity"]["vcpus"] * MILLI), int(row["capacity"]["memory"])) for row in managed or rows]


def _apply(client: Client, definition: Document, advice: Recommendation | None) -> None:
    """Registers a revision with the recommended size."""
    if advice is None or advice.memory_mib is None:
        raise ClientError("There is no size to apply: no attempt shows what is enough.")
    if not advice.is_confident:
        raise ClientError(f"Not applied: fewer than {MIN_ATTEMPTS} attempts were measured.")
    if not definition.get("containerProperties"):
        raise ClientError("Not applied: only definitions with containerProperties can be changed here.")
    request: dict[str, Any] = {name: definition[name] for name in REGISTERED if name in definition}
    container = dict(definition["containerProperties"])
    needs = [one for one in container.get("resourceRequirements", []) if one["type"] not in ("VCPU", "MEMORY")]
    milli_vcpus = advice.milli_vcpus or _asked(definition)[0]
    needs += [
        {"type": "VCPU", "value": f"{milli_vcpus / MILLI:g}"},
        {"type": "MEMORY", "value": str(advice.memory_mib)},
    ]
    container["resourceRequirements"] = needs
    for old in ("vcpus", "memory"):
        container.pop(old, None)
    request["containerProperties"] = container
    answer = client.call("RegisterJobDefinition", request, BATCH)
    tell(f"Registered {answer['jobDefinitionName']}:{answer['revision']}.")


def _document(name: str, last: PastRun | None, usage: Usage, advice: Recommendation | None) -> Document:
    document: Document = {
        "jobDefinition": name,
        "attempts": usage.attempts,
        "leftOut": usage.left_out,
        "killedForMemory": list(usage.limits_mib),
    }
    if last is not None:
        document["asked"] = {"memory": last.memory_mib, "vcpus": last.milli_vcpus / MILLI}
    if usage.peaks_mib:
        document["peakMemory"] = {f"p{n}": quantile(usage.peaks_mib, n) for n in (50, PERCENT, 100)}
    if usage.milli_vcpus:
        document["vcpusInUse"] = {f"p{n}": quantile(usage.milli_vcpus, n) / MILLI for n in (50, PERCENT, 100)}
    if advice is not None:
        document["recommended"] = {
            "memory": advice.memory_mib,
            "vcpus": advice.milli_vcpus / MILLI if advice.milli_vcpus else None,
            "wouldHaveBeenKilled": advice.killed,
            "isConfident": advice.is_confident,
        }
    return document
