"""A served product with clients for what executions call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config

from tests.server.running import Server
from tests.server.test_sns_delivered import Receiver
from tests.waiting import until

ROLE = "arn:aws:iam::123456789012:role/pipeline"
QUEUE = "default-queue"
SECONDS = 90.0


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    thread = Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Served:
    """A server with a queue."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = cache(self._client)
        self.states, self.batch = self.client("stepfunctions"), self.client("batch")
        order = [{"order": 1, "computeEnvironment": "local"}]
        self.batch.create_job_queue(jobQueueName=QUEUE, priority=1, computeEnvironmentOrder=order)

    def _client(self, name: str) -> Any:
        return boto3.client(
            name,
            "us-east-1",
            endpoint_url=self.server.address,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(inject_host_prefix=False, read_timeout=90),
        )

    def register(self, name: str, script: str) -> None:
        resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "4"}]
        container = {"image": "host", "command": ["/bin/sh", "-c", script], "resourceRequirements": resources}
        self.batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container)

    def create(self, name: str, definition: str | dict[str, Any], **more: Any) -> str:
        """The ARN of a state machine."""
        text = definition if isinstance(definition, str) else json.dumps(definition)
        made = self.states.create_state_machine(name=name, definition=text, roleArn=ROLE, **more)
        return str(made["stateMachineArn"])

    def start(self, machine: str, given: Any) -> str:
        """The ARN of an execution."""
        return str(self.states.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"])

    def end_of(self, arn: str) -> dict[str, Any]:
        """The execution, once it has ended."""

        def ended() -> Any:
            found = self.states.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        return dict(until(ended, SECONDS, f"the end of {arn}"))

    def history(self, arn: str) -> list[dict[str, Any]]:
        return list(self.states.get_execution_history(executionArn=arn, maxResults=1000)["events"])

    def submitted(self, arn: str) -> str:
        """The id of the job that an execution has submitted."""

        def found() -> str:
            outputs = [
                json.loads(event["taskSubmittedEventDetails"]["output"])
                for event in self.history(arn)
                if event["type"] == "TaskSubmitted"
            ]
            return str(outputs[0]["JobId"]) if outputs else ""

        return until(found, SECONDS, "TaskSubmitted")

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.batch.describe_jobs(jobs=[job_id])["jobs"][0])

    def log(self, group: str) -> list[str]:
        """The lines of a log group; none where there is no such group yet."""
        logs = self.client("logs")
        try:
            return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []


def task(resource: str, **members: Any) -> dict[str, Any]:
    """A state machine of one Task."""
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "End": True} | members
    return {"StartAt": "Call", "States": {"Call": state}}
