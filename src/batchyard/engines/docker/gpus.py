"""How a Docker daemon gives GPUs to containers: by device requests to NVIDIA's runtime, or by CDI devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from batchyard.core.model.gpus import AMD, NVIDIA, Gpu
from batchyard.engines.start_failures import CANNOT_START, CannotStart

NVIDIA_RUNTIME = "nvidia"
CDI_KINDS = {NVIDIA: "nvidia.com/gpu", AMD: "amd.com/gpu"}
# The daemon's words where no runtime takes a device request.
NO_DRIVER = "could not select device driver"
REMEDIES = {
    NVIDIA: "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker",
    AMD: "install amd-container-toolkit, run `amd-ctk cdi generate --output=/etc/cdi/amd.json` and restart Docker",
}
# What NVIDIA's runtime takes for a container without GPUs; images of CUDA say "all" otherwise.
NO_DEVICES = "void"


class GpuAccess(Struct, frozen=True):
    """What a daemon has. `devices`: the CDI devices that it lists, such as `nvidia.com/gpu=0`; None: it takes CDI
    devices, and is too old to list them (before Docker 28.2)."""

    has_runtime: bool = False
    is_default_runtime: bool = False  # NVIDIA's: also containers without a request get what their image asks for
    devices: tuple[str, ...] | None = ()


def access_of(info: Mapping[str, Any]) -> GpuAccess:
    """Returns the ways that a daemon has. `info`: the answer of GET /info."""
    listed = info.get("DiscoveredDevices")
    devices: tuple[str, ...] | None = ()
    if listed:
        devices = tuple(str(one.get("ID", "")) for one in listed if one.get("Source") == "cdi")
    elif "DiscoveredDevices" not in info and info.get("CDISpecDirs"):
        devices = None
    return GpuAccess(
        NVIDIA_RUNTIME in (info.get("Runtimes") or {}), info.get("DefaultRuntime") == NVIDIA_RUNTIME, devices
    )


def note_of(access: GpuAccess) -> str:
    """Returns a note for the operator."""
    if access.has_runtime:
        return "GPUs by the runtime nvidia"
    if access.devices is None:
        return "GPUs by CDI, whose devices it does not list"
    kinds = sorted({device.partition("=")[0] for device in access.devices} & {*CDI_KINDS.values()})
    return f"GPUs by CDI ({', '.join(kinds)})" if kinds else "neither the runtime nvidia nor CDI devices for GPUs"


def device_requests(access: GpuAccess, gpus: Sequence[Gpu], container: str) -> list[dict[str, Any]]:
    """Returns Docker's DeviceRequests. NVIDIA's runtime comes first. A daemon that has neither is asked all the same:
    one with NVIDIA's hook and no runtime of that name takes such requests too, and its refusal is exact. CannotStart:
    the daemon has no such device."""
    vendor = gpus[0].vendor or NVIDIA
    if vendor == NVIDIA and (access.has_runtime or not _cdi_names(access, NVIDIA)):
        names = [gpu.name for gpu in gpus]
        return [{"Driver": "nvidia", "DeviceIDs": names, "Capabilities": [["gpu"]]}]
    kind, known = CDI_KINDS[vendor], _cdi_names(access, vendor)
    if not known:
        raise CannotStart(
            f"{CANNOT_START}: the Docker daemon has no CDI devices {kind}; {REMEDIES[vendor]}.", container
        )
    ids = []
    for gpu in gpus:
        # A specification may know a GPU by its index alone, which is right only as long as none has gone.
        names = [f"{kind}={name}" for name in (gpu.uuid, str(gpu.index)) if name]
        found = next((name for name in names if access.devices is None or name in known), None)
        if found is None:
            raise CannotStart(
                f"{CANNOT_START}: the Docker daemon has no CDI device {names[0]}; generate its specification again "
                "(`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`) and restart Docker.",
                container,
            )
        ids.append(found)
    return [{"Driver": "cdi", "DeviceIDs": ids}]


def _cdi_names(access: GpuAccess, vendor: str) -> tuple[str, ...]:
    """Returns the CDI devices of a vendor; one that stands for all, where they are not listed."""
    kind = CDI_KINDS[vendor]
    if access.devices is None:
        return (f"{kind}=all",)
    return tuple(device for device in access.devices if device.startswith(f"{kind}="))


def explained(message: str) -> str:
    """Returns a daemon's refusal, with a remedy where it has no way to give GPUs."""
    if NO_DRIVER not in message:
        return message
    return f"{message.rstrip('.')}: {REMEDIES[NVIDIA]}."
