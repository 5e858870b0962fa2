"""The MPI libraries of PyPI over several nodes as processes, as a user installs them: nothing is set up by hand.

BATCHYARD_ALL_MPI: Intel's too, which takes a while to be installed (`make hunt`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Server
from tests.server.test_docker import log_of
from tests.waiting import until

LOCKED = Path(__file__).parents[2] / "requirements" / "mpi.txt"
INSTALL_SECONDS = 300.0
JOB_SECONDS = 90.0
NODES, SLOTS = 3, 2
LAUNCHERS = {"openmpi": [["mpirun"], ["mpiexec", "-n", "6"]], "mpich": [["mpiexec", "-n", "6"]]}
if os.environ.get("BATCHYARD_ALL_MPI"):
    LAUNCHERS["impi-rt"] = [["mpiexec", "-n", "6"]]
# All ranks add up their numbers, and say on which node they are: the one whose agent they come from, since Hydra gives
# them the main node's environment.
PROGRAM = """
import os
from pathlib import Path
from mpi4py import MPI

def node_of(pid):
    while pid > 1:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\\0")
        if len(words) > 3 and words[1].endswith("/agent"):
            return words[3]
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

world = MPI.COMM_WORLD
total = world.allreduce(world.rank)
print(f"rank {world.rank} of {world.size} on {node_of(os.getpid())}: {total}", flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("pypi")
    with Server(directory, "--vcpus", "8", "--memory", "4096", "--stop-grace-seconds", "2") as running:
        yield running


def install(directory: Path, library: str) -> Path:
    """A virtual environment with one library and mpi4py, in the versions and with the hashes of the lock file."""
    blocks = re.findall(r"^\S+==(?:.*\\\n)*.*$", LOCKED.read_text(), re.MULTILINE)
    wanted = directory / f"{library}.txt"
    wanted.write_text("".join(f"{one}\n" for one in blocks if one.split("==")[0] in (library, "mpi4py")))
    place = directory / library
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=INSTALL_SECONDS)
    pip = [sys.executable, "-m", "pip", "--python", str(place), "install", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run(
        [*pip, "-r", str(wanted)], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode:
        pytest.skip(f"{library} can't be installed: {done.stderr[-500:]}")
    return place / "bin"


def run(server: Server, programs: Path, launcher: list[str]) -> dict[str, Any]:
    """Runs the program on all nodes, and returns the job."""
    path = {"name": "PATH", "value": f"{programs}:/usr/bin:/bin"}
    resources = [{"type": kind, "value": value} for kind, value in (("VCPU", str(SLOTS)), ("MEMORY", "512"))]
    base = {"image": "any", "environment": [path], "resourceRequirements": resources}
    main = [*launcher, str(programs / "python"), "-c", PROGRAM]
    ranges = [
        {"targetNodes": "0", "container": base | {"command": main}},
        {"targetNodes": "1:", "container": base | {"command": ["sleep", "1000"]}},
    ]
    nodes = {"numNodes": NODES, "mainNode": 0, "nodeRangeProperties": ranges}
    server.call("RegisterJobDefinition", {"jobDefinitionName": "mpi", "type": "multinode", "nodeProperties": nodes})
    request = {"jobName": "mpi", "jobQueue": "default", "jobDefinition": "mpi"}
    job_id = server.call("SubmitJob", request)["jobId"]
    until(lambda: server.status(job_id) in ("SUCCEEDED", "FAILED"), JOB_SECONDS, lambda: server.status(job_id))
    (job,) = server.call("DescribeJobs", {"jobs": [f"{job_id}#0"]})["jobs"]
    return dict(job)


@pytest.mark.parametrize("library", LAUNCHERS)
def test_a_plain_launcher_reaches_all_nodes(tmp_path: Path, server: Server, library: str) -> None:
    programs = install(tmp_path, library)
    for launcher in LAUNCHERS[library]:
        job = run(server, programs, launcher)
        said = log_of(server, job)
        assert job["status"] == "SUCCEEDED", said
        ranks = sorted(line for line in said if line.startswith("rank "))
        slots = [node for node in range(NODES) for _ in range(SLOTS)]
        assert ranks == [f"rank {rank} of 6 on {node}: 15" for rank, node in enumerate(slots)], said
