"""What the vendors' tools report about the GPUs of this host.

NVIDIA's: NVML by the vendor's own Python binding (`nvidia-ml-py`, whose module is `pynvml`); where that is not
installed, `nvidia-smi`. AMD's: `amd-smi`, else `rocm-smi`. A probe without a driver, library or program below it
raises NoDriver; one that fails for another reason ProbeFailed, and then nothing is known."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from msgspec import Struct

from batchyard.core.model.gpus import AMD, NVIDIA

PROGRAM_SECONDS = 30.0  # a driver without persistence initializes each GPU first: seconds for each of eight
MIB = 1 << 20
# nvmlReturn_t, by value: a binding may be older than the driver, and not know a name.
NVML_NO_DRIVER = (9, 12)  # NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND
NVML_NOT_SUPPORTED, NVML_NO_PERMISSION, NVML_GPU_IS_LOST = 3, 4, 15
NVIDIA_SMI_NO_DRIVER = (9, 12)  # the manual page of nvidia-smi has the same numbers
NVIDIA_SMI_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
AMD_SMI_QUERY = ("amd-smi", "static", "--asic", "--vram", "--json")
ROCM_SMI_QUERY = ("rocm-smi", "--showuniqueid", "--showproductname", "--showmeminfo", "vram", "--json")


class ProbeFailed(Exception):
    """A tool does not report what there is: why, as a sentence without a full stop."""


class NoDriver(ProbeFailed):
    """There is no such tool, or no driver below it: no GPU of this vendor can be used."""


class SeenGpu(Struct, frozen=True):
    """One GPU as its tool reports it."""

    index: int
    vendor: str
    uuid: str
    model: str
    memory_mib: int


class Use(Struct, frozen=True):
    """What a GPU does at the moment (core.model.gpus.GpuSample)."""

    memory_mib: int
    percent: int


class Output(Struct, frozen=True):
    """What a program returned."""

    code: int
    out: str
    err: str


Run = Callable[[Sequence[str]], Output | None]


def run_program(command: Sequence[str]) -> Output | None:
    """Runs a program to its end. None: there is no such program. ProbeFailed: it can't be run, or does not end."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, *command[1:]], capture_output=True, text=True, errors="replace", timeout=PROGRAM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProbeFailed(f"{command[0]} does not end within {PROGRAM_SECONDS:g} s") from None
    except OSError as error:
        raise ProbeFailed(f"{command[0]} can't be run: {error.strerror}") from error
    return Output(done.returncode, done.stdout, done.stderr)


# -- NVIDIA --


def load_nvml() -> ModuleType | None:
    """Returns NVIDIA's binding of NVML; None: it is not installed."""
    try:
        import pynvml
    except ImportError:
        return None
    module: ModuleType = pynvml
    return module


def nvml_gpus(nvml: Any, use: dict[str, Use] | None = None) -> tuple[SeenGpu, ...]:
    """Asks NVML. A GPU that has fallen off the bus is left out, and one that this process may not use. `use`: gets
    what each is doing, by UUID. ProbeFailed."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in NVML_NO_DRIVER:
            raise NoDriver(f"NVML: {error}") from error
        raise ProbeFailed(f"NVML: {error}") from error
    try:
        try:
            found = [_nvml_gpu(nvml, index, use) for index in range(nvml.nvmlDeviceGetCount())]
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise ProbeFailed(f"NVML: {error}") from error
    return tuple(gpu for gpu in found if gpu is not None)


def _nvml_gpu(nvml: Any, index: int, use: dict[str, Use] | None) -> SeenGpu | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid, model = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        if use is not None and (percent := _nvml_percent(nvml, handle)) is not None:
            use[uuid] = Use(int(memory.used) // MIB, percent)
        return SeenGpu(index, NVIDIA, uuid, model, int(memory.total) // MIB)
    except nvml.NVMLError as error:
        if error.value in (NVML_GPU_IS_LOST, NVML_NO_PERMISSION):
            return None
        raise


def _nvml_percent(nvml: Any, handle: Any) -> int | None:
    """Returns the percentage of use; None: this GPU does not report it, as in MIG mode."""
    try:
        return int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError as error:
        if error.value == NVML_NOT_SUPPORTED:
            return None
        raise


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value  # bytes: bindings before 11.5


def nvidia_smi_gpus(run: Run) -> tuple[SeenGpu, ...]:
    """Asks nvidia-smi. ProbeFailed."""
    output = run(NVIDIA_SMI_QUERY)
    if output is None:
        raise NoDriver("there is no nvidia-smi")
    if output.code in NVIDIA_SMI_NO_DRIVER:
        raise NoDriver(_failure(NVIDIA_SMI_QUERY[0], output))
    if output.code != 0:
        raise ProbeFailed(_failure(NVIDIA_SMI_QUERY[0], output))
    found = []
    for row in csv.reader(output.out.splitlines(), skipinitialspace=True):
        if not row or row[0].startswith("No devices"):
            continue
        if len(row) != 4 or not row[0].isdigit():
            raise ProbeFailed(f"nvidia-smi reports {','.join(row)!r}, which is no GPU")
        memory = re.match(r"\d+", row[3])  # [N/A] where the GPU shares the host's memory
        found.append(SeenGpu(int(row[0]), NVIDIA, row[1], row[2], int(memory[0]) if memory else 0))
    return tuple(found)


# -- AMD --


def amd_smi_gpus(run: Run) -> tuple[SeenGpu, ...]:
    """Asks amd-smi. ProbeFailed."""
    document = _json_of(AMD_SMI_QUERY, run)
    entries = document.get("gpu_data", []) if isinstance(document, dict) else document or []
    if not isinstance(entries, list):
        raise _no_gpu(AMD_SMI_QUERY[0], entries)
    found = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("gpu", number), int):
            raise _no_gpu(AMD_SMI_QUERY[0], entry)
        asic, vram = _members(entry.get("asic")), _members(entry.get("vram"))
        size = vram.get("size")
        amount = re.match(r"\d+", str(size.get("value") if isinstance(size, dict) else size))
        uuid = _amd_uuid(str(asic.get("asic_serial", "")))
        model = str(asic.get("market_name", ""))
        found.append(SeenGpu(entry.get("gpu", number), AMD, uuid, model, int(amount[0]) if amount else 0))
    return tuple(found)


def rocm_smi_gpus(run: Run) -> tuple[SeenGpu, ...]:
    """Asks rocm-smi. ProbeFailed."""
    document = _json_of(ROCM_SMI_QUERY, run) or {}
    if not isinstance(document, dict):
        raise _no_gpu(ROCM_SMI_QUERY[0], document)
    found = []
    for name, entry in document.items():
        number = re.fullmatch(r"card(\d+)", name)
        if number is None:
            continue  # "system"
        if not isinstance(entry, dict):
            raise _no_gpu(ROCM_SMI_QUERY[0], entry)
        known = {member.lower(): str(value) for member, value in entry.items()}
        memory = re.match(r"\d+", known.get("vram total memory (b)", ""))
        model = known.get("card series") or known.get("device name", "")
        uuid = _amd_uuid(known.get("unique id", ""))
        found.append(SeenGpu(int(number[1]), AMD, uuid, model, int(memory[0]) // MIB if memory else 0))
    return tuple(sorted(found, key=lambda gpu: gpu.index))


def _members(value: Any) -> dict[str, Any]:
    """Returns a part of amd-smi's document; empty where it has a text such as N/A instead."""
    return value if isinstance(value, dict) else {}


def _no_gpu(program: str, value: Any) -> ProbeFailed:
    return ProbeFailed(f"{program} prints {json.dumps(value)[:80]!r}, which is no GPU")


def _amd_uuid(unique_id: str) -> str:
    """Returns the UUID in the form that ROCR_VISIBLE_DEVICES takes; empty: this GPU has none, as consumer models."""
    number = re.fullmatch(r"(?:0x)?([0-9a-f]{1,16})", unique_id.lower())
    return f"GPU-{int(number[1], 16):016x}" if number and int(number[1], 16) else ""


def _json_of(command: Sequence[str], run: Run) -> Any:
    """Returns the document that a program prints; None: it prints nothing."""
    output = run(command)
    if output is None:
        raise NoDriver(f"there is no {command[0]}")
    if output.code != 0:
        raise ProbeFailed(_failure(command[0], output))
    if not output.out.strip():
        return None  # rocm-smi without a GPU
    try:
        return json.loads(output.out)
    except ValueError:
        raise ProbeFailed(f"{command[0]} prints {output.out[:80]!r}, which is no JSON") from None


def _failure(program: str, output: Output) -> str:
    words = (output.err.strip() or output.out.strip()).splitlines() or ["no message"]
    return f"{program} ended with {output.code}: {words[0][:200]}"
