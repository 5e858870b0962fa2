"""`make demo`: starts Batchyard, runs a pipeline of real programs through it with boto3, checks the result, cleans up.

    python demo/run.py [--lines 200000] [--dir .demo]

The exit code is 0 only if every job succeeded, the result is right, and no process was left running.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, Python looks for modules beside it only

from rich.console import Console

from demo.access_log import DATE, write_log
from demo.check import Table, count_in_one_process, differences, read_table
from demo.pipeline import AGGREGATE, INGEST, PARTS, TRANSFORM, Pipeline
from demo.screen import Jobs, Screen
from demo.service import DemoError, Service, batchyard_command, refuse_if_served

ROOT = Path(__file__).resolve().parents[1]
LINES = 200_000
MOST_LINES = 50_000_000  # 4 GB: a typing mistake
RUN_SECONDS = 300.0  # the pipeline takes seconds; a machine that is very slow gets a story instead of an endless wait
LOOK_SECONDS = 120.0  # on a terminal, to look at the console: it ends also without a reader
PAGE_SECONDS = 30.0  # a page takes milliseconds
SHOWN_ROWS = 8
SHOWN_OUTPUT_LINES = 4
SHOWN_DIFFERENCES = 10
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main() -> int:
    arguments = _arguments()
    folder: Path = arguments.dir.resolve()
    screen = Screen(Console(highlight=False))
    screen.title("Batchyard demo: a day of web traffic, counted by real jobs")
    try:
        batchyard = batchyard_command()
        with _only_one(folder):
            refuse_if_served(batchyard, folder / "data")
            _clear(folder)
            service = Service(batchyard, folder)
            try:
                _show(screen, service, folder, arguments.lines)
            except BaseException:
                # Whatever happened, Ctrl-C too: nothing may be left running. What went wrong is told further up.
                _stop(service)
                raise
            _say_goodbye(screen, service, batchyard)
    except DemoError as error:
        screen.section(f"The demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        screen.section("Interrupted; everything that the demo started has been stopped.")
        return INTERRUPTED
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a pipeline of real jobs through Batchyard.")
    parser.add_argument("--lines", type=int, default=LINES, help=f"lines of input (default {LINES})")
    parser.add_argument("--dir", type=Path, default=ROOT / ".demo", help="where to keep everything (default .demo)")
    arguments = parser.parse_args()
    if not PARTS <= arguments.lines <= MOST_LINES:
        parser.error(f"--lines must be from {PARTS} to {MOST_LINES}, got {arguments.lines}")
    return arguments


def _show(screen: Screen, service: Service, folder: Path, lines: int) -> None:
    """Everything between making the input and the checked result."""
    work = folder / "work"
    work.mkdir()
    log = work / f"access-{DATE}.log"
    size = write_log(log, lines)
    screen.fact("input", f"{_shown(log)}, {lines:,} lines, {size / 1e6:.1f} MB")
    try:
        begun = time.monotonic()
        service.start()
        screen.fact("service", f"{service.address}, up after {time.monotonic() - begun:.1f} s")
        pipeline = Pipeline(service.address, work)
        pipeline.submit()
        screen.section(f"Ingest, then {PARTS} transforms, then aggregate")
        jobs = screen.watch(pipeline.look, RUN_SECONDS)
        failure = pipeline.failure()
        if failure:
            raise DemoError(failure)
        _show_result(screen, pipeline, jobs, log, work / "table.tsv")
        _show_console(screen, service, pipeline)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        tail = service.log_tail() or "(nothing)"
        raise DemoError(f"{error}\n\nThe end of the service's log, {_shown(service.log)}:\n{tail}") from error


def _show_result(screen: Screen, pipeline: Pipeline, jobs: Jobs, log: Path, target: Path) -> None:
    job = jobs[AGGREGATE]
    screen.section(f"Its log in CloudWatch Logs: {job['container']['logStreamName']}")
    for line in list(pipeline.output(job))[:SHOWN_OUTPUT_LINES]:
        screen.line(line)

    table = read_table(target)
    screen.section(f"The result: {_shown(target)}")
    rows = sorted(table.items(), key=lambda item: -item[1][0])[:SHOWN_ROWS]
    shown = [[path, status, f"{count:,}", f"{size:,}"] for (path, status), (count, size) in rows]
    screen.table(["path", "status", "requests", "bytes"], shown)

    begun = time.monotonic()
    expected = count_in_one_process(log)
    seconds = time.monotonic() - begun
    _check(table, expected)
    screen.line(f"Checked: one process counts the same in all {len(expected)} rows.", "green")

    screen.section("Timings")
    children = pipeline.children()
    together = sum(_ran_ms([child]) for child in children) / 1000
    whole = (jobs[AGGREGATE]["stoppedAt"] - jobs[INGEST]["createdAt"]) / 1000
    for name, taken, meaning in (
        (INGEST.job_name, _ran_ms([jobs[INGEST]]) / 1000, "one job"),
        (TRANSFORM.job_name, _ran_ms(children) / 1000, f"{PARTS} jobs, together {together:.2f} s"),
        (AGGREGATE.job_name, _ran_ms([jobs[AGGREGATE]]) / 1000, "one job"),
        ("all of it", whole, "from the first submission to the last exit code"),
        ("one process", seconds, "the same count, without jobs"),
    ):
        screen.line(f"{name:<18} {taken:5.2f} s  {meaning}")


def _show_console(screen: Screen, service: Service, pipeline: Pipeline) -> None:
    """The addresses of the pages; on a terminal there is time to open them."""
    screen.section("The same in a browser")
    console = f"{service.address}/console/"
    for path, meaning in (
        ("", "Is all well, and what first?"),
        (f"jobs/{pipeline.job_ids[TRANSFORM]}", f"The {PARTS} transforms, a cell each:"),
        (f"jobs/{pipeline.job_ids[AGGREGATE]}", "The last job: what it waited for, its log, what it used:"),
    ):
        _check_page(console + path)
        screen.command(console + path, meaning)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    screen.line("")
    screen.line(f"Enter ends the demo; it ends by itself in {LOOK_SECONDS:.0f} s.", "bold")
    readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    if readable:
        sys.stdin.readline()


def _check_page(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PAGE_SECONDS) as answer:  # any status but 200 raises
        if b"<h1" not in answer.read():
            raise DemoError(f"{url} is no page of the console.")


def _check(table: Table, expected: Table) -> None:
    wrong = differences(table, expected)
    if wrong:
        shown = "\n".join(wrong[:SHOWN_DIFFERENCES])
        raise DemoError(f"The result is wrong in {len(wrong)} rows:\n{shown}")


def _ran_ms(jobs: list[dict[str, Any]]) -> int:
    """From the first start to the last stop, milliseconds."""
    first: int = min(job["startedAt"] for job in jobs)
    last: int = max(job["stoppedAt"] for job in jobs)
    return last - first


def _say_goodbye(screen: Screen, service: Service, batchyard: Path) -> None:
    stopped = _stop(service)
    names = " and ".join(f"{role} {pid}" for pid, role in sorted(stopped.items()))
    screen.section("Stopped")
    screen.line(f"No process is left: {names} have ended, and so has every job.")
    screen.section("Where to look next")
    command, data = _shown(batchyard), _shown(service.data_dir)
    screen.command(f"{command} up --data-dir {data}", "Start the service again, on the jobs you just saw:")
    screen.command(f"{command} open", "Then, in another terminal, look at them in a browser:")
    screen.command(f"{command} jobs --all", "Or list them:")
    aws = _shown(batchyard.parent / "aws")
    keys = "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1"
    endpoint = "--endpoint-url http://127.0.0.1:8470"
    screen.command(f"{keys} {aws} batch describe-job-queues {endpoint}", "Or ask with the AWS CLI:")
    screen.command(f"{command} run -- echo hello", "Run something of your own:")
    screen.command(_shown(ROOT / "docs" / "quickstart.md"), "And read on:")
    screen.end()


def _stop(service: Service) -> dict[int, str]:
    """Stops it, whatever the keyboard says: a second Ctrl-C would leave it running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return service.stop()


def _only_one(folder: Path) -> Any:
    """A lock for as long as it is open: two demos in one folder would take each other's data away."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise DemoError(f"Another demo is running in {_shown(folder)}.") from error
    return lock


def _clear(folder: Path) -> None:
    for name in ("data", "work"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _shown(path: Path) -> str:
    """Relative to where the person stands, when it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # a profile or endpoint of the user's must not change where the demo's calls go
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
