"""The calls of redun, Airflow, Luigi and miniwdl, and the fields that they read."""

from typing import Any

from tests.clients.calling import Clients, Document, needs

STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
TOKEN_READS = 100  # more pages than any log here has


def listed(clients: Clients, **where: str) -> dict[str, str]:
    """Status by job id, as redun finds the jobs of an earlier run."""
    found: dict[str, str] = {}
    for status in STATUSES:
        pages = clients.batch.get_paginator("list_jobs").paginate(jobStatus=status, **where)
        found |= {job["jobId"]: job["status"] for page in pages for job in page["jobSummaryList"]}
    return found


def redun_definition(clients: Clients) -> Document:
    """Registers what is wanted unless a definition is equal to it, every default included."""
    wanted = {
        "command": ["ls"],
        "image": "python:3.11",
        "jobRoleArn": "arn:aws:iam::123456789012:role/x",
        "environment": [],
        "mountPoints": [],
        "resourceRequirements": needs(1, 4),
        "secrets": [],
        "ulimits": [],
        "volumes": [],
    }
    name = "redun-jd"
    pages = clients.batch.get_paginator("describe_job_definitions").paginate(jobDefinitionName=name, status="ACTIVE")
    found: list[Document] = [each for page in pages for each in page["jobDefinitions"]]
    for each in found:
        if each["containerProperties"] == wanted:
            return each
    clients.batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=wanted)
    return redun_definition(clients)


def test_redun_names_its_roles_and_repositories_by_the_callers_account(clients: Clients) -> None:
    account = clients.sts.get_caller_identity().get("Account")
    (queue,) = clients.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert queue["jobQueueArn"].split(":")[4] == account


def test_redun_registers_once(clients: Clients) -> None:
    first = redun_definition(clients)
    assert redun_definition(clients) == first
    assert first["revision"] == 1


def test_redun_reunites_with_its_array_and_reads_all_of_a_log(clients: Clients) -> None:
    definition = redun_definition(clients)["jobDefinitionArn"]
    script = "i=$AWS_BATCH_JOB_ARRAY_INDEX; seq 1 $((i * 20000 + 3)); exit $i"
    parent = clients.batch.submit_job(
        jobName="redun-array",
        jobQueue="default",
        jobDefinition=definition,
        containerOverrides={"command": ["bash", "-c", script], "resourceRequirements": needs(1, 64)},
        arrayProperties={"size": 2},
        retryStrategy={"attempts": 1},
        propagateTags=True,
        tags={"redun_job_id": "x"},
    )["jobId"]
    clients.ended(parent)
    assert listed(clients, jobQueue="default")[parent] == "FAILED"
    assert listed(clients, arrayJobId=parent) == {f"{parent}:0": "SUCCEEDED", f"{parent}:1": "FAILED"}
    failed = clients.job(f"{parent}:1")
    assert failed["attempts"][-1]["container"]["exitCode"] == 1
    assert failed["statusReason"] == "Essential container in task exited"
    lines = log_lines(clients, failed["container"]["logStreamName"])
    assert lines == [str(number) for number in range(1, 20004)]


def log_lines(clients: Clients, stream: str) -> list[str]:
    """By nextForwardToken, until it comes back the same."""
    lines: list[str] = []
    request: dict[str, Any] = {"logGroupName": "/aws/batch/job", "logStreamName": stream, "startFromHead": True}
    for _ in range(TOKEN_READS):
        answer = clients.logs.get_log_events(**request)
        lines += [event["message"] for event in answer["events"]]
        if answer["nextForwardToken"] == request.get("nextToken"):
            return lines
        request["nextToken"] = answer["nextForwardToken"]
    raise AssertionError(f"no end of the log after {TOKEN_READS} reads")


def test_airflow_asks_for_its_health_by_an_unknown_job(clients: Clients) -> None:
    assert clients.batch.describe_jobs(jobs=["a" * 32])["jobs"] == []


def test_airflow_submits_with_all_its_empty_members(clients: Clients) -> None:
    clients.batch.register_job_definition(
        jobDefinitionName="airflow",
        type="container",
        containerProperties={"image": "i", "command": ["sh", "-c", "echo $X"], "vcpus": 1, "memory": 64},
    )
    job_id = clients.batch.submit_job(
        jobName="airflow",
        jobQueue="default",
        jobDefinition="airflow",
        arrayProperties={},
        parameters={},
        containerOverrides={"environment": [{"name": "X", "value": "from airflow"}]},
        tags={},
    )["jobId"]
    job = clients.ended(job_id)
    assert job["status"] == "SUCCEEDED"
    assert "arrayProperties" not in job
    assert log_lines(clients, job["attempts"][-1]["container"]["logStreamName"]) == ["from airflow"]


def test_luigi_takes_the_first_queue_and_the_last_lines(clients: Clients) -> None:
    queues = clients.batch.describe_job_queues()["jobQueues"]
    active = [queue["jobQueueName"] for queue in queues if (queue["state"], queue["status"]) == ("ENABLED", "VALID")]
    assert active[0] == "default"
    clients.batch.register_job_definition(
        jobDefinitionName="luigi",
        type="container",
        parameters={"name": "nobody"},
        containerProperties={"image": "i", "command": ["echo", "hello", "Ref::name"], "vcpus": 1, "memory": 64},
    )
    job = clients.ended(
        clients.batch.submit_job(
            jobName="luigi", jobQueue=active[0], jobDefinition="luigi", parameters={"name": "luigi"}
        )["jobId"]
    )
    answer = clients.logs.get_log_events(
        logGroupName="/aws/batch/job",
        logStreamName=job["attempts"][0]["container"]["logStreamName"],
        startFromHead=False,
    )
    assert [event["message"] for event in answer["events"]] == ["hello luigi"]


def test_miniwdl_reads_the_tags_of_its_queue_and_finds_every_job(clients: Clients) -> None:
    (queue,) = clients.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    tags = {"DefaultTaskQueue": "default", "WorkflowEngineRoleArn": "arn:aws:iam::123456789012:role/x"}
    clients.batch.tag_resource(resourceArn=queue["jobQueueArn"], tags=tags)
    (queue,) = clients.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert queue["tags"] == tags
    clients.batch.register_job_definition(
        jobDefinitionName="miniwdl",
        type="container",
        containerProperties={
            "image": "i",
            "command": ["sh", "-c", "echo one; echo two >&2"],
            "resourceRequirements": needs(1, 64),
        },
    )
    jobs = [
        clients.batch.submit_job(
            jobName=f"wdl-{number}",
            jobQueue="default",
            jobDefinition="miniwdl",
            timeout={"attemptDurationSeconds": 864000},
            tags={"logGroup": "x"},
        )["jobId"]
        for number in range(3)
    ]
    assert {job["jobId"] for job in clients.batch.describe_jobs(jobs=jobs)["jobs"]} == set(jobs)
    stream = clients.ended(jobs[0])["container"]["logStreamName"]
    pages = clients.logs.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/batch/job", logStreamNames=[stream]
    )
    assert sorted(event["message"] for page in pages for event in page["events"]) == ["one", "two"]
