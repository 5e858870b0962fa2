"""Published programs that keep their data in S3, run as jobs against a real S3 server as they are printed; and jobs
that use their S3 and this service in one breath."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.clients.calling import JOB_SECONDS, Clients, Document, managed, needs
from tests.clients.node import Node
from tests.server.running import Server
from tests.waiting import until

PROGRAMS = Path(__file__).parent.parent / "examples"
S3_KEYS = ("owner-of-s3", "its-secret")
INPUT, OUTPUT = "my-data-bucket", "my-results-bucket"
QUEUE = "s3-spot"
BUCKETS = [{"name": "S3_INPUT_BUCKET", "value": INPUT}, {"name": "S3_OUTPUT_BUCKET", "value": OUTPUT}]

# What the printed array program leaves to its reader: each child keeps what it made below its own index.
PROCESS_FILE = """
def process_file(s3, input_bucket, key, output_bucket):
    content = s3.get_object(Bucket=input_bucket, Key=key)["Body"].read()
    index = os.environ["AWS_BATCH_JOB_ARRAY_INDEX"]
    s3.put_object(Bucket=output_bucket, Key=f"{index}/{key}", Body=content.upper())
"""
# What the printed checkpoint leaves to its reader: the first attempt is stuck after its checkpoint of 1000.
DO_WORK = """
import pathlib
begun = []
def do_work(i):
    if not begun:
        begun.append(i)
        print("begins at", i, flush=True)
    if i == 1234 and os.environ["AWS_BATCH_JOB_ATTEMPT"] == "1":
        pathlib.Path(os.environ["REACHED"]).touch()
        time.sleep(600)
"""
# A job that keeps an object, asks who it is, and submits the next job: with what SDKs find in its environment.
BOTH = """
import boto3, json
s3 = boto3.client("s3")
s3.put_object(Bucket="my-results-bucket", Key="both", Body=b"kept")
print(json.dumps({
    "key": s3._request_signer._credentials.access_key,
    "who": boto3.client("sts").get_caller_identity()["Arn"],
    "log groups": [one["logGroupName"] for one in boto3.client("logs").describe_log_groups()["logGroups"]],
    "next": boto3.client("batch").submit_job(jobName="next", jobQueue="default", jobDefinition="s3-next")["jobId"],
}))
"""


@pytest.fixture(scope="module")
def s3(s3_server: str) -> Any:
    made = boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
        config=Config(proxies={}),
    )
    for bucket in (INPUT, OUTPUT):
        made.create_bucket(Bucket=bucket)
    return made


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Iterator[Clients]:
    """A service of an owner who has an S3, and keys for it."""
    folder = tmp_path_factory.mktemp("s3")
    keys = folder / "s3-keys"
    keys.touch(0o600)
    keys.write_text(f"[default]\naws_access_key_id = {S3_KEYS[0]}\naws_secret_access_key = {S3_KEYS[1]}\n")
    flags = ("--vcpus", "4", "--memory", "8192", "--boot-seconds", "0", "--s3-endpoint", s3_server)
    with Server(folder, *flags, "--s3-keys-file", str(keys)) as server:
        clients = Clients(server)
        make_spot_queue(clients)
        yield clients


def make_spot_queue(clients: Clients) -> None:
    resources = managed("SPOT", "SPOT_CAPACITY_OPTIMIZED", "c5.large", max_vcpus=2)
    role = "arn:aws:iam::123456789012:role/AWSBatchServiceRole"
    clients.batch.create_compute_environment(
        computeEnvironmentName=QUEUE, type="MANAGED", serviceRole=role, computeResources=resources
    )
    order = [{"order": 1, "computeEnvironment": QUEUE}]
    clients.batch.create_job_queue(jobQueueName=QUEUE, priority=1, computeEnvironmentOrder=order)


def submit(clients: Clients, name: str, program: Path | list[str], queue: str = "default", **more: object) -> str:
    command_line = program if isinstance(program, list) else [sys.executable, str(program)]
    container = {"image": "python", "command": command_line, "resourceRequirements": needs(1, 256)}
    clients.batch.register_job_definition(
        jobDefinitionName=name, type="container", containerProperties=container | {"environment": BUCKETS}
    )
    request: Document = {"jobName": name, "jobQueue": queue, "jobDefinition": name}
    return str(clients.batch.submit_job(**request, **more)["jobId"])


def lines(clients: Clients, stream: str) -> list[str]:
    answer = clients.logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)
    return [event["message"] for event in answer["events"]]


def ended(clients: Clients, job_id: str) -> Document:
    job = clients.ended(job_id)
    assert job["status"] == "SUCCEEDED", [
        lines(clients, each["container"]["logStreamName"]) for each in job["attempts"]
    ]
    return job


def test_the_printed_array_program_runs(yard: Clients, s3: Any, tmp_path: Path) -> None:
    for number in range(3):
        s3.put_object(Bucket=INPUT, Key=f"data/{number}.txt", Body=f"text {number}".encode())
    program = tmp_path / "process.py"
    program.write_text("import os\n" + PROCESS_FILE + (PROGRAMS / "process.py.txt").read_text())
    ended(yard, submit(yard, "feature-extractor", program, arrayProperties={"size": 2}))
    listed = s3.list_objects_v2(Bucket=OUTPUT)["Contents"]
    made = {one["Key"]: s3.get_object(Bucket=OUTPUT, Key=one["Key"])["Body"].read() for one in listed}
    # As printed its step is AWS_BATCH_JOB_NUM_NODES, which array jobs don't have: child n takes all from the n-th on.
    assert {key: value for key, value in made.items() if key[:2] in ("0/", "1/")} == {
        "0/data/0.txt": b"TEXT 0",
        "0/data/1.txt": b"TEXT 1",
        "0/data/2.txt": b"TEXT 2",
        "1/data/1.txt": b"TEXT 1",
        "1/data/2.txt": b"TEXT 2",
    }


def test_a_job_that_is_lost_to_spot_resumes_from_its_printed_checkpoint(yard: Clients, s3: Any, tmp_path: Path) -> None:
    program, reached = tmp_path / "checkpoint.py", tmp_path / "reached"
    program.write_text((PROGRAMS / "checkpoint.py.txt").read_text() + DO_WORK + "process()\n")
    exits = [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    job_id = submit(
        yard,
        "checkpointed",
        program,
        QUEUE,
        retryStrategy={"attempts": 2, "evaluateOnExit": exits},
        containerOverrides={"environment": [{"name": "REACHED", "value": str(reached)}]},
    )
    until(reached.exists, JOB_SECONDS, lambda: f"the first attempt's work: {yard.job(job_id)}")
    kept = json.loads(s3.get_object(Bucket=OUTPUT, Key=f"checkpoints/{job_id}.json")["Body"].read())
    assert kept == {"last_processed_index": 1000}
    running = yard.server.call("ListInstances", {"computeEnvironment": QUEUE}, "/yard/v1/")["instances"]
    (instance,) = [one for one in running if one["jobs"]]
    yard.server.call("InterruptInstance", {"instanceId": instance["instanceId"], "noticeSeconds": 1}, "/yard/v1/")
    job = ended(yard, job_id)
    first, second = job["attempts"]
    assert first["statusReason"].startswith("Host EC2"), first
    assert lines(yard, first["container"]["logStreamName"]) == ["begins at 0"]
    assert lines(yard, second["container"]["logStreamName"]) == ["begins at 1000"]
    assert s3.list_objects_v2(Bucket=OUTPUT, Prefix="checkpoints/")["KeyCount"] == 0, "it cleaned up at its end"


def test_a_job_uses_its_s3_and_this_service_with_one_pair_of_keys(yard: Clients, s3: Any) -> None:
    next_one = {"image": "i", "command": ["true"], "resourceRequirements": needs(1, 64)}
    yard.batch.register_job_definition(jobDefinitionName="s3-next", type="container", containerProperties=next_one)
    job = ended(yard, submit(yard, "both", [sys.executable, "-c", BOTH]))
    said = json.loads(next(line for line in lines(yard, job["container"]["logStreamName"]) if line.startswith("{")))
    assert said["key"] == S3_KEYS[0]
    task_id = job["container"]["taskArn"].rpartition("/")[2]
    assert said["who"] == f"arn:aws:sts::123456789012:assumed-role/batchyard-job/{task_id}"
    assert said["log groups"] == ["/aws/batch/job"]
    assert yard.ended(said["next"])["status"] == "SUCCEEDED"
    assert s3.get_object(Bucket=OUTPUT, Key="both")["Body"].read() == b"kept"


def test_the_sdk_for_javascript_keeps_the_path_of_such_an_address(yard: Clients, node: Node) -> None:
    job = ended(yard, submit(yard, "js-and-s3", [node.program, str(node.directory / "v3.mjs"), "js-by-s3-keys"]))
    said = next(line for line in lines(yard, job["container"]["logStreamName"]) if line.startswith("{"))
    assert json.loads(said)["lines"] == ["hello js-by-s3-keys"]
