"""The console at a million jobs: how long its pages take the server and the network of loopback, and their size.

    python -m bench.console [--arrays 100] [--times 9]

A hundred arrays of 10,000 children wait, so that nothing but the pages is measured. The time is from the request to
the end of the answer, on a connection that is kept; the median and the longest of some tries. `first visit` is the
overview, its style and its script on new connections, one after the other."""

from __future__ import annotations

import argparse
import gzip
import http.client
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from batchyard.console.rendering import static_url
from bench.server import running_server

CHILDREN = 10_000
MOST_ARRAYS = 1000
HEADERS = {"Accept-Encoding": "gzip"}


def fill(address: str, arrays: int) -> str:
    """Submits the arrays; returns the id of the last."""
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    batch = boto3.client("batch", endpoint_url=address, **keys)
    asks = [{"type": "VCPU", "value": "64"}, {"type": "MEMORY", "value": "64"}]
    properties = {"image": "x", "command": ["sleep", "600"], "resourceRequirements": asks}
    batch.register_job_definition(jobDefinitionName="wide", type="container", containerProperties=properties)
    job_id = ""
    for number in range(arrays):
        request = {"jobName": f"sweep-{number}", "jobQueue": "default", "jobDefinition": "wide"}
        job_id = batch.submit_job(**request, arrayProperties={"size": CHILDREN})["jobId"]
    return job_id


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers=HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, f"{path}: {answer.status}"
    return body


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the console's pages at a million jobs.")
    parser.add_argument("--arrays", type=int, default=100, choices=range(1, MOST_ARRAYS), metavar="N")
    parser.add_argument("--times", type=int, default=9, choices=range(1, 1000), metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder), 4) as server:
        last = fill(server.address, arguments.arrays)
        host, port = urlsplit(server.address).hostname or "", urlsplit(server.address).port
        print(f"{arguments.arrays * CHILDREN:,} jobs")
        shown = {"an array": f"jobs/{last}", "a child": f"jobs/{last}:{CHILDREN - 1}", "the overview": ""}
        shown |= {"jobs": "jobs", "jobs of a name": "jobs?name=sweep-1", "jobs of a state": "jobs?state=pending"}
        shown |= {"jobs, none found": "jobs?name=none", "a queue": "queues/default", "environments": "environments"}
        connection = http.client.HTTPConnection(host, port, timeout=60)
        for name, path in shown.items():
            times = []
            for _ in range(arguments.times):
                begun = time.perf_counter()
                body = get(connection, f"/console/{path}")
                times.append((time.perf_counter() - begun) * 1000)
            plain = len(gzip.decompress(body)) if body[:2] == b"\x1f\x8b" else len(body)
            median, longest = statistics.median(times), max(times)
            print(f"{name:<18} {median:6.1f} ms, {longest:6.1f} at most; {len(body):6,} bytes ({plain:,} plain)")
        connection.close()
        print(first_visits(host, port, arguments.times))
    return 0


def first_visits(host: str, port: int | None, times: int) -> str:
    taken, size = [], 0
    for _ in range(times):
        begun, size = time.perf_counter(), 0
        for path in ("/console/", static_url("console.css"), static_url("console.js")):
            connection = http.client.HTTPConnection(host, port, timeout=60)
            size += len(get(connection, path))
            connection.close()
        taken.append((time.perf_counter() - begun) * 1000)
    return f"first visit        {statistics.median(taken):6.1f} ms, {max(taken):6.1f} at most; {size:6,} bytes"


if __name__ == "__main__":
    sys.exit(main())
