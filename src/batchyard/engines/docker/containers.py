"""Containers in Docker's terms: names, labels, the request that creates one, the answer that describes one.

Everything here is a function of values (AWS Batch behaviour 6.4-6.7, 6.10).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from msgspec import Struct

from batchyard.core.model.gpus import AMD, Gpu, gpus_named
from batchyard.core.model.records import ContainerSpec, Mount, TaskSpec
from batchyard.core.tasks.device_shares import devices_of
from batchyard.core.tasks.task_spec import log_driver
from batchyard.engines.base import ATTEMPT_VARIABLE, Launch
from batchyard.engines.docker.gpus import NO_DEVICES, GpuAccess, device_requests

PREFIX = "batchyard-"
STORE, ATTEMPT, JOB, CONTAINER, EPOCH = (
    f"batchyard.{name}" for name in ("store", "attempt", "job", "container", "epoch")
)

MIB = 1024 * 1024
# Docker starts nothing with less (its minimum is 6 MiB since 20.10), while AWS accepts 4.
MIN_MEMORY_MIB = 6
CPU_SHARES_PER_VCPU = 1024  # a weight, not a cap, as on AWS's EC2 environments (AWS Batch behaviour 6.5)
MIN_CPU_SHARES = 2  # the kernel's own minimum
CPU_PERIOD_MICROSECONDS = 100_000  # Docker's own
MIN_DOCKER_LOG_BYTES = 16 * MIB
MAX_SIGNAL = 64
BRIDGE = "bridge"  # Docker's own network
_PERMISSIONS = {"READ": "r", "WRITE": "w", "MKNOD": "m"}
_NANOSECONDS = re.compile(r"(\d\.\d{6})\d+")


class Placing(Struct, frozen=True):
    """The engine's own part of each container's request."""

    store: str
    epoch: int
    log_limit_bytes: int
    limits_storage: bool = False  # the storage driver may support a limit
    gpu_access: GpuAccess = GpuAccess(has_runtime=True)


class State(Enum):
    ABSENT = "absent"
    CREATED = "created"  # never started
    RUNNING = "running"  # or paused
    EXITED = "exited"


class Seen(Struct, frozen=True):
    """One container as Docker showed it. Times are milliseconds; 0: not yet. `error`: why a start failed; `has_no_end`:
    it has ended, and Docker does not know when."""

    name: str
    state: State = State.ABSENT
    id: str = ""
    exit_code: int = 0
    out_of_memory: bool = False
    started_at_ms: int = 0
    finished_at_ms: int = 0
    has_no_end: bool = False
    error: str = ""
    pid: int = 0

    @property
    def has_started(self) -> bool:
        return self.state in (State.RUNNING, State.EXITED)

    @property
    def signal(self) -> int:
        """The signal it died of; 0: none. Docker shows signal n as exit code 128+n, like a shell."""
        number = self.exit_code - 128
        return number if 0 < number <= MAX_SIGNAL else 0


def container_name(task: TaskSpec, task_id: str, name: str) -> str:
    """Returns Docker's name of a container: the same for every launch of the attempt, so that a second can't be
    made."""
    return f"{PREFIX}{task_id}-{name}" if task.containers else PREFIX + task_id


def volume_name(task_id: str, volume: str) -> str:
    return f"{PREFIX}{task_id}-{volume}"


def labels_of(launch: Launch, container: str, placing: Placing) -> dict[str, str]:
    return {
        STORE: placing.store,
        ATTEMPT: launch.task_id,
        JOB: launch.job_id,
        CONTAINER: container,
        EPOCH: str(placing.epoch),
    }


def seen_of(name: str, found: Mapping[str, Any]) -> Seen:
    """Reads one container. `found`: the answer of GET /containers/ID/json."""
    state = found["State"]
    started_at_ms = milliseconds(state.get("StartedAt", ""))
    status = str(state.get("Status", ""))
    if state.get("Running") or status in ("running", "paused", "restarting", "stopping"):
        known = State.RUNNING
    elif started_at_ms:
        known = State.EXITED
    else:
        known = State.CREATED
    code = int(state.get("ExitCode", 0))
    return Seen(
        name=name,
        state=known,
        id=str(found.get("Id", "")),
        exit_code=code,
        # Docker also sets it when only a child process was killed, and the container went on.
        out_of_memory=bool(state.get("OOMKilled")) and code != 0,
        started_at_ms=started_at_ms,
        # Docker looks at the clock for the end of a short one before it does for its start.
        finished_at_ms=max(milliseconds(state.get("FinishedAt", "")), started_at_ms) if known is State.EXITED else 0,
        has_no_end=known is State.EXITED and not milliseconds(state.get("FinishedAt", "")),
        error=str(state.get("Error", "")),
        pid=int(state.get("Pid", 0)),
    )


def milliseconds(text: str) -> int:
    """Converts an RFC 3339 time with nanoseconds. Returns 0 for Go's zero time (year 1) and for an empty text."""
    if not text or text.startswith("0001-"):
        return 0
    moment = datetime.fromisoformat(_NANOSECONDS.sub(r"\1", text))
    return int(moment.timestamp() * 1000)


# -- Requests --


def create_request(launch: Launch, spec: ContainerSpec, placing: Placing) -> dict[str, Any]:
    """The body of POST /containers/create."""
    task = launch.task
    body: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in environment_of(launch, spec, placing.gpu_access).items()],
        "Labels": labels_of(launch, spec.name, placing),
        "HostConfig": _host_config(launch, spec, placing),
    }
    entrypoint, command = spec.command[: spec.entrypoint_words], spec.command[spec.entrypoint_words :]
    if entrypoint:
        body["Entrypoint"] = list(entrypoint)
    if command:
        body["Cmd"] = list(command)
    if spec.user:
        body["User"] = spec.user
    if task.working_directory:
        body["WorkingDir"] = task.working_directory
    return body


def environment_of(launch: Launch, spec: ContainerSpec, access: GpuAccess) -> dict[str, str]:
    """Returns the variables that Docker merges over the image's: the task's, its secrets, the attempt's, the
    container's, then its devices."""
    variables = dict(spec.environment)
    variables.update({name: value for container, name, value in launch.secrets if container == spec.name})
    variables.update(launch.environment)
    variables.update({name: value for container, name, value in launch.container_environment if container == spec.name})
    gpus = gpus_of(launch, spec)
    if gpus and launch.gpu_vendor != AMD:
        variables["NVIDIA_VISIBLE_DEVICES"] = ",".join(gpu.name for gpu in gpus)
    elif access.is_default_runtime:
        variables["NVIDIA_VISIBLE_DEVICES"] = NO_DEVICES
    variables[ATTEMPT_VARIABLE] = launch.task_id
    return variables


def gpus_of(launch: Launch, spec: ContainerSpec) -> tuple[Gpu, ...]:
    """Returns the container's part of the attempt's GPUs."""
    return gpus_named(launch.gpus, devices_of(launch.task, spec.name, launch.device_ids))


def _host_config(launch: Launch, spec: ContainerSpec, placing: Placing) -> dict[str, Any]:
    document = spec.document
    linux: dict[str, Any] = document.get("linuxParameters", {})
    config: dict[str, Any] = {
        "NetworkMode": network_of(launch, spec),
        "Init": bool(linux.get("initProcessEnabled", True)),
        "CpuShares": max(MIN_CPU_SHARES, spec.resources.milli_vcpus * CPU_SHARES_PER_VCPU // 1000),
        "RestartPolicy": {"Name": "no"},
        "LogConfig": log_config(launch, spec, placing),
    }
    # It is the task's limit; each container gets all of it, since containers share no file system.
    storage = launch.task.container.get("ephemeralStorage")
    if storage and placing.limits_storage:
        config["StorageOpt"] = {"size": f"{storage['sizeInGiB']}G"}
    config.update(_memory(spec, linux))
    if document.get("cpuLimit"):  # by its quota: Docker refuses more NanoCpus than the machine has
        config["CpuPeriod"] = CPU_PERIOD_MICROSECONDS
        config["CpuQuota"] = int(Decimal(document["cpuLimit"]) * CPU_PERIOD_MICROSECONDS)
    config.update(_mounts(launch, spec, placing))
    config.update(_namespaces(launch, spec))
    if document.get("privileged"):
        config["Privileged"] = True
    if document.get("readonlyRootFilesystem"):
        config["ReadonlyRootfs"] = True
    capabilities = linux.get("capabilities", {})
    for member, ours in (("add", "CapAdd"), ("drop", "CapDrop")):
        if capabilities.get(member):
            config[ours] = list(capabilities[member])
    if document.get("dockerSecurityOptions"):
        config["SecurityOpt"] = list(document["dockerSecurityOptions"])
    if spec.ulimits:
        config["Ulimits"] = [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in spec.ulimits]
    if linux.get("tmpfs"):
        config["Tmpfs"] = {entry["containerPath"]: _tmpfs_options(entry) for entry in linux["tmpfs"]}
    if linux.get("devices"):
        config["Devices"] = [_device(device) for device in linux["devices"]]
    if gpus := gpus_of(launch, spec):
        config["DeviceRequests"] = device_requests(placing.gpu_access, gpus, spec.name)
    return config


def anchor_of(containers: Sequence[ContainerSpec]) -> str:
    """Returns the container whose namespaces the others join (pidMode and ipcMode `task`): the pause container of a
    pod. Else it must run when they start: it has no dependencies, and is essential if possible, so that its end is the
    task's."""
    pause = next((spec.name for spec in containers if spec.is_pause), "")
    if pause:
        return pause
    free = [spec for spec in containers if not spec.depends_on]
    return next((spec.name for spec in free if spec.essential), free[0].name if free else containers[0].name)


def agent_place(containers: Sequence[ContainerSpec]) -> str:
    """Returns the container in which the agent of a node runs, and so what other nodes start there: the first main
    container of a pod, since a pause container has neither its mounts nor its limits; else the anchor."""
    return containers[0].name if any(spec.is_pause for spec in containers) else anchor_of(containers)


def log_config(launch: Launch, spec: ContainerSpec, placing: Placing) -> dict[str, Any]:
    """Returns Docker's LogConfig. A driver of the job definition gets its options, those from secrets included. Docker
    keeps a copy of what it sends away, so that the log is read as with its own driver."""
    driver = log_driver(spec.document)
    if not driver:
        return {"Type": "json-file", "Config": {"max-size": str(docker_log_bytes(placing)), "max-file": "2"}}
    options = dict(spec.document["logConfiguration"].get("options") or {})
    options.update({option: value for container, option, value in launch.log_options if container == spec.name})
    return {"Type": driver, "Config": options}


def network_of(launch: Launch, spec: ContainerSpec) -> str:
    """Returns Docker's NetworkMode. With `awsvpc` the containers of a task share the network of its pause container,
    or of its first essential container without dependencies. Where there is none, each has one of its own, as with
    `bridge`."""
    task = launch.task
    if task.network == "awsvpc":
        lasting = [one.name for one in task.containers if one.is_pause]
        lasting += [one.name for one in task.containers if one.essential and not one.depends_on]
        anchor = lasting[0] if lasting else spec.name
        if spec.name != anchor:
            return f"container:{container_name(task, launch.task_id, anchor)}"
    return BRIDGE if task.network == "awsvpc" else task.network or "host"


def _namespaces(launch: Launch, spec: ContainerSpec) -> dict[str, str]:
    """Returns PidMode and IpcMode (API: EcsTaskProperties)."""
    task = launch.task
    if not task.containers:
        return {}
    anchor = anchor_of(task.containers)
    joined = f"container:{container_name(task, launch.task_id, anchor)}"
    config: dict[str, str] = {}
    if (pid_mode := task.container.get("pidMode")) == "host":
        config["PidMode"] = "host"
    elif pid_mode == "task" and spec.name != anchor:
        config["PidMode"] = joined
    if (ipc_mode := task.container.get("ipcMode")) in ("host", "none"):
        config["IpcMode"] = ipc_mode
    elif ipc_mode == "task":
        config["IpcMode"] = joined if spec.name != anchor else "shareable"
    return config


def docker_log_bytes(placing: Placing) -> int:
    """Returns the size limit of each of Docker's two log files, whose lines are longer than ours: a flood does not fill
    the disk and is still read in time. The files are removed with the container."""
    return max(MIN_DOCKER_LOG_BYTES, 2 * placing.log_limit_bytes)


def _memory(spec: ContainerSpec, linux: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the hard limit, swap and shared memory (AWS Batch behaviour 6.5, 6.6)."""
    limit_mib = spec.resources.memory_mib
    config: dict[str, Any] = {}
    if limit_mib:
        limit_mib = max(limit_mib, MIN_MEMORY_MIB)
        config["Memory"] = limit_mib * MIB
        if "maxSwap" in linux:
            config["MemorySwap"] = (limit_mib + linux["maxSwap"]) * MIB
            if "swappiness" in linux and linux["maxSwap"]:
                config["MemorySwappiness"] = linux["swappiness"]
    if linux.get("sharedMemorySize"):
        config["ShmSize"] = linux["sharedMemorySize"] * MIB
    return config


def _mounts(launch: Launch, spec: ContainerSpec, placing: Placing) -> dict[str, Any]:
    """Returns binds, whose sources Docker makes where they are missing, and fresh volumes."""
    binds, volumes = [], []
    points = spec.document.get("mountPoints", [])
    for number, mount in enumerate(spec.mounts):
        if mount.source and ":" not in mount.source + mount.target:
            binds.append(f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else ""))
        elif mount.source:  # not expressible in a bind's notation; the directory must exist
            volumes.append(_mount("bind", mount, mount.source))
        else:
            volume = points[number].get("sourceVolume", "") if number < len(points) else ""
            entry = _mount("volume", mount, volume_name(launch.task_id, volume or f"{spec.name}-{number}"))
            entry["VolumeOptions"] = {"Labels": labels_of(launch, spec.name, placing)}
            if mount.in_memory:
                entry["VolumeOptions"]["DriverConfig"] = _memory_driver(mount)
            volumes.append(entry)
    directory = launch.task.working_directory
    if directory:
        volumes.append(_mount("bind", Mount(directory, directory), directory))
    config: dict[str, Any] = {}
    if binds:
        config["Binds"] = binds
    if volumes:
        config["Mounts"] = volumes
    return config


def _mount(kind: str, mount: Mount, source: str) -> dict[str, Any]:
    return {"Type": kind, "Source": source, "Target": mount.target, "ReadOnly": mount.read_only}


def _memory_driver(mount: Mount) -> dict[str, Any]:
    """Returns the driver of a volume in memory. It is empty again once no container has it."""
    options = {"type": "tmpfs", "device": "tmpfs"}
    if mount.size_mib:
        options["o"] = f"size={mount.size_mib}m"
    return {"Name": "local", "Options": options}


def _tmpfs_options(entry: Mapping[str, Any]) -> str:
    return ",".join([f"size={entry['size']}m", *entry.get("mountOptions", [])])


def _device(device: Mapping[str, Any]) -> dict[str, str]:
    permissions = device.get("permissions") or list(_PERMISSIONS)
    return {
        "PathOnHost": device["hostPath"],
        "PathInContainer": device.get("containerPath") or device["hostPath"],
        "CgroupPermissions": "".join(_PERMISSIONS[permission] for permission in permissions),
    }
