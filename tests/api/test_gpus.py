"""GPUs as clients see them: by UUID in ECS, by model in EC2 and in our own operations."""

from dataclasses import replace

import pytest

from batchyard.api import operations
from batchyard.core.model.commands import SetHost
from batchyard.core.model.gpus import NVIDIA, Gpu
from batchyard.core.model.records import Abilities, Instance
from batchyard.core.model.resources import Resources
from tests.api.service import ENGINE, Service, container

HOST = "i-0123456789abcdef0"
PAIR = (Gpu(0, 0, NVIDIA, "GPU-a", "NVIDIA H100", 81559), Gpu(1, 1, NVIDIA, "GPU-b", "NVIDIA T4", 15360))


@pytest.fixture
def yard(service: Service) -> Service:
    service.context = replace(service.context, gpus=PAIR)
    service.handlers = operations.bind(service.context)
    return service


def start_with_gpus(yard: Service, count: int) -> str:
    requirements = [*container()["resourceRequirements"], {"type": "GPU", "value": str(count)}]
    job_id = yard.submit(containerOverrides={"resourceRequirements": requirements})
    yard.start(job_id)
    return job_id


def test_ecs_names_them_by_uuid(yard: Service) -> None:
    ecs, job_id = yard.client("ecs"), start_with_gpus(yard, 1)
    detail = yard.detail(job_id)["container"]
    cluster = detail["containerInstanceArn"].split("/")[1]
    asked = {"cluster": cluster, "containerInstances": [detail["containerInstanceArn"]]}
    (found,) = ecs.describe_container_instances(**asked)["containerInstances"]
    registered = {one["name"]: one.get("stringSetValue") for one in found["registeredResources"]}
    remaining = {one["name"]: one.get("stringSetValue") for one in found["remainingResources"]}
    assert (registered["GPU"], remaining["GPU"]) == (["GPU-a", "GPU-b"], ["GPU-b"])
    (task,) = ecs.describe_tasks(cluster=cluster, tasks=[detail["taskArn"]])["tasks"]
    assert task["containers"][0]["gpuIds"] == ["GPU-a"]


def test_each_container_has_its_part(yard: Service) -> None:
    host = Instance(HOST, Resources(4000, 4096, 2), (0, 1))
    yard.do(SetHost(host, {ENGINE: Abilities(multiple_containers=True)}))
    needs = container()["resourceRequirements"]
    gpu = {"type": "GPU", "value": "1"}
    containers = [
        {"name": name, "image": "any", "command": ["true"], "resourceRequirements": [*needs, *more]}
        for name, more in (("one", [gpu]), ("none", []), ("two", [gpu]))
    ]
    yard.batch.register_job_definition(
        jobDefinitionName="three",
        type="container",
        ecsProperties={"taskProperties": [{"containers": containers}]},
    )
    job_id = yard.submit(jobDefinition="three")
    yard.start(job_id)
    properties = yard.detail(job_id)["ecsProperties"]["taskProperties"][0]
    cluster = properties["taskArn"].split("/")[1]
    (task,) = yard.client("ecs").describe_tasks(cluster=cluster, tasks=[properties["taskArn"]])["tasks"]
    assert {one["name"]: one.get("gpuIds") for one in task["containers"]} == {
        "one": ["GPU-a"],
        "none": None,
        "two": ["GPU-b"],
    }


def test_the_type_local_has_their_models(yard: Service) -> None:
    (kind,) = yard.client("ec2").describe_instance_types(InstanceTypes=["local"])["InstanceTypes"]
    assert kind["GpuInfo"] == {
        "Gpus": [
            {"Name": "NVIDIA H100", "Manufacturer": "NVIDIA", "Count": 1, "MemoryInfo": {"SizeInMiB": 81559}},
            {"Name": "NVIDIA T4", "Manufacturer": "NVIDIA", "Count": 1, "MemoryInfo": {"SizeInMiB": 15360}},
        ],
        "TotalGpuMemoryInMiB": 96919,
    }


def test_our_own_overview_has_all_of_it(yard: Service) -> None:
    (host,) = yard.call("ListInstances", {})["instances"]
    assert host["gpuIds"] == [0, 1]
    assert host["gpus"] == [
        {"deviceId": 0, "vendor": "NVIDIA", "uuid": "GPU-a", "model": "NVIDIA H100", "memory": 81559},
        {"deviceId": 1, "vendor": "NVIDIA", "uuid": "GPU-b", "model": "NVIDIA T4", "memory": 15360},
    ]
