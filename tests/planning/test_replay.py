"""What really ran, replayed: the simulation starts the jobs when the service started them."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from batchyard.cli.app import app
from batchyard.cli.client import Client
from batchyard.cli.options import connect
from batchyard.cli.past import past_runs
from batchyard.core.capacity.prices import Prices
from batchyard.planning.history import workload_of
from batchyard.planning.instance_types import load_catalogue
from batchyard.planning.simulation import Conditions, Simulation
from batchyard.planning.site import Host, Site, with_queues
from tests.server.running import Server
from tests.waiting import until

JOBS = 40
FAR_MS = 1 << 50
VCPUS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of four vCPUs that ran jobs of some tenths of a second, of one to three vCPUs."""
    with Server(tmp_path_factory.mktemp("service"), "--vcpus", str(VCPUS)) as started:
        batch = boto3.client(
            "batch", "us-east-1", endpoint_url=started.address, aws_access_key_id="a", aws_secret_access_key="b"
        )
        chance = random.Random(7)
        ids = [submit(batch, chance.uniform(0.1, 0.6), chance.choice([1, 1, 2, 3])) for _ in range(JOBS)]

        def are_over() -> bool:
            found = batch.describe_jobs(jobs=ids)["jobs"]
            return all(one["status"] == "SUCCEEDED" for one in found)

        until(are_over, 120)
        yield started


def submit(batch: Any, seconds: float, vcpus: int) -> str:
    needs = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": "16"}]
    container = {"image": "host", "command": ["sleep", f"{seconds:.2f}"], "resourceRequirements": needs}
    batch.register_job_definition(jobDefinitionName="nap", type="container", containerProperties=container)
    return str(batch.submit_job(jobName="nap", jobQueue="default", jobDefinition="nap")["jobId"])


def test_a_replay_starts_jobs_when_they_started(server: Server) -> None:
    with client(server) as found:
        runs = list(past_runs(found, 0, FAR_MS))
    assert len(runs) == JOBS
    workload = workload_of(runs)
    site = Site(({"computeEnvironmentName": "machine", "type": "UNMANAGED"},), host=Host(VCPUS * 1000, 1 << 20))
    conditions = Conditions(step_ms=1)
    outcome = Simulation(workload, with_queues(site, ["default"]), conditions, load_catalogue(), Prices()).run()
    assert outcome.is_complete
    first = min(run.created_at_ms for run in runs)
    ordered = sorted(runs, key=lambda run: (run.created_at_ms, run.job_id))
    real = [run.started_at_ms - first for run in ordered]
    pairs = sorted(zip(real, outcome.start_ms, strict=True))
    errors = sorted(abs(one - other) - one * 0.02 for one, other in pairs)
    assert errors[len(errors) // 2] <= 1000, "the median error is at most a second and 2 % of the wait"
    in_order = [
        simulated <= later + 50  # starts within one moment have no order
        for (_, simulated), (_, later) in itertools.combinations(pairs, 2)
    ]
    assert sum(in_order) / len(in_order) >= 0.9, "the mean over runs is higher; a loaded machine moves single jobs"


def client(server: Server) -> Client:
    return connect(server.address)


def test_a_history_is_asked_what_would_happen(server: Server) -> None:
    arguments = ("simulate", "--from-history", "--hosts", "+1xc5.4xlarge", "--policy", "fifo")
    found = CliRunner().invoke(app, arguments, env={"BATCHYARD_DATA_DIR": str(server.data_dir)})
    assert found.exit_code == 0, found.stderr
    headings = found.stdout.splitlines()[2].split()
    assert headings == ["fifo", "fifo", "+1xc5.4xlarge"]
    assert f"{JOBS} of {JOBS}" in found.stdout
