"""Pods of eksProperties on a real daemon, submitted by boto3 (AWS Batch behaviour 6.11)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import Server, command
from tests.waiting import until

JOB_SECONDS = 60.0
SMALL = {"limits": {"cpu": "0.25", "memory": "32Mi"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Server]:
    flags = ("--vcpus", "4", "--memory", "4096", "--engine", "auto")
    variables = {"DOCKER_HOST": f"unix://{dockerd.socket_path}"}
    with Server(tmp_path_factory.mktemp("pods"), *flags, variables=variables) as running:
        yield running


def client(server: Server, name: str) -> Any:
    return boto3.client(
        name,
        endpoint_url=server.address,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def one(name: str, script: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], "resources": SMALL, **members}


class Pods:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.batch = client(server, "batch")

    def submit(self, *containers: dict[str, Any], queue: str = "default", **pod: Any) -> str:
        members = pod.pop("members", {})
        definition = self.batch.register_job_definition(
            jobDefinitionName="pod",
            type="container",
            eksProperties={"podProperties": {"containers": list(containers), **pod}},
        )
        arn = definition["jobDefinitionArn"]
        return str(self.batch.submit_job(jobName="j", jobQueue=queue, jobDefinition=arn, **members)["jobId"])

    def detail(self, job_id: str) -> dict[str, Any]:
        (found,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(found)

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            detail = self.detail(job_id)
            return detail if detail["status"] in ("SUCCEEDED", "FAILED") else None

        return until(look, JOB_SECONDS, lambda: f"{self.detail(job_id)}; the server said: {self.server.said()}") or {}

    def run(self, *containers: dict[str, Any], **pod: Any) -> dict[str, Any]:
        return self.ended(self.submit(*containers, **pod))

    def said(self, detail: dict[str, Any], container: str) -> list[str]:
        """The lines of the latest attempt's container."""
        head, _, task = detail["container"]["logStreamName"].split("/")
        events = client(self.server, "logs").get_log_events(
            logGroupName="/aws/batch/job", logStreamName=f"{head}/{container}/{task}", startFromHead=True
        )["events"]
        return [event["message"] for event in events]


@pytest.fixture(scope="module")
def pods(server: Server) -> Pods:
    return Pods(server)


def codes(attempt: dict[str, Any]) -> dict[str, int | None]:
    return {one["name"]: one.get("exitCode") for one in [*attempt["containers"], *attempt["initContainers"]]}


def test_command_replaces_the_entrypoint_and_args_the_command(pods: Pods) -> None:
    env = [
        {"name": "WHO", "value": "you"},
        {"name": "GREETING", "value": "hello $(WHO) $(LATER)"},
        {"name": "LATER", "value": "x"},
    ]
    detail = pods.run(
        {
            "name": "main",
            "image": IMAGE,
            "command": ["echo"],
            "args": ["$(GREETING)", "$$(WHO)", "$(NOTHING)", "$(AWS_BATCH_JOB_ID)"],
            "env": env,
            "resources": SMALL,
        }
    )
    assert detail["status"] == "SUCCEEDED", detail
    assert pods.said(detail, "main") == [f"hello you $(LATER) $(WHO) $(NOTHING) {detail['jobId']}"]
    (attempt,) = detail["eksAttempts"]
    assert codes(attempt) == {"main": 0}


def test_init_containers_run_one_by_one_before_the_main_ones(pods: Pods) -> None:
    volume = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    detail = pods.run(
        one("left", "cat /shared/log; sleep 0.5; echo left", **volume),
        one("right", "cat /shared/log", **volume),
        initContainers=[
            one("first", "sleep 0.3; echo first >> /shared/log", **volume),
            one("second", "echo second >> /shared/log", **volume),
        ],
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    assert detail["status"] == "SUCCEEDED", detail
    assert pods.said(detail, "left") == ["first", "second", "left"]  # the end of `right` did not end it
    assert pods.said(detail, "right") == ["first", "second"]
    assert codes(detail["eksAttempts"][0]) == dict.fromkeys(("left", "right", "first", "second"), 0)


def test_a_pod_fails_when_one_container_does_and_the_others_run_to_their_end(pods: Pods) -> None:
    detail = pods.run(one("bad", "exit 3"), one("good", "sleep 0.7; echo done"))
    assert (detail["status"], detail["container"]["exitCode"]) == ("FAILED", 3)
    assert pods.said(detail, "good") == ["done"]
    assert codes(detail["eksAttempts"][0]) == {"bad": 3, "good": 0}


def test_the_command_line_shows_every_container(pods: Pods, tmp_path: Path) -> None:
    job_id = pods.submit(one("left", "echo l"), one("right", "echo r; exit 2"), initContainers=[one("first", "echo f")])
    pods.ended(job_id)
    done = command(tmp_path, "logs", "--url", pods.server.address, job_id)
    assert sorted(done.stdout.splitlines()) == ["[first] f", "[left] l", "[right] r"], done.stderr
    done = command(tmp_path, "logs", "--url", pods.server.address, "--container", "right", job_id)
    assert done.stdout == "[right] r\n"
    done = command(tmp_path, "describe", "--url", pods.server.address, job_id)
    assert "left 0, right 2, first 0" in done.stdout


def test_a_failed_init_container_keeps_the_others_from_starting(pods: Pods) -> None:
    detail = pods.run(one("main", "echo never"), initContainers=[one("first", "exit 4"), one("second", "echo never")])
    assert (detail["status"], detail["container"]["exitCode"]) == ("FAILED", 4)
    assert codes(detail["eksAttempts"][0]) == {"main": None, "first": 4, "second": None}
    (main,) = detail["eksAttempts"][0]["containers"]
    assert "first" in main["reason"] or "second" in main["reason"]


def test_containers_of_a_pod_share_processes_that_outlive_each_of_them(pods: Pods) -> None:
    volume = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    wait = "until [ -e /shared/up ]; do sleep 0.02; done; while ps | grep -q '[r]m /nothing'; do sleep 0.02; done"
    detail = pods.run(
        one("short", "touch /shared/up; sleep 0.2; rm /nothing; exit 0", **volume),
        one("long", f"{wait}; ps | grep -c ' sleep 3600$'; echo alive", **volume),
        shareProcessNamespace=True,
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    assert detail["status"] == "SUCCEEDED", detail
    assert pods.said(detail, "long") == ["1", "alive"]  # it sees the pause container, and outlives the other
    assert codes(detail["eksAttempts"][0]) == {"short": 0, "long": 0}


def test_containers_of_a_pod_off_the_hosts_network_share_one(pods: Pods) -> None:
    detail = pods.run(
        one("here", "readlink /proc/self/ns/net"),
        one("there", "sleep 0.6; readlink /proc/self/ns/net"),
        hostNetwork=False,
    )
    assert detail["status"] == "SUCCEEDED", detail
    here, there = pods.said(detail, "here"), pods.said(detail, "there")
    assert here == there != [str(Path("/proc/self/ns/net").readlink())]


def test_a_volume_in_memory_is_shared_and_limited(pods: Pods) -> None:
    volume = {"volumeMounts": [{"name": "fast", "mountPath": "/fast"}]}
    detail = pods.run(
        one(
            "main",
            "cat /fast/kept; grep -c ' /fast tmpfs ' /proc/mounts; df -m /fast | tail -n 1 | tr -s ' '",
            **volume,
        ),
        initContainers=[one("first", "echo kept > /fast/kept", **volume)],
        volumes=[{"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
    )
    assert detail["status"] == "SUCCEEDED", detail
    kept, mounted, size = pods.said(detail, "main")
    assert (kept, mounted, size.split(" ")[1]) == ("kept", "1", "8")


def test_a_directory_of_the_host_is_mounted_in_whole_and_in_part(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("from the host\n")
    mounts = [
        {"name": "host", "mountPath": "/whole"},
        {"name": "host", "mountPath": "/part", "subPath": "inner", "readOnly": True},
    ]
    detail = pods.run(
        one("main", "cat /part/file; echo back > /whole/back; echo no > /part/no || echo refused", volumeMounts=mounts),
        volumes=[{"name": "host", "hostPath": {"path": str(tmp_path)}}],
    )
    assert detail["status"] == "SUCCEEDED", detail
    assert [line for line in pods.said(detail, "main") if "denied" not in line and "Read-only" not in line] == [
        "from the host",
        "refused",
    ]
    assert (tmp_path / "back").read_text() == "back\n"


def test_secrets_of_ours_are_files(pods: Pods) -> None:
    secrets = client(pods.server, "secretsmanager")
    secrets.create_secret(Name="pod/members", SecretString=json.dumps({"user": "me", "port": 5}))
    secrets.create_secret(Name="pod/whole", SecretString="word")
    volumes = [
        {"name": "members", "secret": {"secretName": "pod/members"}},
        {"name": "whole", "secret": {"secretName": "pod/whole"}},
        {"name": "none", "secret": {"secretName": "pod/none", "optional": True}},
    ]
    mounts = [{"name": one["name"], "mountPath": f"/secrets/{one['name']}"} for one in volumes]
    script = "cd /secrets; for file in members/* whole/*; do echo $file $(cat $file); done; ls none | wc -l"
    detail = pods.run(
        one("main", script, volumeMounts=mounts, securityContext={"readOnlyRootFilesystem": True, "runAsUser": 1000}),
        volumes=volumes,
    )
    assert detail["status"] == "SUCCEEDED", detail
    assert pods.said(detail, "main") == ["members/port 5", "members/user me", "whole/value word", "0"]
    missing = pods.run(
        one("main", "true", volumeMounts=[{"name": "none", "mountPath": "/none"}]),
        volumes=[{"name": "none", "secret": {"secretName": "pod/none"}}],
    )
    assert missing["status"] == "FAILED"
    assert "batchyard secrets set pod/none" in missing["container"]["reason"]


def test_limits_and_the_security_context_hold(pods: Pods) -> None:
    resources = {"limits": {"cpu": "0.5", "memory": "48Mi"}, "requests": {"cpu": "0.25"}}
    context = {
        "runAsUser": 1000,
        "runAsGroup": 1001,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    script = (
        "id -u; id -g; grep -E 'NoNewPrivs|CapBnd' /proc/self/status; "
        "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max 2>/dev/null "
        "|| cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes"
    )
    detail = pods.run(one("main", script, resources=resources, securityContext=context))
    assert detail["status"] == "SUCCEEDED", detail
    said = pods.said(detail, "main")
    assert said[:2] == ["1000", "1001"]
    assert [line.split()[1] for line in said[2:4]] == ["0000000000000000", "1"]
    assert said[4].split()[0] == "50000"
    assert said[5] == str(48 * 1024 * 1024)


def test_an_image_that_is_never_pulled_and_one_that_always_is(pods: Pods) -> None:
    never = pods.run(one("main", "true", image="localhost:1/nothing", imagePullPolicy="Never"))
    assert never["container"]["reason"].startswith(
        "CannotCreateContainerError: Error response from daemon: No such image"
    )
    always = pods.run(one("main", "true", image="localhost:1/nothing", imagePullPolicy="Always"))
    assert always["container"]["reason"].startswith("CannotPullContainerError")
    (attempt,) = always["eksAttempts"]
    assert attempt["containers"][0]["reason"] == always["container"]["reason"]


def test_a_pod_is_terminated_with_all_its_containers(pods: Pods, tmp_path: Path) -> None:
    trap = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    job_id = pods.submit(one("main", trap), one("side", trap), shareProcessNamespace=True)
    until(lambda: pods.detail(job_id)["status"] == "RUNNING", JOB_SECONDS)
    until(lambda: all(pods.said(pods.detail(job_id), name) for name in ("main", "side")), JOB_SECONDS)
    done = command(tmp_path, "exec", "--url", pods.server.address, job_id, "--", "true")
    assert "has several containers: name one of main, side." in done.stderr
    pods.batch.terminate_job(jobId=job_id, reason="enough")
    detail = pods.ended(job_id)
    assert (detail["status"], detail["statusReason"]) == ("FAILED", "enough")
    assert [pods.said(detail, name)[-1] for name in ("main", "side")] == ["bye", "bye"]


def test_an_environment_with_a_cluster_runs_pods_under_its_name(pods: Pods) -> None:
    cluster = "arn:aws:eks:us-east-1:123456789012:cluster/of-the-owner"
    pods.batch.create_compute_environment(
        computeEnvironmentName="eks",
        type="MANAGED",
        eksConfiguration={"eksClusterArn": cluster, "kubernetesNamespace": "jobs"},
        computeResources={
            "type": "EC2",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "minvCpus": 0,
            "maxvCpus": 2,
            "instanceTypes": ["c5.large"],
            "subnets": ["subnet-1"],
            "securityGroupIds": ["sg-1"],
            "instanceRole": "role",
        },
    )
    order = [{"order": 1, "computeEnvironment": "eks"}]
    until(
        lambda: (
            pods.batch.describe_compute_environments(computeEnvironments=["eks"])["computeEnvironments"][0]["status"]
            == "VALID"
        ),
        JOB_SECONDS,
    )
    pods.batch.create_job_queue(jobQueueName="eks", priority=1, computeEnvironmentOrder=order)
    detail = pods.ended(pods.submit(one("main", "echo here"), queue="eks"))
    assert detail["status"] == "SUCCEEDED", detail
    (attempt,) = detail["eksAttempts"]
    assert (attempt["eksClusterArn"], attempt["podNamespace"]) == (cluster, "jobs")
    assert attempt["nodeName"].startswith("i-")
    assert attempt["podName"] == detail["eksProperties"]["podProperties"]["podName"]


def test_a_pod_of_one_container_runs_as_a_process(pods: Pods) -> None:
    overrides = {"podProperties": {"containers": [{"env": [{"name": "WORD", "value": "other"}]}]}}
    array = {"arrayProperties": {"size": 2}, "eksPropertiesOverride": overrides}
    main = one(
        "main", "echo $0 $1", args=["$(WORD)", "$(AWS_BATCH_JOB_ARRAY_INDEX)"], env=[{"name": "WORD", "value": "w"}]
    )
    job_id = pods.submit(main, queue="host", members=array)
    assert pods.ended(job_id)["status"] == "SUCCEEDED"
    children = [pods.detail(f"{job_id}:{index}") for index in range(2)]
    assert [pods.said(child, "main") for child in children] == [["other 0"], ["other 1"]]


@pytest.mark.parametrize(
    ("pod", "named"),
    [
        ({"serviceAccountName": "who"}, "serviceAccountName"),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}, "persistentVolumeClaim"),
        ({"securityContext": {"fsGroup": 5}}, "securityContext.fsGroup"),
    ],
)
def test_what_can_not_be_done_is_refused_by_name(pod: dict[str, Any], named: str, pods: Pods) -> None:
    submit: Callable[[], object] = lambda: pods.submit(one("main", "true"), **pod)  # noqa: E731
    with pytest.raises(ClientError, match=named):
        submit()


def test_several_containers_are_refused_where_only_processes_run(pods: Pods) -> None:
    with pytest.raises(ClientError, match=r"the process engine runs one container in a task, .* 2 \(a, b\)"):
        pods.submit(one("a", "true"), one("b", "true"), shareProcessNamespace=True, queue="host")
