"""Containers on networks of their own, behind real servers: what they reach, as whom, and what is served to them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engines.dockerd import IMAGE, Dockerd, busybox_files, our_own
from tests.server.running import Server
from tests.server.test_docker import JOB_SECONDS, ended, log_of, reaching, server_of
from tests.waiting import until

# What Python, and boto3 with it, needs of this machine in a container that has nothing.
SEEN = sorted({path for path in ("/lib", "/lib64", "/usr", sys.base_prefix, sys.prefix) if os.path.isdir(path)})
VOLUMES = [{"name": f"v{number}", "host": {"sourcePath": path}} for number, path in enumerate(SEEN)]
MOUNTS = [{"sourceVolume": f"v{number}", "containerPath": path, "readOnly": True} for number, path in enumerate(SEEN)]
RESOURCES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]
# Each line of its output: what it is about, and what was found.
ASKS = """
import json, os, urllib.error, urllib.request
import boto3
from botocore.config import Config

def say(about, found):
    print(json.dumps([about, found]), flush=True)

def fetch(url, data=None):
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

address = os.environ["AWS_ENDPOINT_URL_BATCH"]
say("address", address)
say("caller", boto3.client("sts").get_caller_identity()["Arn"])
say("queues", [one["jobQueueName"] for one in boto3.client("batch").describe_job_queues()["jobQueues"]])
say("task", fetch(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task")[1]["TaskARN"])
say("network", fetch(os.environ["ECS_CONTAINER_METADATA_URI_V4"])[1]["Networks"][0]["NetworkMode"])
say("health", fetch(address + "/health")[0])
say("unsigned", fetch(address + "/v1/describejobqueues", b"{}")[0])
other = boto3.client("batch", aws_access_key_id="any", aws_secret_access_key="any", config=Config(retries={"total_max_attempts": 1}))
try:
    other.describe_job_queues()
except other.exceptions.ClientError as error:
    say("own keys", error.response["Error"]["Message"])
say("interfaces", sorted(os.listdir("/sys/class/net")))
"""  # noqa: E501


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Server]:
    with server_of(tmp_path_factory.mktemp("networks"), reaching(dockerd)) as running:
        yield running


def submit(
    server: Server,
    name: str,
    command: list[str],
    volumes: Sequence[dict[str, Any]] = (),
    mounts: Sequence[dict[str, Any]] = (),
    **members: Any,
) -> str:
    """`volumes`, `mounts`: beside those that every job of these tests has."""
    server.call(
        "RegisterJobDefinition",
        {
            "jobDefinitionName": name,
            "type": "container",
            "containerProperties": {
                "image": IMAGE,
                "command": command,
                "resourceRequirements": RESOURCES,
                "volumes": [*VOLUMES, *volumes],
                "mountPoints": [*MOUNTS, *mounts],
            },
            **members,
        },
    )
    job: str = server.call("SubmitJob", {"jobName": name, "jobQueue": "default", "jobDefinition": name})["jobId"]
    return job


def said(server: Server, detail: dict[str, Any]) -> dict[str, Any]:
    lines = log_of(server, detail)
    assert detail["status"] == "SUCCEEDED", (detail, lines)
    return dict(json.loads(line) for line in lines)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_a_container_with_an_own_network_reaches_the_service_as_itself_only(server: Server) -> None:
    detail = ended(server, submit(server, "bridge", python(ASKS), tags={"batchyard:network": "bridge"}))
    found = said(server, detail)
    assert found["address"].startswith("http://169.254.170.2:")
    assert found["caller"].startswith("arn:aws:sts::123456789012:assumed-role/batchyard-job/")
    assert "default" in found["queues"]
    assert found["task"] == detail["container"]["taskArn"]
    assert found["network"] == "bridge"
    assert (found["health"], found["unsigned"]) == (404, 403)
    assert found["own keys"].startswith("Only what runs as a job is served at this address")
    assert found["interfaces"] == ["eth0", "eth1", "lo"]


def test_without_a_network_there_is_nobody_to_reach(server: Server) -> None:
    command = ["sh", "-c", "ls /sys/class/net; env"]
    detail = ended(server, submit(server, "none", command, tags={"batchyard:network": "none"}))
    assert detail["status"] == "SUCCEEDED"
    words = log_of(server, detail)
    assert [word for word in words if "=" not in word] == ["lo"]
    names = {word.partition("=")[0] for word in words if "=" in word}
    assert not {name for name in names if "ENDPOINT" in name or "CREDENTIALS" in name or "METADATA" in name}, names
    assert {"AWS_REGION", "AWS_BATCH_JOB_ID"} <= names


def test_a_jobs_tag_wins_over_its_definitions_and_a_wrong_one_is_refused(server: Server) -> None:
    detail = ended(
        server, submit(server, "tagged", ["sh", "-c", "ls /sys/class/net"], tags={"batchyard:network": "bridge"})
    )
    assert log_of(server, detail) == ["eth0", "eth1", "lo"]
    request = {"jobName": "tagged", "jobQueue": "default", "jobDefinition": "tagged"}
    job = server.call("SubmitJob", {**request, "tags": {"batchyard:network": "none"}})["jobId"]
    assert log_of(server, ended(server, job)) == ["lo"]
    reply = server.signed("SubmitJob", {**request, "tags": {"batchyard:network": "mesh"}})
    assert reply.status == 400
    assert reply.json["message"] == ("The tag batchyard:network must be one of host, bridge, awsvpc, none, got mesh.")


def test_processes_have_the_hosts_network_alone(server: Server) -> None:
    request = {"jobName": "a", "jobQueue": "host", "jobDefinition": "tagged-process"}
    server.call(
        "RegisterJobDefinition",
        {
            "jobDefinitionName": "tagged-process",
            "type": "container",
            "containerProperties": {"image": "any", "command": ["true"], "resourceRequirements": RESOURCES},
            "tags": {"batchyard:network": "bridge"},
        },
    )
    reply = server.signed("SubmitJob", request)
    assert reply.status == 400
    assert "the process engine can't do networkMode bridge" in reply.json["message"]


@pytest.mark.parametrize(("mode", "shared"), [("awsvpc", True), ("bridge", False)])
def test_containers_of_a_task_share_a_network_with_awsvpc(server: Server, mode: str, shared: bool) -> None:
    def container(name: str, **members: Any) -> dict[str, Any]:
        command = ["sh", "-c", "readlink /proc/self/ns/net; ls /sys/class/net | wc -l; env | grep -c 169.254.170.2"]
        return {"name": name, "image": IMAGE, "command": command, "resourceRequirements": RESOURCES, **members}

    after = [{"containerName": "main", "condition": "START"}]
    waits = {"command": ["sh", "-c", "readlink /proc/self/ns/net; sleep 1000"], "essential": True}
    side = container("side", dependsOn=after, essential=True)
    properties = {"containers": [container("main", **waits), side], "networkMode": mode}
    server.call(
        "RegisterJobDefinition",
        {"jobDefinitionName": f"task-{mode}", "type": "container", "ecsProperties": {"taskProperties": [properties]}},
    )
    asked = {"jobName": "task", "jobQueue": "default", "jobDefinition": f"task-{mode}"}
    detail = ended(server, server.call("SubmitJob", asked)["jobId"])
    found = {}
    for one in detail["ecsProperties"]["taskProperties"][0]["containers"]:
        task_id = one["logStreamName"].rpartition("/")[2]
        path = next((server.data_dir / "logs").rglob(f"{task_id}.{one['name']}.log"))
        found[one["name"]] = [line.partition("\t")[2] for line in path.read_text().splitlines()]
    assert (found["main"][0] == found["side"][0]) == shared
    assert found["side"][1] == "3"
    assert int(found["side"][2]) > 5


WAITS = """
import os, time, boto3
say = lambda word: print(word, flush=True)
say(boto3.client("sts").get_caller_identity()["Arn"])
while not os.path.exists("/wait/go"):
    time.sleep(0.05)
say(boto3.Session().client("sts").get_caller_identity()["Arn"])
"""


def waiting(server: Server, directory: Path, name: str) -> str:
    """A job that has called the service once, and calls again when there is a file `go` in the directory."""
    directory.mkdir()
    return submit(
        server,
        name,
        python(WAITS),
        volumes=[{"name": "wait", "host": {"sourcePath": str(directory)}}],
        mounts=[{"sourceVolume": "wait", "containerPath": "/wait"}],
        tags={"batchyard:network": "bridge"},
    )


def has_called(server: Server, job_id: str) -> bool:
    detail = server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]
    assert detail["status"] != "FAILED", detail
    stream = detail["container"].get("logStreamName", "")
    paths = list((server.data_dir / "logs").rglob(f"{stream.rpartition('/')[2]}.log")) if stream else []
    return any("assumed-role" in path.read_text() for path in paths)


def test_a_service_that_was_killed_is_reached_again_at_the_same_address(tmp_path: Path, dockerd: Dockerd) -> None:
    with server_of(tmp_path, reaching(dockerd)) as server:
        job = waiting(server, tmp_path / "wait", "waits")
        until(lambda: has_called(server, job), JOB_SECONDS, server.said)
        server.process.kill()
        server.process.wait()
        server.start()
        (tmp_path / "wait" / "go").touch()
        detail = ended(server, job)
        lines = log_of(server, detail)
        assert detail["status"] == "SUCCEEDED", lines
        first, second = lines
        assert first == second


@pytest.fixture(scope="module")
def other_daemon() -> Iterator[Dockerd]:
    """One of our own, beside the one that is there."""
    daemon = our_own()
    daemon.import_image(IMAGE, busybox_files(), "ENV PATH=/bin")
    yield daemon
    daemon.end()


def test_services_on_one_daemon_and_on_two_have_the_address_side_by_side(
    tmp_path: Path, server: Server, dockerd: Dockerd, other_daemon: Dockerd
) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    with server_of(first, reaching(dockerd)) as same, server_of(second, reaching(other_daemon)) as other:
        three = (server, same, other)
        jobs = [waiting(one, tmp_path / f"wait{number}", "beside") for number, one in enumerate(three)]
        for one, job in zip(three, jobs, strict=True):
            until(lambda one=one, job=job: has_called(one, job), JOB_SECONDS, one.said)  # type: ignore[misc]
        for number, (one, job) in enumerate(zip(three, jobs, strict=True)):
            (tmp_path / f"wait{number}" / "go").touch()
            detail = ended(one, job)
            assert detail["status"] == "SUCCEEDED", log_of(one, detail)


def networks(daemon: Dockerd) -> list[str]:
    return [one["Name"] for one in daemon.json("GET", "/networks")]


def test_the_network_goes_with_the_last_that_is_on_it(tmp_path: Path, other_daemon: Dockerd) -> None:
    with server_of(tmp_path, reaching(other_daemon)) as server:
        assert "batchyard" not in networks(other_daemon), "it is made for the first job that needs it"
        job = waiting(server, tmp_path / "wait", "last")
        until(lambda: has_called(server, job), JOB_SECONDS, server.said)
        assert "batchyard" in networks(other_daemon)
        server.signal()
        assert "batchyard" in networks(other_daemon), "a job is on it"
        server.start()
        (tmp_path / "wait" / "go").touch()
        detail = ended(server, job)
        assert detail["status"] == "SUCCEEDED", log_of(server, detail)
        server.signal()
        assert "batchyard" not in networks(other_daemon)


def test_a_network_that_can_not_be_made_is_the_jobs_reason(tmp_path: Path, other_daemon: Dockerd) -> None:
    taken = {"Name": "mine", "IPAM": {"Config": [{"Subnet": "169.254.170.0/24", "Gateway": "169.254.170.1"}]}}
    made = other_daemon.json("POST", "/networks/create", body=taken)
    with server_of(tmp_path, reaching(other_daemon)) as server:
        detail = ended(server, submit(server, "bridge", ["true"], tags={"batchyard:network": "bridge"}))
        reason = detail["container"]["reason"]
        assert reason.startswith("CannotStartContainerError: the network batchyard (169.254.170.0/24) can't be made: ")
        assert "Pool overlaps" in reason
        assert reason.endswith("use the network host or none.")
    other_daemon.json("DELETE", f"/networks/{made['Id']}")
