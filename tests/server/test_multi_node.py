"""A real MPI over several nodes, on a real server: nothing is set up by hand (AWS Batch behaviour 8)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.debian import install_packages
from tests.engines.dockerd import IMAGE, Dockerd
from tests.server.running import Server
from tests.server.test_docker import ended, log_of, reaching, server_of
from tests.server.test_docker_networks import MOUNTS, VOLUMES
from tests.waiting import until

# Open MPI's library without a compiler: all ranks add up their numbers, and say where they are.
MPI_PROGRAM = """
import ctypes, os
mpi = ctypes.CDLL("libmpi.so.40", ctypes.RTLD_GLOBAL)
world, integer, add = (ctypes.addressof(ctypes.c_char.in_dll(mpi, f"ompi_mpi_{name}")) for name in ("comm_world", "int", "op_sum"))
mpi.MPI_Init(None, None)
rank, size, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(ctypes.c_void_p(world), ctypes.byref(rank))
mpi.MPI_Comm_size(ctypes.c_void_p(world), ctypes.byref(size))
own = ctypes.c_int(rank.value + 1)
pointers = [ctypes.c_void_p(one) for one in (integer, add, world)]
mpi.MPI_Allreduce(ctypes.byref(own), ctypes.byref(total), 1, *pointers)
print(f"rank {rank.value} of {size.value} on node {os.environ['AWS_BATCH_JOB_NODE_INDEX']}: {total.value}", flush=True)
mpi.MPI_Finalize()
"""  # noqa: E501
EXPECTED = [f"rank {rank} of 3 on node {rank}: 6" for rank in range(3)]
MPIRUN = "mpirun.openmpi"
RESOURCES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]


@pytest.fixture(scope="module")
def mpi() -> None:
    install_packages("there is no Open MPI", (MPIRUN,), ("openmpi-bin",))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("nodes")
    with Server(directory, "--vcpus", "8", "--memory", "4096", "--stop-grace-seconds", "2") as running:
        yield running


def nodes(main: list[str], other: list[str], count: int = 3, **members: Any) -> dict[str, Any]:
    """A definition; `members`: of each node's container."""
    base = {"image": IMAGE, "resourceRequirements": RESOURCES, **members}
    ranges = [
        {"targetNodes": "0", "container": base | {"command": main}},
        {"targetNodes": "1:", "container": base | {"command": other}},
    ]
    return {"type": "multinode", "nodeProperties": {"numNodes": count, "mainNode": 0, "nodeRangeProperties": ranges}}


def submit(server: Server, name: str, definition: dict[str, Any], **members: Any) -> str:
    server.call("RegisterJobDefinition", {"jobDefinitionName": name, **definition})
    request = {"jobName": name, "jobQueue": "default", "jobDefinition": name, **members}
    job: str = server.call("SubmitJob", request)["jobId"]
    return job


def ranks_in(lines: list[str]) -> list[str]:
    """What the ranks printed, without what mpirun has to say."""
    return sorted(line for line in lines if line.startswith("rank "))


def node_of(server: Server, job: str, node: int) -> dict[str, Any]:
    (found,) = server.call("DescribeJobs", {"jobs": [f"{job}#{node}"]})["jobs"]
    return dict(found)


@pytest.mark.usefixtures("mpi")
def test_mpirun_reaches_all_nodes_of_a_job_of_processes(server: Server) -> None:
    command = [MPIRUN, "-np", "3", sys.executable, "-c", MPI_PROGRAM]
    job = submit(server, "mpi", nodes(command, ["sleep", "1000"]))
    assert ended(server, job)["status"] == "SUCCEEDED", log_of(server, node_of(server, job, 0))
    assert ranks_in(log_of(server, node_of(server, job, 0))) == EXPECTED
    assert [node_of(server, job, node)["status"] for node in range(3)] == ["SUCCEEDED", "FAILED", "FAILED"]


@pytest.mark.usefixtures("mpi")
def test_the_daemons_of_mpirun_on_one_host_share_no_directory(server: Server) -> None:
    """They would make it at the same moment, and the second would give up: now and then no mpirun would start."""
    command = [MPIRUN, "-np", "3", "sh", "-c", "echo rank $OMPI_COMM_WORLD_RANK $OMPI_FILE_LOCATION"]
    job = submit(server, "mpi", nodes(command, ["sleep", "1000"]))
    assert ended(server, job)["status"] == "SUCCEEDED", log_of(server, node_of(server, job, 0))
    places = [line.split()[2].split("/ompi.")[0] for line in ranks_in(log_of(server, node_of(server, job, 0)))]
    assert [Path(place).name for place in places[1:]] == ["1.openmpi", "2.openmpi"]
    assert places[0] not in places[1:]
    until(lambda: not Path(places[1]).exists())


@pytest.mark.usefixtures("mpi")
def test_mpirun_reaches_all_nodes_of_a_job_of_containers(tmp_path: Path, dockerd: Dockerd) -> None:
    extra = [path for path in ("/etc/alternatives", "/etc/openmpi") if Path(path).exists()]
    volumes = [*VOLUMES, *({"name": f"e{n}", "host": {"sourcePath": path}} for n, path in enumerate(extra))]
    mounts = [
        *MOUNTS,
        *({"sourceVolume": f"e{n}", "containerPath": path, "readOnly": True} for n, path in enumerate(extra)),
    ]
    command = [MPIRUN, "-np", "3", sys.executable, "-c", MPI_PROGRAM]
    path = [{"name": "PATH", "value": "/usr/bin:/bin"}]
    definition = nodes(command, ["sleep", "1000"], volumes=volumes, mountPoints=mounts, environment=path)
    with server_of(tmp_path, reaching(dockerd), "docker", "--vcpus", "8", "--stop-grace-seconds", "2") as server:
        job = submit(server, "mpi", definition)
        detail = ended(server, job)
        assert detail["status"] == "SUCCEEDED", detail["attempts"]
        assert ranks_in(log_of(server, node_of(server, job, 0))) == EXPECTED


# As the seed has it, but for the addresses, which its workers would have to report to the main node on AWS.
RUN_MASTER = """#!/bin/sh
set -e
NUM_NODES=$AWS_BATCH_JOB_NUM_NODES
MAIN_HOST=$AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS
echo "main host: [$MAIN_HOST]"
python3 ./gen_hostfile.py > hostfile
mpirun.openmpi -np $((NUM_NODES * 2)) --hostfile hostfile --map-by socket sh -c 'echo rank $OMPI_COMM_WORLD_RANK'
"""
GEN_HOSTFILE = """
import os
for address in os.environ["BATCHYARD_NODE_ADDRESSES"].split(","):
    print(f"{address} slots=2")
"""


@pytest.mark.usefixtures("mpi")
def test_the_seeds_script_works_as_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "run_master.sh").write_text(RUN_MASTER)
    (tmp_path / "gen_hostfile.py").write_text(GEN_HOSTFILE)
    main = ["sh", "-c", f"cd {tmp_path} && exec sh ./run_master.sh"]
    job = submit(server, "seed", nodes(main, ["sleep", "1000"], count=2))
    assert ended(server, job)["status"] == "SUCCEEDED", log_of(server, node_of(server, job, 0))
    lines = log_of(server, node_of(server, job, 0))
    assert lines[0] == "main host: []", "as on AWS, the main node is not given its own address"
    assert ranks_in(lines) == [f"rank {rank}" for rank in range(4)]


@pytest.mark.usefixtures("mpi")
def test_a_node_that_dies_ends_mpirun(server: Server) -> None:
    other = [
        "sh",
        "-c",
        "[ $AWS_BATCH_JOB_NODE_INDEX = 1 ] || exec sleep 1000; until [ -e go ]; do sleep 0.1; done; exit 7",
    ]
    main = ["sh", "-c", f"exec {MPIRUN} -np 3 sh -c 'touch go; exec sleep 1000'"]
    job = submit(server, "dies", nodes(main, other))
    detail = ended(server, job)
    assert detail["status"] == "FAILED"
    assert node_of(server, job, 1)["container"]["exitCode"] == 7
    assert detail["container"]["exitCode"] == node_of(server, job, 0)["container"]["exitCode"] != 0
    assert detail["attempts"][0]["container"]["logStreamName"] == detail["container"]["logStreamName"]


def test_a_node_finds_its_own_address_where_programs_look_for_it(server: Server) -> None:
    script = "import json, os, urllib.request as r; "
    script += "print(json.load(r.urlopen(os.environ['ECS_CONTAINER_METADATA_URI_V4']))['Networks'][0]['IPv4Addresses'])"
    main = ["sh", "-c", "until [ -e go ]; do sleep 0.1; done"]
    other = ["sh", "-c", f'{sys.executable} -c "{script}"; touch go; exec sleep 1000']
    job = submit(server, "address", nodes(main, other, count=2))
    assert ended(server, job)["status"] == "SUCCEEDED"
    address = node_of(server, job, 1)["container"]["networkInterfaces"][0]["privateIpv4Address"]
    assert log_of(server, node_of(server, job, 1)) == [f"['{address}']"]


def test_nodes_are_listed_and_described(server: Server) -> None:
    job = submit(server, "listed", nodes(["sh", "-c", "until [ -e go ]; do sleep 0.1; done"], ["touch", "go"]))
    detail = ended(server, job)
    assert (detail["status"], detail["nodeProperties"]["numNodes"]) == ("SUCCEEDED", 3)
    summary = server.call("ListJobs", {"multiNodeJobId": job, "jobStatus": "SUCCEEDED"})["jobSummaryList"]
    assert summary[0]["nodeProperties"] == {"isMainNode": True, "nodeIndex": 0, "numNodes": 3}
    own = node_of(server, job, 2)
    assert own["nodeDetails"] == {"isMainNode": False, "nodeIndex": 2}
    assert own["container"]["networkInterfaces"][0]["privateIpv4Address"].startswith("127.")
    streams = {node_of(server, job, node)["container"].get("logStreamName") for node in range(3)}
    assert len(streams) == 3


def test_an_instance_that_is_interrupted_ends_the_attempt_as_its_host(server: Server) -> None:
    resources = {"type": "EC2", "minvCpus": 0, "maxvCpus": 8, "instanceTypes": ["c5.large"]}
    resources |= {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    resources["instanceRole"] = "arn:aws:iam::123456789012:instance-profile/ecs"
    environment = {"computeEnvironmentName": "fleet", "type": "MANAGED", "computeResources": resources}
    server.call("CreateComputeEnvironment", environment)
    order = [{"order": 1, "computeEnvironment": "fleet"}]
    server.call("CreateJobQueue", {"jobQueueName": "fleet", "priority": 1, "computeEnvironmentOrder": order})
    server.call("RegisterJobDefinition", {"jobDefinitionName": "cut", **nodes(["sleep", "1000"], ["sleep", "1000"], 2)})
    request = {"jobName": "cut", "jobQueue": "fleet", "jobDefinition": "cut"}
    job = server.call("SubmitJob", request)["jobId"]
    from tests.waiting import until

    until(lambda: node_of(server, job, 1)["status"] == "RUNNING", 60)
    instances = server.call("ListInstances", prefix="/yard/v1/")["instances"]
    (managed,) = [one for one in instances if one["computeEnvironment"] == "fleet"][:1]
    server.call("InterruptInstance", {"instanceId": managed["instanceId"], "noticeSeconds": 1}, "/yard/v1/")
    detail = ended(server, job)
    assert detail["statusReason"] == f"Host EC2 (instance {managed['instanceId']}) terminated."


def test_ecs_names_the_task_of_a_main_node_as_describe_jobs_does(server: Server) -> None:
    definition = nodes(["touch", "go"], ["sh", "-c", "until [ -e go ]; do sleep 0.1; done"], count=2)
    definition["nodeProperties"]["mainNode"] = 1
    job = submit(server, "ecs", definition)
    assert ended(server, job)["status"] == "SUCCEEDED"
    (attempt,) = server.call("DescribeJobs", {"jobs": [job]})["jobs"][0]["attempts"]
    arn = attempt["container"]["taskArn"]
    assert arn == node_of(server, job, 1)["container"]["taskArn"] != node_of(server, job, 0)["container"]["taskArn"]
    ecs = boto3.Session("any", "any", region_name="us-east-1").client("ecs", endpoint_url=server.address)
    at = {"cluster": arn.split("/")[1], "desiredStatus": "STOPPED"}
    assert arn in ecs.list_tasks(**at)["taskArns"]
    assert ecs.list_tasks(**at, startedBy=job)["taskArns"] == [arn]
    found = ecs.list_tasks(**at, startedBy=f"{job}#0")["taskArns"]
    assert found == [node_of(server, job, 0)["container"]["taskArn"]]
    described = ecs.describe_tasks(cluster=at["cluster"], tasks=found)["tasks"]
    assert [one["taskArn"] for one in described] == found
