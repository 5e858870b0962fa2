"""The pipeline as a user writes it with boto3: three job definitions, three submissions, and looking at them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from demo.access_log import DATE

STEPS = Path(__file__).parent / "steps"
QUEUE = "default-queue"
PARTS = 50
MEMORY_MIB = "128"
LOG_GROUP = "/aws/batch/job"
FINAL = ("SUCCEEDED", "FAILED")


class Step(NamedTuple):
    """One of the three: `size` is the number of children, or 1."""

    job_name: str
    definition: str
    program: str
    size: int = 1


INGEST = Step("ingest-raw-data", "data-ingest", "ingest.py")
TRANSFORM = Step("transform-data", "data-transform", "transform.py", PARTS)
AGGREGATE = Step("aggregate-results", "data-aggregate", "aggregate.py")
ALL_STEPS = (INGEST, TRANSFORM, AGGREGATE)


class Pipeline:
    """Talks to the service at `address` and nothing else. `work`: where the steps read and write."""

    def __init__(self, address: str, work: Path) -> None:
        # Any credentials will do: the service belongs to this user, on this machine.
        session = boto3.Session("demo", "demo", region_name="us-east-1")
        settings = Config(proxies={}, retries={"mode": "standard"})
        self.batch: Any = session.client("batch", endpoint_url=address, config=settings)
        self.logs: Any = session.client("logs", endpoint_url=address, config=settings)
        self.job_ids: dict[Step, str] = {}
        self._work = work

    def submit(self) -> None:
        """The queue, the definitions, then ingest -> transform (an array) -> aggregate."""
        self.batch.create_job_queue(
            jobQueueName=QUEUE, priority=10, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}]
        )
        definitions = {step: self._register(step) for step in ALL_STEPS}

        ingest = self.batch.submit_job(
            jobName=INGEST.job_name,
            jobQueue=QUEUE,
            jobDefinition=definitions[INGEST],
            containerOverrides={"environment": [{"name": "DATE", "value": DATE}]},
        )
        self.job_ids[INGEST] = ingest["jobId"]

        transform = self.batch.submit_job(
            jobName=TRANSFORM.job_name,
            jobQueue=QUEUE,
            jobDefinition=definitions[TRANSFORM],
            dependsOn=[{"jobId": ingest["jobId"], "type": "SEQUENTIAL"}],
            arrayProperties={"size": PARTS},
        )
        self.job_ids[TRANSFORM] = transform["jobId"]

        aggregate = self.batch.submit_job(
            jobName=AGGREGATE.job_name,
            jobQueue=QUEUE,
            jobDefinition=definitions[AGGREGATE],
            dependsOn=[{"jobId": transform["jobId"], "type": "SEQUENTIAL"}],
        )
        self.job_ids[AGGREGATE] = aggregate["jobId"]

    def _register(self, step: Step) -> str:
        """Returns name:revision."""
        registered = self.batch.register_job_definition(
            jobDefinitionName=step.definition,
            type="container",
            containerProperties={
                "image": "python:3.11-slim",  # recorded; processes run on this machine as it is
                "command": [sys.executable, str(STEPS / step.program)],
                "resourceRequirements": [
                    {"type": "VCPU", "value": "1"},
                    {"type": "MEMORY", "value": MEMORY_MIB},
                ],
                "environment": [
                    {"name": "WORK", "value": str(self._work)},
                    {"name": "PARTS", "value": str(PARTS)},
                ],
            },
        )
        return f"{registered['jobDefinitionName']}:{registered['revision']}"

    def look(self) -> dict[Step, dict[str, Any]]:
        """DescribeJobs of the three."""
        found = {job["jobId"]: job for job in self.batch.describe_jobs(jobs=list(self.job_ids.values()))["jobs"]}
        return {step: found[job_id] for step, job_id in self.job_ids.items()}

    def children(self) -> list[dict[str, Any]]:
        """DescribeJobs of the array's children."""
        array = self.job_ids[TRANSFORM]
        children: list[dict[str, Any]] = self.batch.describe_jobs(jobs=[f"{array}:{n}" for n in range(PARTS)])["jobs"]
        return children

    def output(self, job: dict[str, Any]) -> Iterator[str]:
        """The lines a job wrote, from CloudWatch Logs."""
        stream = job["container"].get("logStreamName")
        if stream is None:
            return
        answer = self.logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True)
        yield from (event["message"] for event in answer["events"])

    def failure(self) -> str:
        """What went wrong, with the output of the job that did; empty when nothing did."""
        for job in [*self.look().values(), *self.children()]:
            if job["status"] == "FAILED" and "size" not in job.get("arrayProperties", {}):
                code = job["container"].get("exitCode")
                reason = f"{job.get('statusReason', 'no reason')}, exit code {code}"
                return "\n".join([f"{job['jobName']} ({job['jobId']}) failed: {reason}.", *self.output(job)])
        return ""


def done(job: dict[str, Any]) -> int:
    """How many of its children, or of itself, have succeeded."""
    if "arrayProperties" in job:
        succeeded: int = job["arrayProperties"]["statusSummary"].get("SUCCEEDED", 0)
        return succeeded
    return int(job["status"] == "SUCCEEDED")
