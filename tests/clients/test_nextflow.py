"""The calls of Nextflow's AWS Batch executor, in its order, and the fields that it reads."""

from datetime import UTC, datetime

from tests.clients.calling import Clients, Document, needs

GROUP = "/aws/batch/job"


def find_definition(clients: Clients, name: str, token: str) -> str | None:
    """An ACTIVE definition with this token among its parameters, the newest first: without a status in the request."""
    found = clients.batch.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"]
    for each in sorted(found, key=lambda one: -int(one["revision"])):
        if each["status"] == "ACTIVE" and each["parameters"].get("nf-token") == token:
            return f"{each['jobDefinitionName']}:{each['revision']}"
    return None


def definition(clients: Clients, name: str, token: str) -> str:
    found = find_definition(clients, name, token)
    if found is not None:
        return found
    made = clients.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        parameters={"nf-token": token},
        containerProperties={
            "image": "quay.io/nextflow/bash:latest",
            "command": ["true"],
            "resourceRequirements": needs(1, 1024),
        },
        tags={"nextflow.io/version": "26.04.0"},
    )
    return f"{name}:{made['revision']}"


def task(definition: str, script: str, **more: object) -> Document:
    return {
        "jobName": "nf-task",
        "jobQueue": "default",
        "jobDefinition": definition,
        "containerOverrides": {
            "command": ["bash", "-o", "pipefail", "-c", script],
            "environment": [{"name": "NXF_CHDIR", "value": "/tmp"}, {"name": "AWS_RETRY_MODE", "value": "standard"}],
            "resourceRequirements": needs(2, 2048),
        },
        "retryStrategy": {
            "attempts": 5,
            "evaluateOnExit": [
                {"action": "RETRY", "onStatusReason": "Host EC2*"},
                {"action": "EXIT", "onReason": "*"},
            ],
        },
        "timeout": {"attemptDurationSeconds": 60},
        "tags": {"taskHash": "ab/cdef"},
        "propagateTags": True,
    } | more


def test_a_definition_is_found_again_by_its_token(clients: Clients) -> None:
    name = "nf-quay-io-nextflow-bash-latest"
    first = definition(clients, name, "token-1")
    assert first == f"{name}:1"
    assert definition(clients, name, "token-1") == first
    assert definition(clients, name, "token-2") == f"{name}:2"
    assert definition(clients, name, "token-1") == first


def test_a_task_succeeds_and_its_log_is_found(clients: Clients) -> None:
    definition_id = definition(clients, "nf-task", "t")
    job_id = clients.batch.submit_job(**task(definition_id, "echo in $NXF_CHDIR"))["jobId"]
    job = clients.ended(job_id)
    assert job["status"] == "SUCCEEDED"
    container = job["container"]
    assert container["exitCode"] == 0
    assert container["taskArn"].startswith("arn:aws:ecs:")
    assert job["attempts"][0]["container"]["logStreamName"] == container["logStreamName"]
    answer = clients.logs.get_log_events(
        logGroupName=GROUP, logStreamName=container["logStreamName"], startFromHead=True
    )
    assert [event["message"] for event in answer["events"]] == ["in /tmp"]


def test_a_failed_task_is_not_retried_and_says_why(clients: Clients) -> None:
    definition_id = definition(clients, "nf-failing", "t")
    job = clients.ended(clients.batch.submit_job(**task(definition_id, "exit 7"))["jobId"])
    assert job["status"] == "FAILED"
    assert len(job["attempts"]) == 1
    assert job["container"]["exitCode"] == 7
    assert job["statusReason"] == job["attempts"][0]["statusReason"] == "Essential container in task exited"


def test_an_array_is_asked_for_child_by_child(clients: Clients) -> None:
    definition_id = definition(clients, "nf-array", "t")
    request = task(definition_id, 'test "$AWS_BATCH_JOB_ARRAY_INDEX" != 1', arrayProperties={"size": 3})
    parent = clients.batch.submit_job(**request)["jobId"]
    clients.ended(parent)
    children = [f"{parent}:{index}" for index in range(3)]
    found = {job["jobId"]: job for job in clients.batch.describe_jobs(jobs=children)["jobs"]}
    assert [found[child]["status"] for child in children] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert [found[child]["container"]["exitCode"] for child in children] == [0, 1, 0]


def test_a_task_is_killed(clients: Clients) -> None:
    definition_id = definition(clients, "nf-killed", "t")
    job_id = clients.batch.submit_job(**task(definition_id, "exec sleep 600"))["jobId"]
    clients.running(job_id)
    clients.batch.terminate_job(jobId=job_id, reason="Job killed by NF")
    job = clients.ended(job_id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "Job killed by NF", True)
    assert job["container"]["exitCode"] == 143


def test_the_cluster_of_a_queue_is_found(clients: Clients) -> None:
    (queue,) = clients.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    names = [entry["computeEnvironment"] for entry in queue["computeEnvironmentOrder"]]
    found = clients.batch.describe_compute_environments(computeEnvironments=names)["computeEnvironments"]
    cluster = found[0]["ecsClusterArn"].rpartition("/")[2]
    job = clients.ended(clients.batch.submit_job(**task(definition(clients, "nf-cluster", "t"), "true"))["jobId"])
    assert job["container"]["taskArn"].split("/")[1] == cluster


def test_a_task_is_followed_to_the_machine_it_ran_on(clients: Clients) -> None:
    """For its trace: cluster and task, container instance, instance, and then type, zone and price model."""
    job = clients.ended(clients.batch.submit_job(**task(definition(clients, "nf-machine", "t"), "true"))["jobId"])
    (queue,) = clients.batch.describe_job_queues(jobQueues=[job["jobQueue"]])["jobQueues"]
    environments = [entry["computeEnvironment"] for entry in queue["computeEnvironmentOrder"]]
    found = clients.batch.describe_compute_environments(computeEnvironments=environments)["computeEnvironments"]
    clusters = [environment["ecsClusterArn"] for environment in found]
    tasks = [
        one
        for cluster in clusters
        for one in clients.ecs.describe_tasks(cluster=cluster, tasks=[job["container"]["taskArn"]])["tasks"]
    ]
    assert [one["taskArn"] for one in tasks] == [job["container"]["taskArn"]]
    assert tasks[0]["lastStatus"] == "STOPPED"
    assert tasks[0]["containers"][0]["exitCode"] == 0
    answer = clients.ecs.describe_container_instances(
        cluster=tasks[0]["clusterArn"], containerInstances=[tasks[0]["containerInstanceArn"]]
    )
    (container_instance,) = answer["containerInstances"]
    reservations = clients.ec2.describe_instances(InstanceIds=[container_instance["ec2InstanceId"]])["Reservations"]
    (instance,) = reservations[0]["Instances"]
    assert instance["InstanceType"] == "local"
    assert instance["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert instance["State"]["Name"] == "running"
    assert "InstanceLifecycle" not in instance  # on-demand, in EC2's way
    assert instance["LaunchTime"] < job_time(clients, job["jobId"])
    assert instance["PrivateIpAddress"]


def job_time(clients: Clients, job_id: str) -> datetime:
    return datetime.fromtimestamp(clients.job(job_id)["createdAt"] / 1000, UTC)
