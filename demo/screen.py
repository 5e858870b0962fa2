"""What the person who started the demo sees: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from demo.pipeline import ALL_STEPS, Step, done

Jobs = dict[Step, dict[str, Any]]

STYLES = {"SUCCEEDED": "green", "FAILED": "bold red", "RUNNING": "cyan", "STARTING": "cyan"}
REFRESH_PER_SECOND = 10
LOOK_SECONDS = 0.1
PLAIN_STEPS = 5  # an array says how far it is this many times when nobody can see a bar
MARGIN = "  "


class Screen:
    """Writes sections. `watch` shows the jobs until `finished`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._console.print()

    def title(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))
        self._console.print()

    def section(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, style="bold"), soft_wrap=True)

    def end(self) -> None:
        self._console.print()

    def fact(self, name: str, text: str) -> None:
        self._console.print(Text.assemble(MARGIN, (f"{name:<9}", "dim"), text), soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(MARGIN + text, style=style), soft_wrap=True)

    def command(self, command: str, meaning: str) -> None:
        """A line to copy, with what it does above it."""
        self._console.print(Text(MARGIN + meaning, style="dim"), soft_wrap=True)
        self._console.print(Text(MARGIN + MARGIN + command), soft_wrap=True)

    def table(self, headings: list[str], rows: list[list[str]]) -> None:
        """The first column is text, the others are numbers."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        grid = Table.grid()
        grid.add_row(MARGIN, table)
        self._console.print(grid)

    def watch(self, look: Callable[[], Jobs], timeout_seconds: float) -> Jobs:
        """Shows what `look` returns until every job has ended; returns the last of it. Raises TimeoutError."""
        if not self._console.is_terminal:
            return _poll(look, timeout_seconds, PlainLines(self.line).show)
        begun = time.monotonic()
        with Live(console=self._console, refresh_per_second=REFRESH_PER_SECOND, transient=False) as live:
            return _poll(look, timeout_seconds, lambda jobs: live.update(picture(jobs, time.monotonic() - begun)))


def _poll(look: Callable[[], Jobs], timeout_seconds: float, show: Callable[[Jobs], None]) -> Jobs:
    deadline = time.monotonic() + timeout_seconds
    while True:
        jobs = look()
        show(jobs)
        if all(job["status"] in ("SUCCEEDED", "FAILED") for job in jobs.values()):
            return jobs
        if time.monotonic() > deadline:
            states = ", ".join(f"{step.job_name} {state(job)}" for step, job in jobs.items())
            raise TimeoutError(f"After {timeout_seconds:.0f} s: {states}.")
        time.sleep(LOOK_SECONDS)


def state(job: dict[str, Any]) -> str:
    """The job's status; of an array whose children run, what they do."""
    counts = job.get("arrayProperties", {}).get("statusSummary", {})
    if job["status"] in ("PENDING", "RUNNABLE") and (counts.get("RUNNING") or counts.get("SUCCEEDED")):
        return "RUNNING"
    status: str = job["status"]
    return status


def picture(jobs: Jobs, seconds: float) -> Table:
    """One row for each step: name, state, bar, how many of how many."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for step in ALL_STEPS:
        shown = state(jobs[step])
        finished = done(jobs[step])
        bar = ProgressBar(total=step.size, completed=finished, width=30, complete_style="cyan", finished_style="green")
        style = STYLES.get(shown, "dim")
        grid.add_row("", step.job_name, Text(f"{shown:<9}", style=style), bar, f"{finished:>2}/{step.size}")
    grid.add_row("", Text(f"{seconds:.1f} s", style="dim"), "", "", "")
    return grid


class PlainLines:
    """A line for each change worth one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._said: dict[Step, tuple[str, int]] = {}

    def show(self, jobs: Jobs) -> None:
        for step in ALL_STEPS:
            shown, finished = state(jobs[step]), done(jobs[step])
            said = (shown, finished * PLAIN_STEPS // step.size)
            if self._said.get(step) != said:
                self._said[step] = said
                count = f"  {finished}/{step.size}" if step.size > 1 else ""
                self._write(f"{step.job_name:<18} {shown}{count}")
