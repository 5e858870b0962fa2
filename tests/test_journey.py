"""docs/architecture.md walks one job through the rooms. Here a job makes that journey in a real service, and everything
that the page names on the way was really called, in the order of the page."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

from tests.server.running import Server, environment
from tests.waiting import until

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
NAME = re.compile(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`")
# Runs in a process of its own, beside the service: the page's names of it are held by test_docs.py.
ELSEWHERE = (
    "engines.supervisor.",
    "engines.log_file.",  # of the supervisor's process
    "engines.docker.",  # of jobs that are containers
    "server.http.job_listener.",  # for containers on networks of their own
    "server.settings.certificates.",  # of a server with a certificate
    "server.http.tls.",
    "server.http.loopback_listener",
    "wire.forms.",  # of services that speak in forms, as SNS does
)
# Records and the types of seams: they are data, or implemented elsewhere, and have no functions of their own to call.
DATA = {
    "core.model.lifecycle.TABLE",
    "core.model.commands.SubmitJob",
    "core.model.reports.Report",
    "core.model.effects.AcknowledgeTask",
    "loop.hosted_machine.HostedMachine",
    "store.driver.Driver",
    "core.state.placement.FleetClaims",  # of heads that wait for managed instances
}
# The spine of the walk, in its order. (Other names belong to the start of the service or come up several times.)
SPINE = [
    "wire.router.Router.match",
    "server.access.access.Access.admit",
    "server.http.app.App",
    "wire.operation.Operation.parse",
    "api.batch.jobs.submit_job",
    "loop.loop.Loop.ask",
    "core.jobs.submission.submit",
    "core.state.placement.find_placement",
    "store.codec.encode_changes",
    "server.launch.launch_builder.LaunchBuilder",
    "engines.process.ProcessEngine.launch",
    "core.jobs.task_reports.report",
    "core.jobs.completion.end",
]
# Met by the start of the service too, which makes the first environment and queue: no order can be told of them.
ALSO_AT_START = {
    "server.http.app.App",
    "loop.loop.Loop.ask",
    "store.codec.encode_changes",
    "server.launch.launch_builder.LaunchBuilder",
}


class TracedServer(Server):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "--vcpus", "2", "--memory", "1024")
        self.trace = directory / "trace"

    def start(self) -> None:
        arguments = ("up", "--data-dir", str(self.data_dir), "--port", "0", "--engine", "process", *self._flags)
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "traced_server.py"), str(self.trace), *arguments],
                env=environment(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until(self._serves, 60, lambda: f"the traced server to serve; it said: {self.said()}")


def walk() -> str:
    """The part of the page that walks."""
    return PAGE.read_text().split("## One job", 1)[1].split("\n## ", 1)[0]


def is_module(dotted: str) -> bool:
    try:
        return importlib.util.find_spec(f"batchyard.{dotted}") is not None
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return False


def called(trace: list[str], dotted: str) -> int | None:
    """Where in the trace a function or a method of a class was first called; of a module or a room: anything of it."""
    if is_module(dotted):
        prefixes = f"{dotted}.", f"{dotted}:"
        return next((at for at, line in enumerate(trace) if line.startswith(prefixes)), None)
    parts = dotted.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module, name = ".".join(parts[:size]), ".".join(parts[size:])
        wanted = f"{module}:{name}"
        for at, line in enumerate(trace):
            if line == wanted or line.startswith(f"{wanted}."):
                return at
    return None


def make_the_journey(server: Server, gate: Path) -> None:
    """One job after another, with a retry; explained while it waits; its log read; described at the end, as a task too;
    then one by a share of a queue. The first job ends once `gate` is there: not before the second was submitted."""
    names: dict[str, Any] = {
        "endpoint_url": server.address,
        "region_name": "us-east-1",
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
    }
    batch, logs, ecs = (boto3.client(service, **names) for service in ("batch", "logs", "ecs"))
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    work = {
        "image": "any",
        "command": ["sh", "-c", f"{wait}; echo $AWS_BATCH_JOB_ATTEMPT; test $AWS_BATCH_JOB_ATTEMPT = 2"],
    }
    batch.register_job_definition(
        jobDefinitionName="twice", type="container", containerProperties=work | {"vcpus": 1, "memory": 16}
    )
    asked = {"jobQueue": "default", "jobDefinition": "twice", "retryStrategy": {"attempts": 2}}
    first = batch.submit_job(jobName="first", **asked)["jobId"]
    then = batch.submit_job(jobName="then", arrayProperties={"size": 2}, dependsOn=[{"jobId": first}], **asked)["jobId"]
    server.call("ExplainJob", {"jobId": then}, "/yard/v1/")
    gate.touch()
    done = until(
        lambda: [job for job in batch.describe_jobs(jobs=[f"{then}:1", then])["jobs"] if job["status"] == "SUCCEEDED"],
        60,
        "the journey to end",
    )
    stream = until(
        lambda: batch.describe_jobs(jobs=[f"{then}:1"])["jobs"][0]["container"].get("logStreamName"), 60, "its stream"
    )
    assert done
    assert logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream)["events"][0]["message"] == "2"
    task = batch.describe_jobs(jobs=[f"{then}:1"])["jobs"][0]["container"]["taskArn"]
    assert ecs.describe_tasks(cluster=task.split("/")[1], tasks=[task])["tasks"]
    run_a_job_of_a_share(batch)


def run_a_job_of_a_share(batch: Any) -> None:
    """One job on a queue with a scheduling policy."""
    policy = batch.create_scheduling_policy(name="fair", fairsharePolicy={})["arn"]
    order = [{"order": 1, "computeEnvironment": "local"}]
    batch.create_job_queue(jobQueueName="shared", priority=1, computeEnvironmentOrder=order, schedulingPolicyArn=policy)
    asked = {"jobQueue": "shared", "jobDefinition": "twice", "shareIdentifier": "A", "schedulingPriorityOverride": 1}
    shared = batch.submit_job(jobName="shared", **asked)["jobId"]
    until(lambda: batch.describe_jobs(jobs=[shared])["jobs"][0]["status"] == "FAILED", 60, "the share's job to end")


def test_a_job_makes_the_journey_that_the_architecture_tells(tmp_path: Path) -> None:
    with TracedServer(tmp_path) as server:
        make_the_journey(server, tmp_path / "gate")
    trace = server.trace.read_text().splitlines()
    named = [name for name in NAME.findall(walk()) if not name.startswith(ELSEWHERE) and name not in DATA]
    assert len(named) > 25
    unmet = [name for name in named if called(trace, name) is None]
    assert not unmet, f"the page names what a job does not meet: {unmet}"
    met = [called(trace, name) or 0 for name in SPINE if name not in ALSO_AT_START]
    assert met == sorted(met), "a job meets the steps in another order than the page tells"


def test_the_walk_is_told_in_its_order() -> None:
    text = walk()
    positions = [text.find(f"`{name}`") for name in SPINE]
    assert -1 not in positions, SPINE[positions.index(-1)]
    assert positions == sorted(positions)
