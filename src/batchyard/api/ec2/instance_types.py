"""DescribeInstanceTypes of EC2, from the catalogue: what it does not know (network, disks, cores) is left out (EC2 API
reference)."""

from __future__ import annotations

from batchyard.api.checks import quoted
from batchyard.api.context import Call, Context
from batchyard.api.ec2.queries import Values, check_alone, select
from batchyard.api.ecs.capacity import HOST_TYPE, ask_inventory
from batchyard.core.capacity.catalogue import InstanceType
from batchyard.core.model.gpus import Gpu, gpus_named
from batchyard.core.model.refusal import Refused
from batchyard.core.model.resources import MILLI_PER_VCPU
from batchyard.wire.messages import Document

MAX_PAGE = 100  # EC2 API reference: DescribeInstanceTypes, MaxResults
MARKETS = ["on-demand", "spot"]
BURSTABLE = ("t1", "t2", "t3", "t3a", "t4g", "t8i")  # EC2's burstable performance families

FILTERS: dict[str, Values] = {
    "bare-metal": lambda kind: ["true" if kind["BareMetal"] else "false"],
    "burstable-performance-supported": lambda kind: ["true" if kind["BurstablePerformanceSupported"] else "false"],
    "instance-type": lambda kind: [kind["InstanceType"]],
    "memory-info.size-in-mib": lambda kind: [str(kind["MemoryInfo"]["SizeInMiB"])],
    "processor-info.supported-architecture": lambda kind: kind["ProcessorInfo"]["SupportedArchitectures"],
    "supported-usage-class": lambda kind: kind["SupportedUsageClasses"],
    "vcpu-info.default-vcpus": lambda kind: [str(kind["VCpuInfo"]["DefaultVCpus"])],
}


async def describe_instance_types(context: Context, call: Call, request: Document) -> Document:
    """InstanceTypes, Filters, pages. This machine's own type, `local`, is there for those who ask for it by name."""
    asked = request.get("InstanceTypes", [])
    check_alone(request, ["InstanceTypes"])
    kinds = dict(context.catalogue.types)
    gpus: Document = {}
    if HOST_TYPE in asked:
        kinds[HOST_TYPE], gpus = await _host_type(context)
    unknown = [quoted(name) for name in asked if name not in kinds]
    if unknown:
        raise Refused(
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]", "InvalidInstanceType"
        )
    documents = {name: _document(kinds[name]) for name in asked or kinds}
    if gpus:
        documents[HOST_TYPE]["GpuInfo"] = gpus
    found, token = select(request, documents, FILTERS, MAX_PAGE)
    return {"InstanceTypes": found} | token


async def _host_type(context: Context) -> tuple[InstanceType, Document]:
    """Returns this machine's type, and GpuInfo of its GPUs."""
    inventory = await ask_inventory(context)
    host = next(stock.instance for stock in inventory.instances if not stock.instance.environment)
    vcpus, memory_mib, gpus = host.resources.milli_vcpus, host.resources.memory_mib, host.resources.gpus
    kind = InstanceType(HOST_TYPE, vcpus, memory_mib, gpus, architecture=context.architecture)
    return kind, _gpus_of(gpus_named(context.gpus, host.gpu_ids))


def _gpus_of(gpus: tuple[Gpu, ...]) -> Document:
    """Returns GpuInfo of GPUs that were found, an entry for each model; empty where no model is known."""
    counts: dict[tuple[str, str, int], int] = {}
    for gpu in gpus:
        if gpu.model:
            key = gpu.model, gpu.vendor, gpu.memory_mib
            counts[key] = counts.get(key, 0) + 1
    entries = [
        {"Name": model, "Manufacturer": vendor, "Count": count, "MemoryInfo": {"SizeInMiB": memory_mib}}
        for (model, vendor, memory_mib), count in counts.items()
    ]
    return {"Gpus": entries, "TotalGpuMemoryInMiB": sum(gpu.memory_mib for gpu in gpus)} if entries else {}


def _document(kind: InstanceType) -> Document:
    document: Document = {
        "InstanceType": kind.name,
        "SupportedUsageClasses": MARKETS,
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": kind.is_metal,
        "BurstablePerformanceSupported": kind.family in BURSTABLE,
        "ProcessorInfo": {"SupportedArchitectures": [kind.architecture]},
        "VCpuInfo": {"DefaultVCpus": kind.milli_vcpus // MILLI_PER_VCPU},
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
    }
    if kind.gpus:
        gpu = {"Name": kind.gpu_name, "Manufacturer": kind.gpu_manufacturer, "Count": kind.gpus}
        document["GpuInfo"] = {"Gpus": [{name: value for name, value in gpu.items() if value}]}
    return document
