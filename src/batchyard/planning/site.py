"""Where the jobs of a simulation run: compute environments, queues and scheduling policies, in the shapes of AWS's
requests, and the machine of UNMANAGED environments."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchyard.core.capacity.catalogue import Catalogue
from batchyard.core.model.refusal import Refused
from batchyard.planning.workload import Workload

Document = dict[str, Any]
MEMBERS = ("computeEnvironments", "jobQueues", "schedulingPolicies", "host")
FIFO, FAIR = "fifo", "fair"
DEFAULT_FAIR = {"shareDecaySeconds": 3600, "computeReservation": 0}
HOSTS = re.compile(r"\+?(\d+)x([a-z0-9-]+\.[a-z0-9-]+)")
MAX_ADDED = 10_000  # instances of one --hosts
DEFAULT_HOST_VCPUS, MIB_PER_VCPU = 16, 4096  # of a trace that names no machine


class SiteError(Exception):
    """An environment, policy or host that cannot be simulated: a sentence for the user."""


class Host(Struct, frozen=True):
    """The machine that UNMANAGED environments run on."""

    milli_vcpus: int
    memory_mib: int
    gpus: int = 0


class Site(Struct, frozen=True):
    """`environments`: requests of CreateComputeEnvironment. `queues`: requests of CreateJobQueue, schedulingPolicyArn
    by name or ARN; empty: every queue of the workload has all environments, in their order. `policies`:
    fairsharePolicy by name."""

    environments: tuple[Document, ...]
    queues: tuple[Document, ...] = ()
    policies: Mapping[str, Document] = {}
    host: Host = Host(DEFAULT_HOST_VCPUS * 1000, DEFAULT_HOST_VCPUS * MIB_PER_VCPU)


def read_site(text: str, name: str) -> Site:
    """Reads a file of environments: TOML, or the JSON of create-compute-environment: one, a list of them, or an object
    with computeEnvironments, jobQueues, schedulingPolicies and host (vcpus, memory, gpus)."""
    try:
        found = tomllib.loads(text) if name.endswith(".toml") else json.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise SiteError(f"{name} cannot be read: {error}.") from None
    if isinstance(found, list):
        found = {"computeEnvironments": found}
    elif isinstance(found, dict) and "computeEnvironmentName" in found:
        found = {"computeEnvironments": [found]}
    if not isinstance(found, dict) or not set(found) <= set(MEMBERS) or not found.get("computeEnvironments"):
        raise SiteError(
            f"{name} must be what create-compute-environment takes, a list of that, or an object with "
            f"{', '.join(MEMBERS)}, of which the first is needed."
        )
    host = found.get("host", {})
    return Site(
        tuple(_named(found, "computeEnvironments", "computeEnvironmentName", name)),
        tuple(_named(found, "jobQueues", "jobQueueName", name)),
        {one["name"]: one.get("fairsharePolicy", {}) for one in _named(found, "schedulingPolicies", "name", name)},
        host_of(host) if host else Site(()).host,
    )


def _named(found: Document, member: str, name: str, where: str) -> list[Document]:
    documents = found.get(member, [])
    if not isinstance(documents, list) or not all(isinstance(one, dict) and one.get(name) for one in documents):
        raise SiteError(f"{where}: {member} must be a list of objects, each with a {name}.")
    return documents


def host_of(document: Document) -> Host:
    return Host(round(float(document["vcpus"]) * 1000), int(document["memory"]), int(document.get("gpus", 0)))


def site_of_trace(workload: Workload) -> Site:
    """Returns one machine as large as the trace's own."""
    vcpus = workload.vcpus or DEFAULT_HOST_VCPUS
    most = max((job.milli_vcpus for job in workload.jobs), default=0)
    memory = max(workload.memory_mib or vcpus * MIB_PER_VCPU, max((job.memory_mib for job in workload.jobs), default=0))
    gpus = max((job.gpus for job in workload.jobs), default=0)
    host = Host(max(vcpus * 1000, most), memory, gpus)
    return Site(({"computeEnvironmentName": "machine", "type": "UNMANAGED"},), host=host)


def with_policy(site: Site, policy: str, documents: Mapping[str, Document]) -> Site:
    """Returns the site with another policy for all queues. `policy`: fifo, fair, or a name in `documents`."""
    if policy == FIFO:
        queues = tuple({k: v for k, v in one.items() if k != "schedulingPolicyArn"} for one in site.queues)
        return replace(site, queues=queues, policies={})
    document = DEFAULT_FAIR if policy == FAIR else documents.get(policy)
    if document is None:
        raise SiteError(f"There is no policy {policy}: fifo, fair, or a file with a fairsharePolicy.")
    queues = tuple(one | {"schedulingPolicyArn": policy} for one in site.queues)
    return replace(site, queues=queues, policies={policy: document})


def with_queues(site: Site, names: Sequence[str]) -> Site:
    """Returns the site with a queue for each name that has none."""
    order = [
        {"order": number, "computeEnvironment": one["computeEnvironmentName"]}
        for number, one in enumerate(site.environments, 1)
    ]
    known = {one["jobQueueName"] for one in site.queues}
    more = [
        {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order} for name in names if name not in known
    ]
    return replace(site, queues=(*site.queues, *more))


def with_hosts(site: Site, text: str, catalogue: Catalogue) -> Site:
    """Returns the site with more instances that are always there, tried before what each queue has: they cost the same
    whether they are used or not. `text`: such as +2xc5.4xlarge."""
    found = HOSTS.fullmatch(text)
    if found is None or not 0 < int(found[1]) <= MAX_ADDED:
        raise SiteError(f"--hosts must be such as +2xc5.4xlarge, at most {MAX_ADDED:,} of them; not {text!r}.")
    count, type_name = int(found[1]), found[2]
    try:
        kind = catalogue.types[type_name]
    except KeyError:
        raise SiteError(f"{type_name} is no instance type.") from None
    vcpus = count * kind.milli_vcpus // 1000
    name = f"added-{count}x{type_name.replace('.', '-')}"
    environment = {
        "computeEnvironmentName": name,
        "type": "MANAGED",
        "computeResources": {
            "type": "EC2",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "minvCpus": vcpus,
            "desiredvCpus": vcpus,
            "maxvCpus": vcpus,
            "instanceTypes": [type_name],
        },
    }
    queues = []
    for one in site.queues:
        later = [entry | {"order": entry["order"] + 1} for entry in one["computeEnvironmentOrder"]]
        queues.append(one | {"computeEnvironmentOrder": [{"order": 0, "computeEnvironment": name}, *later]})
    return replace(site, environments=(*site.environments, environment), queues=tuple(queues))


def refused(where: str, error: Refused) -> SiteError:
    """Returns what the core refused about a part of the site."""
    return SiteError(f"{where}: {error}")
