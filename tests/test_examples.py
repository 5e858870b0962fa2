"""Published examples of AWS Batch, kept as files in tests/examples, sent to a running service as users send them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.running import Server
from tests.waiting import until

EXAMPLES = Path(__file__).parent / "examples"
FINAL = ("SUCCEEDED", "FAILED")
JOB_SECONDS = 60.0
CLI_SECONDS = 60.0
SERVICE_ROLE = "arn:aws:iam::123456789012:role/AWSBatchServiceRole"

# Stands in for the training programs: says what it was given, and fails as its environment asks.
TRAIN = """
import json, os, sys
keep = ("MODEL_TYPE", "S3_INPUT_BUCKET", "S3_OUTPUT_BUCKET", "NCCL_DEBUG", "CUDA_VISIBLE_DEVICES")
print(json.dumps({"arguments": sys.argv[1:], **{name: os.environ.get(name) for name in keep}}))
if os.environ.get("FAIL_WITH") and int(os.environ["AWS_BATCH_JOB_ATTEMPT"]) < 3:
    sys.exit(int(os.environ["FAIL_WITH"]))
"""

Document = dict[str, Any]


def example(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text())


def definition(name: str) -> Document:
    document: Document = example(f"job-definition-{name}.json")
    return document


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host with what the examples ask for, where `python train.py` finds a program."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "train.py").write_text(TRAIN)
    programs = folder / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{folder}/train.py" "$@"\n')
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        running = Server(folder, "--vcpus", "16", "--memory", "131072", "--gpus", "1")
        with running:
            yield running


def client(server: Server, service: str, *, parameter_validation: bool = True) -> Any:
    session = boto3.Session("any", "any", region_name="us-east-1")
    config = Config(proxies={}, parameter_validation=parameter_validation)
    return session.client(service, endpoint_url=server.address, config=config)


@pytest.fixture(scope="module")
def batch(server: Server) -> Any:
    return client(server, "batch")


def aws(server: Server, *arguments: str) -> Document:
    """The AWS CLI's answer."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(server.directory),
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.address,
        "AWS_PAGER": "",
    }
    program = Path(sys.executable).parent / "aws"
    done = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=CLI_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: Document = json.loads(done.stdout or "{}")
    return answer


def wait(batch: Any, job_id: str) -> Document:
    """The job once it has ended."""
    seen: Document = {}

    def ended() -> bool:
        seen.update(batch.describe_jobs(jobs=[job_id])["jobs"][0])
        return seen["status"] in FINAL

    until(ended, JOB_SECONDS, lambda: f"the end of {seen}")
    return seen


def runnable_training(batch: Any) -> str:
    """The training job without what only containers and a secrets service can give; returns name:revision."""
    document = definition("ml-training-job")
    for member in ("secrets", "mountPoints", "volumes"):
        del document["containerProperties"][member]
    registered = batch.register_job_definition(**document)
    return f"{registered['jobDefinitionName']}:{registered['revision']}"


def output(server: Server, job: Document, group: str) -> list[Document]:
    """The JSON lines that a job wrote, from CloudWatch Logs."""
    answer = client(server, "logs").get_log_events(
        logGroupName=group, logStreamName=job["container"]["logStreamName"], startFromHead=True
    )
    return [json.loads(event["message"]) for event in answer["events"]]


@pytest.mark.parametrize("name", ["ml-training-job", "pytorch-training-gpu", "mpi-simulation"])
def test_a_definition_registers_and_comes_back_whole(batch: Any, name: str) -> None:
    document = definition(name)
    registered = batch.register_job_definition(**document)
    found = batch.describe_job_definitions(jobDefinitions=[registered["jobDefinitionArn"]])["jobDefinitions"]
    assert len(found) == 1
    assert list(differences(document, found[0], "")) == []


def differences(sent: Any, found: Any, where: str) -> Iterator[str]:
    """Every place below `where` where `found` lacks or changes what was sent."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            yield from differences(value, found.get(name) if isinstance(found, dict) else None, f"{where}.{name}")
    elif isinstance(sent, list) and isinstance(found, list) and len(sent) == len(found):
        for index, value in enumerate(sent):
            yield from differences(value, found[index], f"{where}[{index}]")
    elif where.endswith(".action") and sent.lower() == found:
        return  # taken in any case, answered in lower case
    elif sent != found:
        yield f"{where}: {sent!r} became {found!r}"


def test_each_registration_is_a_new_revision(server: Server, batch: Any) -> None:
    before = batch.register_job_definition(**definition("ml-training-job"))["revision"]
    path = EXAMPLES / "job-definition-ml-training-job.json"
    answer = aws(server, "batch", "register-job-definition", "--cli-input-json", f"file://{path}")
    assert answer["jobDefinitionName"] == "ml-training-job"
    assert answer["revision"] == before + 1


def test_the_simulation_runs_on_fewer_and_smaller_nodes(server: Server, batch: Any) -> None:
    batch.register_job_definition(**definition("mpi-simulation"))
    smaller = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    main = ["sh", "-c", "until [ -e reported ]; do sleep 0.1; done; echo '\"'$ROLE of $NUM_WORKERS'\"'"]
    worker = ["sh", "-c", "touch reported; echo '\"'$ROLE'\"'; exec sleep 1000"]
    changes = [
        {"targetNodes": target, "containerOverrides": {"command": command, "resourceRequirements": smaller}}
        for target, command in (("0:0", main), ("1:", worker))
    ]
    job_id = batch.submit_job(
        jobName="mpi",
        jobQueue="default",
        jobDefinition="mpi-simulation",
        nodeOverrides={"numNodes": 3, "nodePropertyOverrides": changes},
    )["jobId"]
    job = wait(batch, job_id)
    assert job["status"] == "SUCCEEDED", job.get("statusReason")
    nodes = batch.describe_jobs(jobs=[f"{job_id}#{node}" for node in range(3)])["jobs"]
    assert output(server, nodes[0], "/aws/batch/job") == ["master of 7"]
    streams = [node for node in nodes[1:] if "logStreamName" in node["container"]]
    assert ["worker"] in [output(server, node, "/aws/batch/job") for node in streams]
    assert [node["nodeDetails"]["isMainNode"] for node in nodes] == [True, False, False]


def test_a_mount_at_another_path_is_refused_by_name(batch: Any) -> None:
    batch.register_job_definition(**definition("ml-training-job"))
    with pytest.raises(ClientError, match="'/tmp/scratch'"):
        batch.submit_job(jobName="x", jobQueue="default", jobDefinition="ml-training-job")


def test_the_training_job_runs_with_its_overrides(server: Server, batch: Any) -> None:
    training = runnable_training(batch)
    answer = aws(
        server,
        *("batch", "submit-job", "--job-name", "ml-training-run-001", "--job-queue", "default"),
        *("--job-definition", training),
        *("--container-overrides", (EXAMPLES / "submit-job-container-overrides.json").read_text()),
    )
    job = wait(batch, answer["jobId"])
    assert job["status"] == "SUCCEEDED", job.get("statusReason")
    assert job["container"]["logStreamName"].startswith("batch/default/")
    assert output(server, job, "/aws/batch/ml-training") == [
        {
            "arguments": ["--epochs", "100"],
            "MODEL_TYPE": "random-forest",
            "S3_INPUT_BUCKET": "my-data-bucket",
            "S3_OUTPUT_BUCKET": "my-results-bucket",
            "NCCL_DEBUG": None,
            "CUDA_VISIBLE_DEVICES": "",
        }
    ]
    groups = aws(server, "logs", "describe-log-groups", "--log-group-name-prefix", "/aws/batch/ml")["logGroups"]
    assert [group["logGroupName"] for group in groups] == ["/aws/batch/ml-training"]


@pytest.mark.parametrize(
    ("exit_code", "attempts", "status"),
    [("2", 3, "SUCCEEDED"), ("1", 1, "FAILED")],  # its third rule: exit code 1 is not tried again
)
def test_the_training_job_is_retried_by_its_rules(batch: Any, exit_code: str, attempts: int, status: str) -> None:
    submitted = batch.submit_job(
        jobName="retried",
        jobQueue="default",
        jobDefinition=runnable_training(batch),
        containerOverrides={"environment": [{"name": "FAIL_WITH", "value": exit_code}]},
    )
    job = wait(batch, submitted["jobId"])
    assert (job["status"], len(job["attempts"])) == (status, attempts)
    assert job["attempts"][0]["container"]["exitCode"] == int(exit_code)
    assert job["retryStrategy"]["attempts"] == 3


def test_the_gpu_training_job_gets_its_device(server: Server, batch: Any) -> None:
    batch.register_job_definition(**definition("pytorch-training-gpu"))
    submitted = batch.submit_job(jobName="gpu", jobQueue="default", jobDefinition="pytorch-training-gpu")
    job = wait(batch, submitted["jobId"])
    assert job["status"] == "SUCCEEDED", job.get("statusReason")
    said = output(server, job, "/aws/batch/job")[0]
    assert said["arguments"] == ["--batch-size", "256"]
    assert (said["NCCL_DEBUG"], said["CUDA_VISIBLE_DEVICES"]) == ("INFO", "0")
    requirements = {r["type"]: r["value"] for r in job["container"]["resourceRequirements"]}
    assert requirements["GPU"] == "1"


@pytest.mark.parametrize("name", ["spot-ml-env", "gpu-spot-env"])
def test_a_managed_environment_launches_an_instance_for_a_job(server: Server, batch: Any, name: str) -> None:
    sent = example(f"compute-environment-{name}.resources.json")
    # The AWS CLI itself refuses the empty imageIdOverride of one example: it is sent unchecked.
    client(server, "batch", parameter_validation=False).create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        state="ENABLED",
        computeResources=sent,
        serviceRole=SERVICE_ROLE,
    )
    found = batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"][0]
    assert (found["status"], found["state"]) == ("VALID", "ENABLED")
    assert found["statusReason"] == "ComputeEnvironment Healthy"
    assert list(differences(sent, found["computeResources"], "")) == []

    queue = f"queue-of-{name}"
    batch.create_job_queue(
        jobQueueName=queue, priority=100, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": name}]
    )
    submitted = batch.submit_job(jobName="launches", jobQueue=queue, jobDefinition=runnable_training(batch))
    job = wait(batch, submitted["jobId"])
    assert job["status"] == "SUCCEEDED", job.get("statusReason")
    assert job["container"]["containerInstanceArn"]


def test_an_array_of_a_thousand_as_the_command_line_submits_it(server: Server, batch: Any) -> None:
    for _ in range(3):  # the example names the third revision
        registered = batch.register_job_definition(
            jobDefinitionName="feature-extractor",
            type="container",
            containerProperties={"image": "any", "command": ["true"], "vcpus": 1, "memory": 128},
        )
    batch.create_job_queue(
        jobQueueName="default-queue", priority=10, computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "local"}]
    )
    answer = aws(
        server,
        *("batch", "submit-job", "--job-name", "parallel-feature-extraction", "--job-queue", "default-queue"),
        *("--job-definition", "feature-extractor:3", "--array-properties", '{"size": 1000}'),
    )
    assert registered["revision"] == 3
    job = wait(batch, answer["jobId"])
    assert job["status"] == "SUCCEEDED", job.get("statusReason")
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 1000
