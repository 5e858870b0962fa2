"""What the clients here ask of jobs that are containers: mounts, arrays that retry, memory, and nothing left behind.

The sequences of Nextflow, Metaflow and Snakemake against a real service whose `default` queue runs containers.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.calling import JOB_SECONDS, Clients, Document, needs
from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import Server
from tests.waiting import until

GROUP = "/aws/batch/job"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd) -> Iterator[Clients]:
    """At its end no container of its jobs is left."""
    where = {"DOCKER_HOST": f"unix://{dockerd.socket_path}"}
    flags = ("--vcpus", "4", "--memory", "8192", "--engine", "docker")
    with Server(tmp_path_factory.mktemp("containers"), *flags, variables=where) as server:
        clients = Clients(server)
        yield clients
        until(lambda: not left(clients, dockerd), JOB_SECONDS, lambda: f"the removal of {left(clients, dockerd)}")


def left(clients: Clients, dockerd: Dockerd) -> list[str]:
    """Names of the containers of this service's jobs; the daemon may have others'."""
    ours = set()
    for status in ("SUCCEEDED", "FAILED"):
        pages = clients.batch.get_paginator("list_jobs").paginate(jobQueue="default", jobStatus=status)
        ours |= {job["jobId"] for page in pages for job in page["jobSummaryList"]}
    found = dockerd.containers()
    return [one["Names"][0] for one in found if one["Labels"]["batchyard.job"].partition(":")[0] in ours]


def definition(clients: Clients, name: str, **properties: object) -> str:
    container = {"image": IMAGE, "command": ["true"], "resourceRequirements": needs(1, 64)} | properties
    made = clients.batch.register_job_definition(
        jobDefinitionName=name, type="container", containerProperties=container
    )
    return f"{made['jobDefinitionName']}:{made['revision']}"


def submit(clients: Clients, definition_id: str, script: str, **more: object) -> str:
    """A definition for each image, and all else as overrides: so do most."""
    overrides = {"command": ["sh", "-c", script], "resourceRequirements": needs(1, 64)}
    request: Document = {"jobName": "task", "jobQueue": "default", "jobDefinition": definition_id}
    return str(clients.batch.submit_job(**request, containerOverrides=overrides, **more)["jobId"])


def lines(clients: Clients, job: Document) -> list[str]:
    stream = job["container"]["logStreamName"]
    answer = clients.logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in answer["events"]]


def test_nextflow_mounts_a_directory_of_the_host_and_one_is_read_only(yard: Clients, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "given").write_text("given\n")
    volumes = [
        {"name": "vol-1", "host": {"sourcePath": f"{tmp_path}/place"}},
        {"name": "vol-2", "host": {"sourcePath": f"{tmp_path}/in"}},
    ]
    mounts = [
        {"sourceVolume": "vol-1", "containerPath": "/place", "readOnly": False},
        {"sourceVolume": "vol-2", "containerPath": "/in", "readOnly": True},
    ]
    definition_id = definition(yard, "nf-mounts", volumes=volumes, mountPoints=mounts)
    script = "cat /in/given | tee /place/made 2>/dev/null || cat /in/given > /place/made; touch /in/x || echo refused"
    job = yard.ended(submit(yard, definition_id, script))
    assert job["status"] == "SUCCEEDED", job
    assert (tmp_path / "place" / "made").read_text() == "given\n"
    assert not (tmp_path / "in" / "x").exists()
    assert "refused" in lines(yard, job), "the shell went on after touch could not"


def test_nextflow_follows_a_container_to_its_task_and_its_instance(yard: Clients) -> None:
    job = yard.ended(submit(yard, definition(yard, "nf-trace"), "exit 3"))
    task_arn = job["container"]["taskArn"]
    (task,) = yard.ecs.describe_tasks(cluster=task_arn.split("/")[1], tasks=[task_arn])["tasks"]
    assert (task["lastStatus"], task["containers"][0]["exitCode"]) == ("STOPPED", 3)
    (machine,) = yard.ecs.describe_container_instances(
        cluster=task["clusterArn"], containerInstances=[task["containerInstanceArn"]]
    )["containerInstances"]
    (reservation,) = yard.ec2.describe_instances(InstanceIds=[machine["ec2InstanceId"]])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "running"


def test_each_child_of_an_array_retries_for_itself_and_runs_once_an_attempt(yard: Clients, tmp_path: Path) -> None:
    volumes = [{"name": "ran", "host": {"sourcePath": str(tmp_path)}}]
    mounts = [{"sourceVolume": "ran", "containerPath": "/ran"}]
    definition_id = definition(yard, "retrying", volumes=volumes, mountPoints=mounts)
    script = (
        "run=$AWS_BATCH_JOB_ARRAY_INDEX.$AWS_BATCH_JOB_ATTEMPT; echo ran >> /ran/$run; echo $run; "
        "[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || [ $AWS_BATCH_JOB_ARRAY_INDEX = 0 ]"
    )
    parent = submit(yard, definition_id, script, arrayProperties={"size": 3}, retryStrategy={"attempts": 2})
    after = submit(yard, definition_id, "echo after", dependsOn=[{"jobId": parent}])
    assert yard.ended(after)["status"] == "SUCCEEDED"
    assert yard.job(parent)["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    children = [yard.job(f"{parent}:{index}") for index in range(3)]
    codes = [[attempt["container"]["exitCode"] for attempt in child["attempts"]] for child in children]
    assert codes == [[0], [1, 0], [1, 0]]
    assert [lines(yard, child) for child in children] == [["0.1"], ["1.2"], ["2.2"]]
    ran = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert ran == dict.fromkeys(("0.1", "1.1", "1.2", "2.1", "2.2"), "ran\n")


def test_metaflow_has_its_scratch_in_memory(yard: Clients) -> None:
    memory = {"sharedMemorySize": 32, "tmpfs": [{"containerPath": "/metaflow_temp", "size": 16}]}
    job = yard.ended(submit(yard, definition(yard, "mf-tmpfs", linuxParameters=memory), "df -m | grep -E 'shm|temp'"))
    found = {line.split()[-1]: line.split()[1] for line in lines(yard, job)}
    assert found == {"/dev/shm": "32", "/metaflow_temp": "16"}


def test_metaflow_reads_of_a_step_that_took_too_much_memory(yard: Clients) -> None:
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    job = yard.ended(submit(yard, definition(yard, "mf-memory"), script))
    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 137)
    assert job["container"]["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert job["stoppedAt"] > 0


def test_snakemake_stops_a_container_and_deregisters_its_definition(yard: Clients) -> None:
    definition_id = definition(yard, "snakejob-def")
    job_id = submit(yard, definition_id, "echo begun; exec sleep 600")
    job = yard.running(job_id)
    until(lambda: lines(yard, yard.job(job_id)) == ["begun"], JOB_SECONDS)  # its log, while it runs
    yard.batch.terminate_job(jobId=job_id, reason="terminated by snakemake")
    yard.batch.deregister_job_definition(jobDefinition=job["jobDefinition"])
    job = yard.ended(job_id)
    assert (job["statusReason"], job["container"]["exitCode"]) == ("terminated by snakemake", 143)


def test_a_log_of_many_lines_is_complete(yard: Clients) -> None:
    job = yard.ended(submit(yard, definition(yard, "long"), "seq 1 20000"))
    streams = [job["container"]["logStreamName"]]
    pages = yard.logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNames=streams)
    found = [event["message"] for page in pages for event in page["events"]]
    assert found == [str(number) for number in range(1, 20001)]
