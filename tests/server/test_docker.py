"""Both engines side by side behind one real server: who runs what, what jobs find, and Docker coming and going."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import Server, command
from tests.waiting import until

SIZES = ("--vcpus", "4", "--memory", "4096")
JOB_SECONDS = 60.0


def reaching(daemon: Dockerd) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{daemon.socket_path}"}


def nowhere(directory: Path) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{directory}/no-docker.sock"}


def server_of(directory: Path, variables: dict[str, str], engine: str = "auto", *flags: str) -> Server:
    return Server(directory, *SIZES, "--engine", engine, *flags, variables=variables)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Server]:
    """One for all tests that leave it running and unchanged."""
    with server_of(tmp_path_factory.mktemp("docker"), reaching(dockerd)) as running:
        yield running


def ended(server: Server, job_id: str) -> dict[str, Any]:
    """The detail of the job, once it has ended."""

    def look() -> dict[str, Any] | None:
        detail: dict[str, Any] = server.call("DescribeJobs", {"jobs": [job_id]})["jobs"][0]
        return detail if detail["status"] in ("SUCCEEDED", "FAILED") else None

    return until(look, JOB_SECONDS, lambda: f"the end of {job_id}; the server said: {server.said()}") or {}


def log_of(server: Server, detail: dict[str, Any]) -> list[str]:
    stream = detail["container"]["logStreamName"]
    path = next((server.data_dir / "logs").rglob(f"{stream.rpartition('/')[2]}.log"))
    return [line.partition("\t")[2] for line in path.read_text().splitlines()]


def run(server: Server, *words: str, **members: Any) -> dict[str, Any]:
    """`batchyard run`'s request; the job's detail at its end."""
    asked = {"command": list(words), "vcpus": 1, "memory": 64, **members}
    return ended(server, server.call("RunJob", asked, "/yard/v1/")["jobId"])


def engines(server: Server) -> dict[str, str]:
    """Of each environment, by the findings of the doctor."""
    found = server.call("GetService", prefix="/yard/v1/")["findings"]
    text = next(finding["detail"] for finding in found if finding["check"] == "environments")
    pairs = (part.split(": ") for part in text.split("; "))
    return {name: engine for engine, names in pairs for name in names.split(", ")}


# -- who runs what --


def test_with_docker_local_runs_containers_and_host_processes(server: Server) -> None:
    assert {"local": "docker", "host": "process"}.items() <= engines(server).items()
    assert "default (containers), host (processes)" in server.said()
    health = server.request("GET", "/health").json
    assert [(e["name"], e["available"]) for e in health["engines"]] == [("process", True), ("docker", True)]
    found = server.call("GetService", prefix="/yard/v1/")["findings"]
    docker = next(finding for finding in found if finding["check"] == "docker")
    assert docker["ok"]
    assert "storage " in docker["detail"]


def test_run_needs_no_flags_for_either(server: Server, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("read by both\n")
    words, directory = ("sh", "-c", "cat here; echo written >> here; ls / | wc -l"), str(tmp_path)
    process = run(server, *words, workingDirectory=directory)
    container = run(server, *words, workingDirectory=directory, image=IMAGE)
    assert [one["status"] for one in (process, container)] == ["SUCCEEDED", "SUCCEEDED"]
    assert [one["jobQueue"].rpartition("/")[2] for one in (process, container)] == ["host", "default"]
    first, second = log_of(server, process), log_of(server, container)
    assert first[0] == "read by both"
    assert second[:2] == ["read by both", "written"]
    assert first[-1] != second[-1]  # another root
    assert (tmp_path / "here").read_text() == "read by both\nwritten\nwritten\n"


def test_the_command_line_runs_an_image(server: Server, tmp_path: Path) -> None:
    done = command(
        tmp_path, "run", "--url", server.address, "--memory", "64", "--image", IMAGE, "sh", "-c", "pwd; exit 3"
    )
    assert (done.stdout, done.returncode) == (f"{os.getcwd()}\n", 3), done.stderr


def test_nodes_of_an_image_stand_by_for_the_main_node(server: Server, tmp_path: Path) -> None:
    script = '"$BATCHYARD_RSH" "${BATCHYARD_NODE_ADDRESSES##*,}" "$1"; exit 3'
    remote = "echo node $AWS_BATCH_JOB_NODE_INDEX in $PWD"
    options = ("--url", server.address, "--nodes", "2", "--memory", "64", "--image", IMAGE)
    done = command(tmp_path, "run", *options, "--", "sh", "-c", script, "-", remote)
    assert (done.stdout, done.returncode) == (f"[0] node 1 in {os.getcwd()}\n", 3), done.stderr
    stood_by = ended(server, f"{done.stderr.split()[1]}#1")
    assert stood_by["container"]["exitCode"] == 143, "SIGTERM ends it"


def test_both_take_from_one_ledger(server: Server) -> None:
    def capacity() -> int:
        return int(server.call("GetService", prefix="/yard/v1/")["free"]["vcpus"])

    until(lambda: capacity() == 4, JOB_SECONDS)
    asked = {"command": ["sleep", "600"], "vcpus": 2, "memory": 64}
    jobs = [server.call("RunJob", asked | more, "/yard/v1/")["jobId"] for more in ({}, {"image": IMAGE})]
    try:
        until(lambda: all(server.status(job) == "RUNNING" for job in jobs), JOB_SECONDS)
        assert capacity() == 0
    finally:
        for job in jobs:
            server.call("TerminateJob", {"jobId": job, "reason": "enough"})
    assert [ended(server, job)["status"] for job in jobs] == ["FAILED", "FAILED"]


def test_callers_environments_run_containers_unless_they_say_otherwise(server: Server) -> None:
    role = "arn:aws:iam::123456789012:role/BatchServiceRole"
    for name, tags in (("theirs", {}), ("plain", {"batchyard:engine": "process"})):
        asked = {"computeEnvironmentName": name, "type": "UNMANAGED", "serviceRole": role, "tags": tags}
        server.call("CreateComputeEnvironment", asked)
    found = engines(server)
    assert (found["theirs"], found["plain"]) == ("docker", "process")


# -- what is found inside --


@pytest.mark.parametrize("user", ["", "1000", "worker"])
def test_a_container_reads_its_metadata_and_credentials(server: Server, user: str) -> None:
    script = (
        "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task; echo; "
        'wget -qO- --header "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" $AWS_CONTAINER_CREDENTIALS_FULL_URI; '
        "echo; id -u"
    )
    container = {
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        "jobRoleArn": "arn:aws:iam::123456789012:role/analyst",
    } | ({"user": user} if user else {})
    register = {"jobDefinitionName": f"asks-{user or 'root'}", "type": "container", "containerProperties": container}
    definition = server.call("RegisterJobDefinition", register)["jobDefinitionArn"]
    submit = {"jobName": "asks", "jobQueue": "default", "jobDefinition": definition}
    detail = ended(server, server.call("SubmitJob", submit)["jobId"])
    lines = log_of(server, detail)
    assert detail["status"] == "SUCCEEDED", lines
    task, credentials = json.loads(lines[0]), json.loads(lines[1])
    assert task["TaskARN"] == detail["container"]["taskArn"]
    assert credentials["RoleArn"].endswith(":role/analyst")
    assert len(credentials["SecretAccessKey"]) == 40
    assert lines[2] == ("1000" if user else "0")
    kept = [path for path in server.data_dir.rglob("*") if path.is_file() and "logs" not in path.parts]
    for path in kept:
        assert credentials["SecretAccessKey"].encode() not in path.read_bytes(), path


def test_a_containers_user_opens_nothing(server: Server) -> None:
    signed = "Credential=any/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
    script = (
        "wget -SqO /dev/null --post-data '{}' --header 'X-Amz-Date: 20260101T000000Z' "
        f"--header 'Authorization: AWS4-HMAC-SHA256 {signed}' $AWS_ENDPOINT_URL_BATCH/v1/describejobqueues 2>&1 "
        "| grep -o 'HTTP/1.1 [0-9]*'"
    )
    container = {
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "user": "4711",
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    register = {"jobDefinitionName": "calls", "type": "container", "containerProperties": container}
    definition = server.call("RegisterJobDefinition", register)["jobDefinitionArn"]
    submit = {"jobName": "calls", "jobQueue": "default", "jobDefinition": definition}
    detail = ended(server, server.call("SubmitJob", submit)["jobId"])
    assert log_of(server, detail)[0] == "HTTP/1.1 403"


def test_a_service_that_ends_with_its_jobs_leaves_no_container(tmp_path: Path, dockerd: Dockerd) -> None:
    with server_of(tmp_path, reaching(dockerd)) as server:
        asked = {"command": ["sleep", "1000"], "image": IMAGE, "memory": 64}
        jobs = [server.call("RunJob", asked, "/yard/v1/")["jobId"] for _ in range(3)]
        until(lambda: all(server.status(job) == "RUNNING" for job in jobs), JOB_SECONDS)
        done = command(tmp_path, "down", "--kill", "--data-dir", str(server.data_dir))
        assert (done.returncode, done.stderr) == (0, "")
        label = f"batchyard.store={(server.data_dir / 'engine' / 'docker' / 'store-id').read_text()}"
        assert dockerd.containers(label) == []


# -- Docker comes and goes --


def test_without_docker_local_runs_processes_and_host_is_there(tmp_path: Path) -> None:
    with server_of(tmp_path, nowhere(tmp_path)) as server:
        assert "process (auto: no daemon answers" in server.said()
        assert engines(server) == {"local": "process", "host": "process"}
        assert run(server, "true", jobQueue="host")["status"] == "SUCCEEDED"
        refused = server.signed("RunJob", {"command": ["true"], "image": IMAGE}, prefix="/yard/v1/")
        assert refused.status == 400
        assert "start Docker" in refused.json["message"]
        health = server.request("GET", "/health").json["engines"]
        assert [(e["name"], e["available"]) for e in health] == [("process", True), ("docker", False)]


def test_docker_that_comes_later_gets_a_queue_of_its_own(tmp_path: Path, dockerd: Dockerd) -> None:
    with server_of(tmp_path, nowhere(tmp_path)) as server:
        assert engines(server)["local"] == "process"
    with server_of(tmp_path, reaching(dockerd)) as server:
        assert engines(server) == {"local": "process", "host": "process", "containers": "docker"}
        assert "process (as at the first start)" in server.said()
        assert "default (processes), host (processes), containers (containers)" in server.said()
        assert run(server, "true")["jobQueue"].endswith("/host")
        detail = run(server, "true", image=IMAGE)
        assert (detail["status"], detail["jobQueue"].rpartition("/")[2]) == ("SUCCEEDED", "containers")
        order = [{"order": 1, "computeEnvironment": "containers"}]
        server.call("UpdateJobQueue", {"jobQueue": "default", "computeEnvironmentOrder": order})
        assert run(server, "true", image=IMAGE)["jobQueue"].endswith("/default")


def test_jobs_of_containers_wait_for_docker_and_keep_their_engine(tmp_path: Path, dockerd: Dockerd) -> None:
    with server_of(tmp_path, reaching(dockerd)) as server:
        job = server.call("RunJob", {"command": ["sleep", "1000"], "image": IMAGE, "memory": 64}, "/yard/v1/")["jobId"]
        until(lambda: server.status(job) == "RUNNING", JOB_SECONDS)
        assert server.signal() == 0
    with server_of(tmp_path, nowhere(tmp_path)) as server:
        assert {"local": "docker", "host": "process"}.items() <= engines(server).items()
        assert "WARNING    Jobs of containers wait: Docker cannot be used now (no daemon answers" in server.said()
        waits = server.call("RunJob", {"command": ["true"], "image": IMAGE, "memory": 64}, "/yard/v1/")["jobId"]
        detail = server.call("DescribeJobs", {"jobs": [waits]})["jobs"][0]
        assert "(docker) cannot be used now (no daemon answers" in detail["statusReason"]
        assert run(server, "true")["status"] == "SUCCEEDED"
        assert server.status(job) == "RUNNING"
        server.call("TerminateJob", {"jobId": job, "reason": "enough"})
        assert server.signal() == 0
    with server_of(tmp_path, reaching(dockerd)) as server:
        assert ended(server, waits)["status"] == "SUCCEEDED"
        assert ended(server, job)["statusReason"] == "enough"
        assert store_containers(server, dockerd) == []


def store_containers(server: Server, dockerd: Dockerd) -> list[Any]:
    """What this service has left on the daemon."""
    label = f"batchyard.store={(server.data_dir / 'engine' / 'docker' / 'store-id').read_text()}"
    return until(lambda: not dockerd.containers(label), JOB_SECONDS) and []


def test_a_daemon_that_ends_while_serving_is_said_and_found_again(tmp_path: Path, own_dockerd: Dockerd) -> None:
    with server_of(tmp_path, reaching(own_dockerd)) as server:

        def available() -> bool:
            health = server.request("GET", "/health").json["engines"]
            return bool(next(engine["available"] for engine in health if engine["name"] == "docker"))

        runs = server.call("RunJob", {"command": ["sleep", "5"], "image": IMAGE, "memory": 64}, "/yard/v1/")["jobId"]
        until(lambda: server.status(runs) == "RUNNING", JOB_SECONDS)
        own_dockerd.kill()
        until(lambda: not available(), JOB_SECONDS)
        waits = server.call("RunJob", {"command": ["true"], "image": IMAGE, "memory": 64}, "/yard/v1/")["jobId"]
        assert "does not answer any more" in server.call("DescribeJobs", {"jobs": [waits]})["jobs"][0]["statusReason"]
        assert run(server, "true")["status"] == "SUCCEEDED"
        own_dockerd.start()
        assert [ended(server, job)["status"] for job in (runs, waits)] == ["SUCCEEDED", "SUCCEEDED"]


def test_docker_asked_for_at_the_first_start_must_be_there(tmp_path: Path) -> None:
    arguments = ("up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--engine", "docker")
    done = command(tmp_path, *arguments, **nowhere(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("batchyard: --engine docker is not possible here: no daemon answers")


# -- secrets --


def test_a_log_driver_of_dockers_gets_its_options_from_secrets(server: Server) -> None:
    """The collector's address is a secret; the output is in the job's own log all the same."""
    ssm = boto3.Session("any", "any", region_name="us-east-1").client("ssm", endpoint_url=server.address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(JOB_SECONDS)
        address = f"udp://127.0.0.1:{collector.getsockname()[1]}"
        ssm.put_parameter(Name="collector", Value=address, Type="SecureString", Overwrite=True)
        detail = run_definition(
            server,
            "gelf",
            command=["sh", "-c", "echo to the collector; sleep 0.2; printf 'and more'"],
            executionRoleArn="arn:aws:iam::123456789012:role/any",
            logConfiguration={
                "logDriver": "gelf",
                "options": {"gelf-compression-type": "none"},
                "secretOptions": [{"name": "gelf-address", "valueFrom": "collector"}],
            },
        )
        assert detail["status"] == "SUCCEEDED", detail
        assert log_of(server, detail) == ["to the collector", "and more"]
        sent = json.loads(collector.recv(64 * 1024))
        assert sent["short_message"] == "to the collector"
    kept = [path for path in server.data_dir.rglob("*") if path.is_file()]
    assert [path for path in kept if address.encode() in path.read_bytes()] == []


def test_a_log_option_that_can_not_be_read_is_the_jobs_reason(server: Server) -> None:
    logging = {"logDriver": "awslogs", "secretOptions": [{"name": "awslogs-region", "valueFrom": "no-such"}]}
    role = "arn:aws:iam::123456789012:role/any"
    detail = run_definition(server, "no-option", command=["true"], executionRoleArn=role, logConfiguration=logging)
    assert detail["container"]["reason"].startswith(
        "ResourceInitializationError: unable to pull secrets or registry auth: awslogs-region from no-such: Parameter "
    )


def run_definition(server: Server, name: str, **container: Any) -> dict[str, Any]:
    """A definition of this container, and the detail of its job at the end."""
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    properties = {"image": IMAGE, "resourceRequirements": needs, **container}
    server.call(
        "RegisterJobDefinition",
        {"jobDefinitionName": name, "type": "container", "containerProperties": properties},
    )
    request = {"jobName": name, "jobQueue": "default", "jobDefinition": name}
    return ended(server, server.call("SubmitJob", request)["jobId"])


def test_containers_get_their_secrets(server: Server) -> None:
    """A container's own only; and a task whose secret is missing never starts, and says whose it is."""
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/docker-"
    session = boto3.Session("any", "any", region_name="us-east-1")
    for name in ("one", "two"):
        session.client("ssm", endpoint_url=server.address).put_parameter(
            Name=f"docker-{name}", Value=name, Type="SecureString"
        )
    test = 'test "$WORD" = {word} && test "$(env | grep -c "^WORD=")" = 1'
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]

    def submit(name: str, *words: str) -> dict[str, Any]:
        containers = [
            {
                "name": word,
                "image": IMAGE,
                "command": ["sh", "-c", test.format(word=word)],
                "resourceRequirements": needs,
                "secrets": [{"name": "WORD", "valueFrom": arn + word}],
            }
            for word in words
        ]
        task = {"containers": containers, "executionRoleArn": "arn:aws:iam::123456789012:role/any"}
        document = {"jobDefinitionName": name, "type": "container", "ecsProperties": {"taskProperties": [task]}}
        server.call("RegisterJobDefinition", document)
        request = {"jobName": name, "jobQueue": "default", "jobDefinition": name}
        return ended(server, server.call("SubmitJob", request)["jobId"])

    assert submit("both", "one", "two")["status"] == "SUCCEEDED"
    failed = submit("missing", "one", "three")
    assert (failed["status"], failed["statusReason"]) == ("FAILED", "Task failed to start")
    reasons = {
        container["name"]: container.get("reason", "")
        for container in failed["ecsProperties"]["taskProperties"][0]["containers"]
    }
    assert reasons["one"] == ""
    assert reasons["three"].startswith(
        f"ResourceInitializationError: unable to pull secrets or registry auth: WORD from {arn}three: Parameter "
    )


# -- images by another name --


def test_an_image_is_run_by_another_name_and_explained_when_it_cannot_be_had(tmp_path: Path, dockerd: Dockerd) -> None:
    config = tmp_path / "images.toml"
    config.write_text(f'[images]\n"*.dkr.ecr.*.amazonaws.com/tool:*" = "{IMAGE}"\n"team/*" = "127.0.0.1:1/team/*"\n')
    ecr = "123456789012.dkr.ecr.us-east-1.amazonaws.com/tool:7"
    with server_of(tmp_path, reaching(dockerd), "auto", "--config", str(config)) as named:
        detail = run(named, "true", image=ecr)
        assert (detail["status"], detail["container"]["image"]) == ("SUCCEEDED", ecr)
        failed = run(named, "true", image="team/other:1")
        why = "(127.0.0.1:1/team/other:1 stands for the definition's team/other:1, by the line 'team/*' of [images])"
        assert failed["container"]["reason"].startswith("CannotPullContainerError: ")
        assert failed["container"]["reason"].endswith(why)
        explained = named.call("ExplainJob", {"jobId": failed["jobId"]}, "/yard/v1/")
        assert why in explained["text"]
