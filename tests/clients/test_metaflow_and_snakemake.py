"""The calls of Metaflow and of Snakemake's AWS Batch executor, and the fields that they read."""

import json
import sys

from tests.clients.calling import Clients, Document, needs
from tests.waiting import until

# What Metaflow's task does with the service before it runs a step.
STEP = """
import json, os, urllib.request
names = ("AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT", "AWS_BATCH_CE_NAME", "AWS_BATCH_JQ_NAME", "AWS_EXECUTION_ENV")
known = {name: os.environ[name] for name in names}
with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"]) as answer:
    known["log"] = json.load(answer)["LogOptions"]
print(json.dumps(known))
"""


def platform(clients: Clients) -> str:
    """Both tell EC2 from Fargate by the first environment of the queue, and take it that there is a type."""
    (queue,) = clients.batch.describe_job_queues(jobQueues=["default"])["jobQueues"]
    assert (queue["state"], queue["status"]) == ("ENABLED", "VALID")
    environment = queue["computeEnvironmentOrder"][0]["computeEnvironment"]
    (found,) = clients.batch.describe_compute_environments(computeEnvironments=[environment])["computeEnvironments"]
    return str(found["computeResources"]["type"])


def test_the_platform_of_the_first_queue_is_ec2(clients: Clients) -> None:
    assert platform(clients) == "EC2"


def metaflow_step(clients: Clients, command: list[str]) -> str:
    """Registers once by a name that is a digest of the definition, and submits with everything as overrides."""
    name = "metaflow_0123456789abcdef"
    found = clients.batch.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")["jobDefinitions"]
    if found:
        arn = found[0]["jobDefinitionArn"]
    else:
        arn = clients.batch.register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": "python:3.11",
                "jobRoleArn": "arn:aws:iam::123456789012:role/metaflow",
                "command": ["echo", "hello world"],
                "resourceRequirements": needs(1, 4096),
            },
            propagateTags=True,
        )["jobDefinitionArn"]
    return str(
        clients.batch.submit_job(
            jobName="flow-step-1-0",
            jobQueue="default",
            jobDefinition=arn,
            containerOverrides={
                "command": command,
                "environment": [{"name": "METAFLOW_RUNTIME_NAME", "value": "dev"}],
                "resourceRequirements": needs(1, 256),
            },
            parameters={"metaflow.flow_name": "F"},
            timeout={"attemptDurationSeconds": 3600},
            retryStrategy={"attempts": 1},
            tags={"app": "metaflow"},
        )["jobId"]
    )


def test_a_metaflow_step_finds_its_environment_and_its_log(clients: Clients) -> None:
    job = clients.ended(metaflow_step(clients, [sys.executable, "-c", STEP]))
    assert job["status"] == "SUCCEEDED"
    assert job["stoppedAt"] >= job["startedAt"] >= job["createdAt"] > 0  # done is: stoppedAt > 0
    stream = job["container"]["logStreamName"]
    answer = clients.logs.get_log_events(logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True)
    known = json.loads(answer["events"][0]["message"])
    assert known["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert known["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert (known["AWS_BATCH_CE_NAME"], known["AWS_BATCH_JQ_NAME"]) == ("local", "default")
    assert known["AWS_EXECUTION_ENV"]
    assert known["log"] == {"awslogs-group": "/aws/batch/job", "awslogs-region": "us-east-1", "awslogs-stream": stream}


def test_a_killed_metaflow_step_is_done(clients: Clients) -> None:
    job_id = metaflow_step(clients, ["sleep", "600"])
    clients.running(job_id)
    pages = clients.batch.get_paginator("list_jobs").paginate(jobQueue="default", jobStatus="RUNNING")
    assert job_id in [job["jobId"] for page in pages for job in page["jobSummaryList"]]
    clients.batch.terminate_job(jobId=job_id, reason="Metaflow initiated job termination.")
    job = clients.ended(job_id)
    assert job["stoppedAt"] > 0
    assert job["statusReason"] == "Metaflow initiated job termination."


def snakemake_job(clients: Clients, command: str) -> Document:
    """A definition for each job, which is deregistered at its end, whatever that was."""
    made = clients.batch.register_job_definition(
        jobDefinitionName="snakejob-def-part-0",
        type="container",
        containerProperties={
            "image": "snakemake/snakemake:v9",
            "command": ["/bin/bash", "-c", command],
            "environment": [{"name": "SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "value": "k"}],
            "jobRoleArn": "arn:aws:iam::123456789012:role/x",
            "resourceRequirements": needs(1, 2048),
        },
        timeout={"attemptDurationSeconds": 300},
        tags={},
        platformCapabilities=["EC2"],
    )
    job_id = clients.batch.submit_job(
        jobName="snakejob-part-0",
        jobQueue="default",
        jobDefinition=f"{made['jobDefinitionName']}:{made['revision']}",
    )["jobId"]
    job = clients.ended(job_id)
    clients.batch.terminate_job(jobId=job_id, reason="terminated by snakemake")  # after success too
    assert clients.job(job_id) == job
    clients.batch.deregister_job_definition(jobDefinition=job["jobDefinition"])
    return job


def test_a_snakemake_job_is_terminated_after_its_end_without_harm(clients: Clients) -> None:
    job = snakemake_job(clients, "exit 0")
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    job = snakemake_job(clients, "exit 3")
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 3)
    assert job["statusReason"]


def metaflow_state(step: str, following: str | None) -> Document:
    """A step as `step-functions create` deploys it: each gets the last one's job, and the run's id by way of its
    parameters. Its paths have a dot before their brackets."""
    is_first = step == "start"
    run_id = "$$.Execution.Name" if is_first else "$.Parameters.['metaflow.run_id']"
    environment: list[Document] = [{"Name": "METAFLOW_RUN_ID", "Value.$": run_id}]
    environment.append(
        {"Name": "METAFLOW_PARAMETERS", "Value.$": "$.Parameters"}
        if is_first
        else {"Name": "METAFLOW_PARENT_TASK_ID", "Value.$": "$.JobId"}
    )
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {
            "JobDefinition": "metaflow-flow",
            "JobName": f"SFN-Flow--{step}--",
            "JobQueue": "default",
            "Parameters": {"metaflow.step_name": step, "metaflow.run_id.$": run_id},
            "ContainerOverrides": {"Environment": environment},
            "RetryStrategy": {"Attempts": 1},
            "Timeout": {"AttemptDurationSeconds": 3600},
        },
        "Retry": [{"ErrorEquals": ["Batch.AWSBatchException"], "MaxAttempts": 10, "IntervalSeconds": 5}],
        "ResultPath": "$",
        "OutputPath": "$.['JobId', 'Parameters', 'Index', 'SplitParentTaskId']",
        **({"Next": following} if following else {"End": True}),
    }


def test_a_metaflow_flow_runs_as_a_state_machine(clients: Clients) -> None:
    clients.batch.register_job_definition(
        jobDefinitionName="metaflow-flow",
        type="container",
        containerProperties={
            "image": "python:3.11",
            "command": ["sh", "-c", "echo $METAFLOW_RUN_ID $METAFLOW_PARENT_TASK_ID $METAFLOW_PARAMETERS"],
            "resourceRequirements": needs(1, 256),
        },
    )
    states = clients.client("stepfunctions")
    definition = {"start": metaflow_state("start", "end"), "end": metaflow_state("end", None)}
    machine = states.create_state_machine(
        name="Flow",
        definition=json.dumps({"StartAt": "start", "States": definition}),
        roleArn="arn:aws:iam::123456789012:role/metaflow",
    )["stateMachineArn"]
    execution = states.start_execution(
        stateMachineArn=machine, name="run-1", input=json.dumps({"Parameters": '{"who": "me"}'})
    )["executionArn"]

    def status() -> str:
        return str(states.describe_execution(executionArn=execution)["status"])

    until(lambda: status() != "RUNNING", 60.0, lambda: f"the end of {execution}")
    shown = states.describe_execution(executionArn=execution)
    assert shown["status"] == "SUCCEEDED", shown
    output = json.loads(shown["output"])
    assert sorted(output) == ["JobId", "Parameters"]
    assert output["Parameters"] == {"metaflow.step_name": "end", "metaflow.run_id": "run-1"}
    events = states.get_execution_history(executionArn=execution)["events"]
    first = next(json.loads(e["stateExitedEventDetails"]["output"]) for e in events if "stateExitedEventDetails" in e)
    job = clients.ended(output["JobId"])
    answer = clients.logs.get_log_events(
        logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"], startFromHead=True
    )
    assert answer["events"][0]["message"].strip() == f"run-1 {first['JobId']}"
