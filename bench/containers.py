"""Containers against the bare Engine API: an array of `true` in containers, end to end, beside a loop that does nothing
but create, start, wait for and remove the same containers, as many at once, over the same kind of connection.

The bare loop runs before and after, so that a machine that slows down meanwhile is noticed by both.
"""

import asyncio
import io
import os
import shutil
import sys
import tarfile
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchyard.engines.docker.api import Api, ApiError
from batchyard.engines.docker.engine import MAX_STARTS_AT_ONCE
from batchyard.engines.docker.sockets import Probe, probe
from bench.errors import BenchError
from bench.server import JOB_MEMORY_MIB, run_array, running_server

IMAGE = "batchyard-bench:true"
COUNT = 96  # twelve rounds of as many as are started at once
TIMEOUT_SECONDS = 300.0
MIB = 1024 * 1024
MIN_MEMORY_MIB = 6  # what Docker starts


@dataclass(frozen=True)
class Containers:
    """Containers per second, `count` each; `bare`: before and after ours."""

    count: int
    in_flight: int
    bare: tuple[float, float]
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / (sum(self.bare) / len(self.bare))


def measure(count: int = COUNT, in_flight: int = MAX_STARTS_AT_ONCE) -> Containers:
    """Raises BenchError: why it can't be measured here."""
    found = asyncio.run(probe(os.environ))
    if found.problem or found.socket_path is None:
        raise BenchError(f"Docker can't be used: {found.problem}")
    asyncio.run(_make_image(found.socket_path))
    before = asyncio.run(_bare(found, count, in_flight))
    with (
        tempfile.TemporaryDirectory(prefix="batchyard-bench-") as folder,
        running_server(Path(folder), in_flight, "docker") as server,
    ):
        run = run_array(server, count, in_flight, TIMEOUT_SECONDS, image=IMAGE)
    after = asyncio.run(_bare(found, count, in_flight))
    return Containers(count, in_flight, (before, after), run.jobs_per_second)


async def _make_image(socket_path: Path) -> None:
    """An image of a static busybox alone: no registry is asked."""
    api = Api(socket_path)
    try:
        await api.negotiate()
        try:
            await api.json("GET", f"/images/{IMAGE}/json")
        except ApiError:
            repository, _, tag = IMAGE.partition(":")
            query = {"fromSrc": "-", "repo": repository, "tag": tag}
            async with await api.open("POST", "/images/create", query, _files()) as response:
                await response.read()
    finally:
        api.close()


def _files() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchError("there is no busybox to make an image of (Debian: apt-get install busybox-static)")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        entry = tarfile.TarInfo("bin/true")
        entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(entry)
    return archive.getvalue()


async def _bare(found: Probe, count: int, in_flight: int) -> float:
    """Containers per second."""
    assert found.socket_path is not None
    api = Api(found.socket_path)
    await api.negotiate()
    config = {
        "NetworkMode": "host",
        "Init": True,
        "CpuShares": 1024,
        "Memory": max(JOB_MEMORY_MIB, MIN_MEMORY_MIB) * MIB,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "64m", "max-file": "2"}},
    }
    body: dict[str, Any] = {"Image": IMAGE, "Cmd": ["/bin/true"], "HostConfig": config}
    waiting = list(range(count))

    async def work() -> None:
        while waiting:
            waiting.pop()
            made = await api.json("POST", "/containers/create", body=body)
            await api.json("POST", f"/containers/{made['Id']}/start")
            ended = await api.json("POST", f"/containers/{made['Id']}/wait")
            if ended["StatusCode"] != 0:
                raise BenchError(f"a container ended with {ended['StatusCode']}")
            await api.json("DELETE", f"/containers/{made['Id']}", {"v": "1"})

    start = time.monotonic()
    try:
        await asyncio.gather(*(work() for _ in range(in_flight)))
    finally:
        api.close()
    return count / (time.monotonic() - start)


def report(measured: Containers) -> str:
    before, after = measured.bare
    return (
        f"bare API   {before:8.1f} containers/s before, {after:.1f} after   {measured.in_flight} in flight\n"
        f"batchyard  {measured.ours:8.1f} containers/s   array of {measured.count}, {measured.in_flight} at once\n"
        f"ratio      {measured.ratio:8.2f} of the bare Engine API"
    )


def figures(measured: Containers) -> dict[str, Any]:
    return asdict(measured) | {"ratio": measured.ratio}


def main() -> int:
    try:
        print(report(measure()))
    except BenchError as error:
        print(f"bench: containers were not measured: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
