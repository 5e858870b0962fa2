"""A server of the version in this folder, and the work that it is given before it is upgraded."""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.kill.traces import SCRIPT
from tests.kill.yard import VCPUS, Yard
from tests.server.running import START_SECONDS
from tests.waiting import until

FOLDER = Path(__file__).parent
COMMIT = "ce684be"
WHEEL = FOLDER / "batchyard-0.1.0-py3-none-any.whl"

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/any"
SECRET = "tr0ub4dor-and-3-staples"
SETTLED_SECONDS = 60.0  # on a machine under load
# FREE: the attempts that do not wait for NAP, as "<index>.<attempt>" (".<attempt>" of a job without children).
# STUBBORN: not empty where SIGTERM is ignored. PASSWORD and TOKEN: the secrets of a job, each to be EXPECTED.
PROGRAM = (
    """
case " $FREE " in *" ${AWS_BATCH_JOB_ARRAY_INDEX:-}.$AWS_BATCH_JOB_ATTEMPT "*) NAP=0 ;; esac
[ -z "$STUBBORN" ] || trap '' TERM
[ -z "${EXPECTED:-}" ] || [ "$PASSWORD $TOKEN" = "$EXPECTED $EXPECTED" ] || PLAN="66 66"
echo "words of $AWS_BATCH_JOB_ATTEMPT"
"""
    + SCRIPT
)
ADVICE = f"""
A data directory of commit {COMMIT} does not open with the code of today. Something that is stored no longer decodes:
give new members of stored records a default, keep the stored names and enum values of old ones, or add a migration
to src/batchyard/store/migrations. The server's output:
"""


def digest() -> str:
    return hashlib.sha256(WHEEL.read_bytes()).hexdigest()


def unpack(directory: Path) -> Path:
    """The folder to put first on the path of modules."""
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(directory)
    return directory


def upgrade(yard: Yard) -> None:
    """Starts today's code where the earlier server has ended."""
    assert yard.process.poll() is not None, "the earlier server still runs"
    del yard.variables["PYTHONPATH"]
    said = len(yard.said())
    yard.launch()

    def is_up() -> bool:
        if yard.process.poll() is not None:
            pytest.fail(ADVICE + yard.said()[said:][-3000:])
        return yard.serves()

    until(is_up, START_SECONDS, lambda: f"the server of today to serve; it said: {yard.said()[said:][-3000:]}")


class Work:
    """Jobs in every state, in `yard`. Those that run wait for `gate`; all of them are in `ids`, by name."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.gate = yard.directory / "gate"
        self.ids: dict[str, str] = {}
        self.batch, self.secrets, self.parameters = (self.client(name) for name in ("batch", "secretsmanager", "ssm"))
        self.invocation = str(uuid.uuid4())

    def client(self, service: str) -> Any:
        session = boto3.Session("any", "any", region_name=REGION)
        return session.client(service, endpoint_url=self.yard.address, config=Config(proxies={}, read_timeout=30))

    # -- What there is --

    def prepare(self) -> None:
        """Environments, queues, definitions, secrets."""
        resources = {
            "type": "EC2", "allocationStrategy": "BEST_FIT_PROGRESSIVE", "minvCpus": 0, "maxvCpus": 2,
            "instanceTypes": ["c5.large"], "instanceRole": "r", "subnets": ["s"], "securityGroupIds": ["g"],
        }  # fmt: skip
        self.batch.create_compute_environment(
            computeEnvironmentName="cloud", type="MANAGED", computeResources=resources, tags={"Env": "test"}
        )
        self.batch.create_compute_environment(computeEnvironmentName="unused", type="UNMANAGED", serviceRole=ROLE)
        until(lambda: self._status_of("unused") == "VALID", SETTLED_SECONDS)
        self.batch.update_compute_environment(computeEnvironment="unused", state="DISABLED")
        policy = self.batch.create_scheduling_policy(
            name="fair",
            fairsharePolicy={
                "shareDecaySeconds": 3600,
                "computeReservation": 0,
                "shareDistribution": [{"shareIdentifier": "red", "weightFactor": 0.5}, {"shareIdentifier": "blue"}],
            },
        )["arn"]
        self._queue("cloud", "cloud", priority=5, tags={"Team": "data"})
        self._queue("shares", "local", priority=1, schedulingPolicyArn=policy)
        self._queue("closed", "local", priority=1, state="DISABLED")
        arn = self.secrets.create_secret(Name="prod/db", SecretString=f'{{"password": "{SECRET}"}}')["ARN"]
        self.secrets.create_secret(Name="prod/old", SecretString="first", Tags=[{"Key": "Env", "Value": "test"}])
        self.secrets.put_secret_value(SecretId="prod/old", SecretString="second")
        self.secrets.create_secret(Name="prod/gone", SecretBinary=b"\0\1")
        self.secrets.delete_secret(SecretId="prod/gone", RecoveryWindowInDays=7)
        self.parameters.put_parameter(Name="/prod/token", Value=SECRET, Type="SecureString")
        self.parameters.put_parameter(Name="/prod/plain", Value="one,two", Type="StringList")
        self._define("job")
        self._define("secretive", secrets=[("PASSWORD", arn + ":password::"), ("TOKEN", "/prod/token")])
        self._define("job", retryStrategy={"attempts": 2}, parameters={"size": "large"}, tags={"Revision": "2"})
        self._define("gone")
        self.batch.deregister_job_definition(jobDefinition="gone:1")

    def _status_of(self, environment: str) -> str:
        found = self.batch.describe_compute_environments(computeEnvironments=[environment])
        return str(found["computeEnvironments"][0]["status"])

    def _queue(self, name: str, environment: str, **members: Any) -> None:
        order = [{"order": 1, "computeEnvironment": environment}]
        self.batch.create_job_queue(jobQueueName=name, computeEnvironmentOrder=order, **members)

    def _define(self, name: str, secrets: list[tuple[str, str]] | None = None, **members: Any) -> None:
        container: dict[str, Any] = {
            "image": "host",
            "command": ["/bin/sh", "-c", PROGRAM],
            "environment": [{"name": "TRACES", "value": str(self.yard.traces)}],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
            "executionRoleArn": ROLE,
            "secrets": [{"name": variable, "valueFrom": source} for variable, source in secrets or []],
        }
        self.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container, **members
        )

    # -- Jobs --

    def submit(self, name: str, definition: str = "job:1", queue: str = "default", **members: Any) -> str:
        """Members of SubmitJob by their names; those in capitals are variables of the job, beside VCPUS."""
        variables = {"PLAN": "0", "AFTER": "", "NAP": str(self.gate), "FREE": "", "STUBBORN": ""}
        variables |= {key: members.pop(key) for key in list(members) if key.isupper() and key != "VCPUS"}
        vcpus = str(members.pop("VCPUS", 1))
        overrides = {
            "environment": [{"name": key, "value": text} for key, text in variables.items()],
            "resourceRequirements": [{"type": "VCPU", "value": vcpus}],
        }
        document = {"jobName": name, "jobQueue": queue, "jobDefinition": definition, "containerOverrides": overrides}
        self.ids[name] = str(self.batch.submit_job(**document, **members)["jobId"])
        return self.ids[name]

    def submit_all(self) -> None:
        """Ends when every job is in the state that it keeps until the gate opens."""
        self._finish_some()
        running = self.submit("running", timeout={"attemptDurationSeconds": 3600}, tags={"Team": "data"})
        self.submit("retried", retryStrategy={"attempts": 3}, PLAN="7 0", FREE=".1")
        self.submit("partly", arrayProperties={"size": 3}, FREE="0.1 1.1")
        self.submit("in-order", arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
        self.submit("stopped", STUBBORN="yes")
        for name in ("cloud-one", "cloud-two", "cloud-waiting"):
            self.submit(name, queue="cloud")
        expected = ["RUNNING", "RUNNING", "PENDING", "PENDING", "RUNNING", "RUNNING", "RUNNING", "RUNNABLE"]
        self._await(expected, "running", "retried", "partly", "in-order", "stopped", "cloud-one", "cloud-two",
                    "cloud-waiting")  # fmt: skip
        self._await(["SUCCEEDED", "SUCCEEDED", "RUNNING"], *(f"partly:{index}" for index in range(3)))
        self._await(["RUNNING", "PENDING"], "in-order:0", "in-order:1")
        # One of the host's eight vCPUs is left.
        self.submit("red-runs", queue="shares", shareIdentifier="red", schedulingPriorityOverride=9)
        self._await(["RUNNING"], "red-runs")
        for name, share in (("red-waits", "red"), ("blue-waits", "blue")):
            self.submit(name, queue="shares", shareIdentifier=share, schedulingPriorityOverride=9)
        self.submit("wide", definition="job:2", VCPUS=VCPUS)
        self.submit("after", dependsOn=[{"jobId": running}], AFTER=running)
        self.submit("secretive", definition="secretive", dependsOn=[{"jobId": running}], EXPECTED=SECRET)
        self.submit("cancelled", dependsOn=[{"jobId": running}])
        self.batch.cancel_job(jobId=self.ids["cancelled"], reason="not wanted")
        self.batch.terminate_job(jobId=self.ids["stopped"], reason="no longer wanted")
        self._await(["PENDING", "PENDING", "PENDING", "RUNNABLE"], "cancelled", "after", "secretive", "wide")
        self._await(["RUNNABLE", "RUNNABLE"], "red-waits", "blue-waits")
        until(lambda: self.describe("stopped")["isTerminated"], SETTLED_SECONDS)
        until(lambda: self.describe("cancelled")["isCancelled"], SETTLED_SECONDS)
        self.repeat_submission()

    def _finish_some(self) -> None:
        self.submit("done", NAP="0")
        self.submit("failed", PLAN="3", NAP="0")
        self.submit("twice", PLAN="7 0", NAP="0", retryStrategy={
            "attempts": 2, "evaluateOnExit": [{"onExitCode": "7", "action": "RETRY"}],
        })  # fmt: skip
        self.submit("array", arrayProperties={"size": 4}, NAP="0", tags={"Kind": "array"})
        self._await(["SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"], "done", "failed", "twice", "array")

    def repeat_submission(self) -> str:
        """One SubmitJob under one SDK invocation: its job is the same whenever it is sent again."""
        variables = {"PLAN": "0", "AFTER": "", "NAP": "0", "FREE": "", "STUBBORN": ""}
        overrides = {"environment": [{"name": name, "value": value} for name, value in variables.items()]}
        document = {"jobName": "repeated", "jobQueue": "cloud", "jobDefinition": "job:1"}
        answer = self.yard.try_call("SubmitJob", document | {"containerOverrides": overrides}, self.invocation)
        self.ids["repeated"] = str(answer["jobId"])
        return self.ids["repeated"]

    def id_of(self, name: str) -> str:
        """`name`: of a job, or of a child as name:index."""
        top, colon, index = name.partition(":")
        return self.ids[top] + colon + index

    def describe(self, name: str) -> Any:
        return self.batch.describe_jobs(jobs=[self.id_of(name)])["jobs"][0]

    def _await(self, statuses: list[str], *names: str) -> None:
        def found() -> list[str]:
            return [self.describe(name)["status"] for name in names]

        until(lambda: found() == statuses, SETTLED_SECONDS, lambda: (statuses, dict(zip(names, found(), strict=True))))
