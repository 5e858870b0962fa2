"""The bench: an array of 10,000 × /bin/true, end to end, against the floor of this machine in the same run.

A server of its own, in a directory of its own, is started, measured and stopped.
"""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import containers, floor
from bench.errors import BenchError
from bench.server import Run, run_array, running_server


def report(measured_floor: floor.Floor, run: Run) -> str:
    microseconds = {
        "server": run.server_cpu.own_seconds * 1e6 / run.jobs,
        "supervisor": run.supervisor_cpu.own_seconds * 1e6 / run.jobs,
        "jobs themselves": run.supervisor_cpu.children_seconds * 1e6 / run.jobs,
    }
    rate, floor_rate = run.jobs_per_second, measured_floor.per_second
    array = f"array of {run.jobs:,}, {run.vcpus} vCPUs declared"
    times = f"{run.seconds:.2f} s, submitted in {run.submit_seconds * 1000:.0f} ms"
    cpu = ", ".join(f"{name} {value:.0f} µs" for name, value in microseconds.items())
    return (
        f"floor      {floor_rate:8,.0f} processes/s   {measured_floor.method}\n"
        f"batchyard  {rate:8,.0f} jobs/s        {array}: {times}\n"
        f"ratio      {rate / floor_rate:8.2f} of the floor\n"
        f"CPU a job: {cpu}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="size of the array, 2 to 10,000 (default 10,000)")
    parser.add_argument("--vcpus", type=int, default=16, help="vCPUs declared: jobs at once (default 16)")
    parser.add_argument("--timeout-seconds", type=float, default=300.0, help="give up after this (default 300)")
    parser.add_argument("--containers", type=int, help="how many containers against Docker's API (default 96; 0: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    # Being told to end must not leave a server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    measured_floor = floor.measure()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="batchyard-bench-") as folder,
            running_server(Path(folder), options.vcpus) as server,
        ):
            run = run_array(server, options.jobs, options.vcpus, options.timeout_seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(report(measured_floor, run))
    ratio = run.jobs_per_second / measured_floor.per_second
    figures: dict[str, Any] = {"floor": asdict(measured_floor), "array": asdict(run), "ratio": ratio}
    if options.containers != 0:
        figures["containers"] = run_containers(options.containers)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def run_containers(count: int | None) -> dict[str, Any] | None:
    """None where there is nothing to measure them with: that is said, and no failure."""
    print()
    try:
        measured = containers.measure() if count is None else containers.measure(count)
    except BenchError as error:
        print(f"containers were not measured: {error}")
        return None
    print(containers.report(measured))
    return containers.figures(measured)


if __name__ == "__main__":
    sys.exit(main())
