"""Formats ages, tables and reasons for a terminal. Everything here is text from plain values."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from batchyard.cli.terminal_output import coloured, shown

SHORT_ID = 8  # characters: the first part of a UUID
REASON_MIN_WIDTH = 20  # below this a cut reason explains nothing: the terminal wraps it


def duration(milliseconds: int) -> str:
    """Formats a duration: `35ms`, `4.2s`, `42s`, `3m12s`, `5h03m`, `2d04h`."""
    if milliseconds < 1000:
        return f"{max(0, milliseconds)}ms"
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def name_of(arn: str) -> str:
    """Returns what follows the first `/` of an ARN; other text as it is."""
    return arn.partition("/")[2] if arn.startswith("arn:") else arn


def command_line(command: Sequence[str]) -> str:
    return shown(shlex.join(command))


def run_time(job: dict[str, Any], now: int) -> str:
    """Returns how long a job ran, or has been running; empty when it never started."""
    started = job.get("startedAt")
    if not started:
        return ""
    return duration((job.get("stoppedAt") or now) - started)


def progress(array: dict[str, Any]) -> str:
    """Formats an arrayProperties document: `37/50 done, 2 failed, 4 running`."""
    counts = array.get("statusSummary") or {}
    failed = counts.get("FAILED", 0)
    running = counts.get("RUNNING", 0) + counts.get("STARTING", 0)
    parts = [f"{counts.get('SUCCEEDED', 0) + failed}/{array.get('size', 0)} done"]
    if failed:
        parts.append(f"{failed} failed")
    if running:
        parts.append(f"{running} running")
    return ", ".join(parts)


def exit_code_of(container: dict[str, Any] | None) -> str:
    code = (container or {}).get("exitCode")
    return "" if code is None else str(code)


def reason_of(job: dict[str, Any]) -> str:
    """Returns statusReason and container.reason, joined as clients do."""
    reason = job.get("statusReason") or ""
    detail = (job.get("container") or {}).get("reason") or ""
    return shown(" - ".join(part for part in (reason, detail) if part))


def short_reason(job: dict[str, Any]) -> str:
    """Returns `reason_of` shortened for a row: of `CODE:DETAIL - AWS's sentence. Our numbers.` the detail and the
    numbers."""
    reason = reason_of(job)
    code, found, text = reason.partition(" - ")
    if not found or not code.isascii() or code != code.upper():
        return reason
    _, found, numbers = text.partition(". ")
    return f"{code.partition(':')[2] or code}: {numbers if found else text}"


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, status_column: int | None = None, indent: str = ""
) -> str:
    """Returns aligned columns. On a terminal the last one is cut to its width, and the status column has colours."""
    terminal = sys.stdout.isatty()
    rows = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in [headings, *rows]) for n in range(len(headings) - 1)]
    left = shutil.get_terminal_size().columns - len(indent) - sum(widths) - 2 * len(widths)
    lines = []
    for row in [headings, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if status_column is not None and row is not headings:
            cells[status_column] = coloured(cells[status_column], row[status_column])
        last = row[-1]
        if terminal and left >= REASON_MIN_WIDTH and len(last) > left:
            last = last[: left - 3] + "..."
        lines.append(indent + "  ".join([*cells, last]).rstrip())
    return "\n".join(lines)


def pairs(found: Iterable[tuple[str, str]], width: int, *, prose: bool = False) -> list[str]:
    """Returns lines of a label, padded to `width`, and its value. `prose`: sentences, which are wrapped for a
    terminal."""
    lines = []
    for label, value in found:
        head = f"{label:<{width}}"
        lines += hanging(head, shown(value)) if prose else [f"{head}{shown(value)}".rstrip()]
    return lines


def hanging(head: str, text: str) -> list[str]:
    """Returns `text` after `head`; on a terminal its further lines begin below its first word."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or columns - len(head) < REASON_MIN_WIDTH:
        return [f"{head}{text}".rstrip()]
    wrapper = textwrap.TextWrapper(columns, head, " " * len(head), break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(text) or [head.rstrip()]


def counted(number: int, noun: str) -> str:
    """Formats a count: `1 job`, `1,200 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
