"""Tasks, container instances and clusters as ECS's clients read them: by boto3, from what exists."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from batchyard.api.ecs.documents import task_document
from batchyard.core.model import names, reports
from batchyard.core.model.records import (
    Attempt,
    ContainerLog,
    ContainerOutcome,
    ContainerSpec,
    Instance,
    InstanceState,
    JobSpec,
    Placement,
    TaskSpec,
)
from batchyard.core.model.resources import Resources
from tests.api.service import ACCOUNT, ROUTER, START_MS, Service, container

HOST = "i-0123456789abcdef0"


def cluster_of(service: Service, environment: str = "local") -> str:
    (found,) = service.batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    return str(found["ecsClusterArn"])


def task_of(service: Service, arn: str, **more: Any) -> dict[str, Any]:
    (found,) = service.client("ecs").describe_tasks(cluster=arn.split("/")[1], tasks=[arn], **more)["tasks"]
    return dict(found)


def arn_of(service: Service, job_id: str, attempt: int = -1) -> str:
    detail = service.detail(job_id)
    return str(
        detail["attempts"][attempt]["container"]["taskArn"] if detail["attempts"] else detail["container"]["taskArn"]
    )


def refused(action: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        action(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_task_from_its_placement_to_its_end(service: Service) -> None:
    job_id = service.submit(tags={"team": "a"}, propagateTags=True)
    arn = arn_of(service, job_id)
    task = task_of(service, arn)
    assert (task["lastStatus"], task["desiredStatus"], "startedAt" in task) == ("PENDING", "RUNNING", False)
    assert task["taskArn"] == arn
    assert task["clusterArn"] == cluster_of(service)
    assert task["tags"] == []
    assert task_of(service, arn, include=["TAGS"])["tags"] == [{"key": "team", "value": "a"}]

    service.start(job_id)
    task = task_of(service, arn)
    assert (task["lastStatus"], task["startedAt"].timestamp() * 1000) == ("RUNNING", START_MS)
    assert task["containerInstanceArn"] == service.detail(job_id)["container"]["containerInstanceArn"]
    assert (task["cpu"], task["memory"], task["launchType"]) == ("1024", "512", "EC2")
    assert (task["group"], task["startedBy"]) == ("family:sleeper", job_id)
    assert task["taskDefinitionArn"] == "arn:aws:ecs:us-east-1:123456789012:task-definition/sleeper:1"
    (one,) = task["containers"]
    assert (one["name"], one["image"], one["lastStatus"]) == ("default", "busybox", "RUNNING")
    assert "exitCode" not in one
    assert task["overrides"]["containerOverrides"][0]["command"] == ["sleep", "60"]

    service.end(job_id, exit_code=3, reason="OutOfMemoryError: Container killed due to memory usage", ran_ms=2000)
    task = task_of(service, arn)
    assert (task["lastStatus"], task["desiredStatus"]) == ("STOPPED", "STOPPED")
    assert task["stoppedAt"].timestamp() * 1000 == START_MS + 2000
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    (one,) = task["containers"]
    assert (one["exitCode"], one["reason"]) == (3, "OutOfMemoryError: Container killed due to memory usage")
    assert task["containerInstanceArn"].startswith("arn:aws:ecs:")


def test_each_attempt_is_a_task_also_one_that_never_started(service: Service) -> None:
    job_id = service.submit(retryStrategy={"attempts": 3})
    service.fail_to_start(job_id, "CannotStartContainerError: no such program")
    service.start(job_id)
    service.end(job_id, exit_code=1)
    service.start(job_id)
    first, second = arn_of(service, job_id, 0), arn_of(service, job_id, 1)
    third = service.detail(job_id)["container"]["taskArn"]
    tasks = {
        task["taskArn"]: task
        for task in service.client("ecs").describe_tasks(
            cluster=cluster_of(service), tasks=[first, second, third.rpartition("/")[2]]
        )["tasks"]
    }
    assert [(tasks[arn]["lastStatus"], tasks[arn].get("stopCode")) for arn in (first, second, third)] == [
        ("STOPPED", "TaskFailedToStart"),
        ("STOPPED", "EssentialContainerExited"),
        ("RUNNING", None),
    ]
    assert tasks[first]["containers"][0]["reason"] == "CannotStartContainerError: no such program"
    assert "startedAt" not in tasks[first]


def test_a_task_that_is_being_stopped(service: Service) -> None:
    job_id = service.submit()
    service.start(job_id)
    service.batch.terminate_job(jobId=job_id, reason="enough")
    arn = arn_of(service, job_id)
    task = task_of(service, arn)
    assert (task["lastStatus"], task["desiredStatus"], task["containers"][0]["lastStatus"]) == (
        "STOPPING",
        "STOPPED",
        "RUNNING",
    )
    service.end(job_id, exit_code=143)
    assert task_of(service, arn)["stopCode"] == "UserInitiated"


def test_a_task_whose_host_went_away(service: Service) -> None:
    job_id = service.submit()
    service.start(job_id)
    service.report(reports.Lost(service.launched[job_id].attempt_id, service.now_ms, "gone"))
    task = task_of(service, arn_of(service, job_id))
    assert (task["stopCode"], task["stoppedReason"]) == ("TerminationNotice", f"Host EC2 (instance {HOST}) terminated.")
    assert "exitCode" not in task["containers"][0]


def test_a_task_of_several_containers_shows_each() -> None:
    containers = (
        ContainerSpec("main", ("run",), (("A", "1"),), Resources(1000, 512), image="one"),
        ContainerSpec("side", resources=Resources(500, 64), image="two", essential=False),
        ContainerSpec("never", image="three"),
    )
    task = TaskSpec((), (), Resources(1500, 576), containers=containers)
    spec = JobSpec(1, "job", "name", "default", "many:3", task, {}, START_MS, platform_capabilities=("FARGATE",))
    spec = replace(spec, container_logs=tuple(ContainerLog(one.name, "/group", "many") for one in containers))
    outcomes = (ContainerOutcome("main", 2, "why"), ContainerOutcome("side", 143), ContainerOutcome("never"))
    attempt = Attempt(
        1,
        "local",
        "docker",
        (Placement(HOST),),
        started_at_ms=START_MS,
        stopped_at_ms=START_MS + 5,
        exit_code=2,
        containers=outcomes,
    )
    task_id = names.task_id(1, 1, "job")
    document = task_document(ACCOUNT, spec, "job", task_id, attempt, is_current=False, with_tags=True)
    ROUTER.operations["ecs", "DescribeTasks"].check({"tasks": [document]})
    shown = document["containers"]
    assert [(one["name"], one["image"], one.get("exitCode"), one.get("reason")) for one in shown] == [
        ("main", "one", 2, "why"),
        ("side", "two", 143, None),
        ("never", "three", None, None),
    ]
    assert len({one["containerArn"] for one in shown}) == 3
    assert [(one["cpu"], one["memory"]) for one in shown] == [("1024", "512"), ("512", "64"), ("0", "0")]
    assert document["overrides"]["containerOverrides"][0] == {
        "name": "main",
        "command": ["run"],
        "environment": [{"name": "A", "value": "1"}],
    }
    assert (document["launchType"], "containerInstanceArn" in document) == ("FARGATE", False)
    running = task_document(
        ACCOUNT, spec, "job", task_id, replace(attempt, stopped_at_ms=0), is_current=True, with_tags=False
    )
    assert [one["lastStatus"] for one in running["containers"]] == ["STOPPED", "STOPPED", "RUNNING"]


def test_a_child_of_an_array_is_a_task(service: Service) -> None:
    parent = service.submit(arrayProperties={"size": 2})
    service.start(f"{parent}:1")
    task = task_of(service, service.detail(f"{parent}:1")["container"]["taskArn"])
    assert (task["startedBy"], task["lastStatus"]) == (f"{parent}:1", "RUNNING")


def test_unknown_tasks_are_failures(service: Service) -> None:
    service.make_queue("other", "other")
    service.start(service.submit())
    job_id = service.submit()
    arn, cluster = arn_of(service, job_id), cluster_of(service)
    never = names.task_id(999, 1, "11111111-1111-4111-8111-111111111111")
    answer = service.client("ecs").describe_tasks(cluster=cluster, tasks=["nonsense", never, f"{arn}x", arn, arn])
    assert [task["taskArn"] for task in answer["tasks"]] == [arn]
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"] * 3
    assert answer["failures"][0]["arn"] == f"{cluster.replace(':cluster/', ':task/')}/nonsense"
    elsewhere = service.client("ecs").describe_tasks(cluster=cluster_of(service, "other"), tasks=[arn])
    assert (elsewhere["tasks"], elsewhere["failures"]) == ([], [{"arn": arn, "reason": "MISSING"}])


def test_bad_requests_are_refused_with_codes_of_ecs(service: Service) -> None:
    ecs, cluster = service.client("ecs"), cluster_of(service)
    not_found = ("ClusterNotFoundException", "Cluster not found.")
    for action, more in (
        (ecs.describe_tasks, {"tasks": ["x"]}),
        (ecs.list_tasks, {}),
        (ecs.describe_container_instances, {"containerInstances": ["x"]}),
        (ecs.list_container_instances, {}),
    ):
        assert refused(action, **more) == not_found
        assert refused(action, cluster=cluster[:-1] + "z", **more) == not_found
    code, message = refused(ecs.describe_tasks, cluster=cluster, tasks=[])
    assert (code, message) == ("InvalidParameterException", "Tasks cannot be empty.")
    code, message = refused(ecs.describe_tasks, cluster=cluster, tasks=[f"{n:032x}" for n in range(101)])
    assert (code, message[:35]) == ("InvalidParameterException", "Tasks cannot have more than 100 ent")
    assert refused(ecs.list_tasks, cluster=cluster, maxResults=0)[0] == "InvalidParameterException"
    assert refused(ecs.list_tasks, cluster=cluster, nextToken="x")[0] == "InvalidParameterException"
    assert refused(ecs.list_clusters, nextToken="x")[0] == "InvalidParameterException"
    assert refused(ecs.list_tasks, cluster=cluster, serviceName="web")[0] == "ServiceNotFoundException"
    assert refused(ecs.list_container_instances, cluster=cluster, filter="task:x==1")[0] == "InvalidParameterException"


def test_tasks_are_listed_by_what_they_are(service: Service) -> None:
    service.make_queue("other", "other")
    service.register("worker")
    ecs, cluster = service.client("ecs"), cluster_of(service)
    done = service.submit(retryStrategy={"attempts": 2})
    service.start(done)
    service.end(done, exit_code=1)
    service.start(done)
    service.end(done)
    running, starting = service.submit("worker"), service.submit()
    service.start(running)
    elsewhere = service.submit(jobQueue="other")
    service.start(elsewhere)

    def listed(**filters: Any) -> list[str]:
        return list(ecs.list_tasks(cluster=cluster, **filters)["taskArns"])

    assert listed() == [arn_of(service, running), arn_of(service, starting)]
    assert listed(desiredStatus="PENDING") == []
    assert listed(desiredStatus="STOPPED") == [arn_of(service, done, 0), arn_of(service, done, 1)]
    assert listed(family="worker") == [arn_of(service, running)]
    assert listed(startedBy=starting) == [arn_of(service, starting)]
    assert listed(startedBy=done, desiredStatus="STOPPED") == [arn_of(service, done, 0), arn_of(service, done, 1)]
    assert listed(startedBy=elsewhere) == []
    assert listed(launchType="FARGATE") == []
    instance = service.detail(running)["container"]["containerInstanceArn"]
    assert listed(containerInstance=instance) == listed(containerInstance=instance.rpartition("/")[2]) == listed()
    assert listed(containerInstance="0" * 32) == []
    assert ecs.list_tasks(cluster=cluster_of(service, "other"))["taskArns"] == [arn_of(service, elsewhere)]

    service.batch.terminate_job(jobId=running, reason="enough")
    assert listed() == [arn_of(service, starting)]
    assert arn_of(service, running) in listed(desiredStatus="STOPPED")


def test_pages_of_tasks_are_the_whole_list(service: Service) -> None:
    parent = service.submit(arrayProperties={"size": 9}, retryStrategy={"attempts": 3})
    ended: set[str] = set()
    while waiting := [job for job, effect in service.launched.items() if effect.attempt_id not in ended]:
        for child in waiting:
            attempt = service.launched[child].attempt_id
            service.start(child)
            index, number = int(child.rpartition(":")[2]), len(service.detail(child)["attempts"])
            service.end(child, exit_code=int(number < index % 3))
            ended.add(attempt)
    running = service.submit(arrayProperties={"size": 5})
    for index in (0, 2):
        service.start(f"{running}:{index}")
    cluster = cluster_of(service)
    for desired, number in (("STOPPED", 18), ("RUNNING", 4)):
        paginator = service.client("ecs").get_paginator("list_tasks")
        whole = service.client("ecs").list_tasks(cluster=cluster, desiredStatus=desired)["taskArns"]
        assert len(set(whole)) == len(whole) == number
        for size in (1, 2, 4, 17):
            pages = paginator.paginate(cluster=cluster, desiredStatus=desired, PaginationConfig={"PageSize": size})
            assert [arn for page in pages for arn in page["taskArns"]] == whole
    assert {task_of(service, service.detail(f"{parent}:8")["container"]["taskArn"])["startedBy"]} == {f"{parent}:8"}


def test_this_machine_is_a_container_instance(service: Service) -> None:
    ecs, cluster = service.client("ecs"), cluster_of(service)
    requirements = [*container()["resourceRequirements"], {"type": "GPU", "value": "1"}]
    job_id = service.submit(containerOverrides={"resourceRequirements": requirements})
    service.start(job_id)
    service.submit()
    (arn,) = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    assert arn == service.detail(job_id)["container"]["containerInstanceArn"]
    for named in (arn, arn.rpartition("/")[2]):
        answer = ecs.describe_container_instances(cluster=cluster, containerInstances=[named, "0" * 32])
        (found,) = answer["containerInstances"]
        assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]
    assert (found["ec2InstanceId"], found["status"], found["agentConnected"]) == (HOST, "ACTIVE", True)
    assert (found["runningTasksCount"], found["pendingTasksCount"]) == (1, 1)
    assert {"name": "ecs.instance-type", "value": "local"} in found["attributes"]
    assert amounts(found["registeredResources"]) == {"CPU": 4096, "MEMORY": 4096, "GPU": ["0", "1"]}
    assert amounts(found["remainingResources"]) == {"CPU": 2048, "MEMORY": 3072, "GPU": ["1"]}
    assert task_of(service, arn_of(service, job_id))["containers"][0]["gpuIds"] == ["0"]


def amounts(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        one["name"]: one["integerValue"] if one["type"] == "INTEGER" else one["stringSetValue"] for one in resources
    }


def managed(service: Service, **members: Any) -> Instance:
    """An instance of the environment `local`, as if one had been launched."""
    instance = Instance(
        "i-00000000000000001", Resources(2000, 1024), environment="local", instance_type="m5.large",
        launched_at_ms=START_MS, ready_at_ms=START_MS + 1000,
    )  # fmt: skip
    instance = replace(instance, **members)
    world = service.machine.world
    if instance.instance_id in world.instances:
        world.put_instance(instance)
    else:
        world.add_instance(instance)
    return instance


def test_instances_of_environments_appear_in_their_cluster_alone(service: Service) -> None:
    service.make_queue("other", "other")
    ecs, cluster, other = service.client("ecs"), cluster_of(service), cluster_of(service, "other")
    instance = managed(service)
    listed = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]
    assert len(listed) == 2
    assert len(ecs.list_container_instances(cluster=other)["containerInstanceArns"]) == 1
    found = ecs.describe_container_instances(cluster=cluster, containerInstances=listed)["containerInstances"]
    (mine,) = [each for each in found if each["ec2InstanceId"] == instance.instance_id]
    assert mine["registeredAt"].timestamp() * 1000 == START_MS + 1000
    assert {"name": "ecs.instance-type", "value": "m5.large"} in mine["attributes"]
    own = mine["containerInstanceArn"].replace(cluster.rpartition("/")[2], other.rpartition("/")[2])
    assert ecs.describe_container_instances(cluster=other, containerInstances=[own])["containerInstances"] == []
    managed(service, state=InstanceState.DRAINING)
    draining = ecs.list_container_instances(cluster=cluster, status="DRAINING")["containerInstanceArns"]
    assert draining == [mine["containerInstanceArn"]]
    managed(service, state=InstanceState.LAUNCHING)
    assert len(ecs.list_container_instances(cluster=cluster)["containerInstanceArns"]) == 1


def test_clusters_are_those_of_environments(service: Service) -> None:
    service.make_queue("other", "other")
    service.start(service.submit())
    service.submit()
    ecs, local, other = service.client("ecs"), cluster_of(service), cluster_of(service, "other")
    assert ecs.list_clusters()["clusterArns"] == [local, other]
    answer = ecs.describe_clusters(clusters=[local, other.rpartition("/")[2], "default"])
    found = answer["clusters"]
    assert [each["clusterArn"] for each in found] == [local, other]
    counts = ("registeredContainerInstancesCount", "runningTasksCount", "pendingTasksCount")
    assert [[each[name] for name in counts] for each in found] == [[1, 1, 1], [1, 0, 0]]
    assert answer["failures"] == [{"arn": ACCOUNT.cluster_arn("default"), "reason": "MISSING"}]
    assert ecs.describe_clusters()["failures"] == answer["failures"]


def test_tasks_outlive_their_environment(service: Service) -> None:
    service.make_queue("other", "other")
    job_id = service.submit(jobQueue="other")
    service.start(job_id)
    arn, cluster = arn_of(service, job_id), cluster_of(service, "other")
    service.end(job_id)
    service.batch.update_job_queue(jobQueue="other", state="DISABLED")
    service.batch.delete_job_queue(jobQueue="other")
    service.batch.update_compute_environment(computeEnvironment="other", state="DISABLED")
    service.batch.delete_compute_environment(computeEnvironment="other")
    assert task_of(service, arn)["lastStatus"] == "STOPPED"
    ecs = service.client("ecs")
    assert ecs.list_clusters()["clusterArns"] == [cluster_of(service)]
    assert refused(ecs.list_container_instances, cluster=cluster)[0] == "ClusterNotFoundException"
