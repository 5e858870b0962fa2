"""The program of the jobs of bench/gpu.py: trains on the GPUs that it sees, and notes what it saw.

    python gpu_program.py KERNEL STEPS PAUSE_SECONDS REPORT [CHECKPOINT] [RELEASE]

Each step is one of gradient descent on (w - 2)², at a rate of 1/4: w becomes w/2 + 1, so that every kernel and every
machine must come to the same numbers. The checkpoint is written after each step, and a SIGTERM ends it after the one
under way. With RELEASE it keeps its GPU after the last step, until there is a file of that name. It imports nothing of
this repository: the job's own Python runs it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

COUNT = 1 << 22  # weights: 16 MiB of float32, more than a launch alone
THREADS = 256  # of a block
TERMINATED_EXIT_CODE = 3
POLL_SECONDS = 0.05
VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")

# What drivers of today compile, the oldest first: a later one may drop it.
PTX_TARGETS = (b"sm_50", b"sm_75")
# w = w * 0.5 + 1, for the driver's own compiler; its first instructions are those of every such kernel.
PTX = b"""
.version 6.4
.target %s
.address_size 64

.visible .entry step(.param .u64 weights, .param .u32 count)
{
    .reg .pred %p<2>;
    .reg .f32 %f<3>;
    .reg .b32 %r<6>;
    .reg .b64 %rd<5>;

    ld.param.u64 %rd1, [weights];
    ld.param.u32 %r2, [count];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.s32 %r1, %r3, %r4, %r5;
    setp.ge.u32 %p1, %r1, %r2;
    @%p1 bra DONE;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd4, %rd2, %rd3;
    ld.global.f32 %f1, [%rd4];
    fma.rn.f32 %f2, %f1, 0f3F000000, 0f3F800000;
    st.global.f32 [%rd4], %f2;
DONE:
    ret;
}
\x00"""


class CannotRunError(RuntimeError):
    """A library sees no GPU, or can't run a kernel on it: why."""


class Kernel:
    """What a library offers: the devices that it sees, and a step over weights that live on the first of them. One that
    can't run here raises ImportError, OSError or RuntimeError when it is made, not at its first step."""

    name = ""

    def devices(self) -> list[dict[str, str]]:
        raise NotImplementedError

    def load(self, value: float) -> None:
        raise NotImplementedError

    def step(self) -> float:
        """One step. Returns a weight, once the device has done it."""
        raise NotImplementedError


class Torch(Kernel):
    name = "torch"

    def __init__(self) -> None:
        import torch

        self.torch = torch
        if not torch.cuda.is_available():
            raise CannotRunError("it sees no GPU")
        torch.ones(1, device="cuda").add_(1.0).item()  # fails where this build has no code for the GPU

    def devices(self) -> list[dict[str, str]]:
        cuda = self.torch.cuda
        found = [cuda.get_device_properties(number) for number in range(cuda.device_count())]
        has_uuids = not self.torch.version.hip  # AMD's have another form, which torch does not know
        return [
            {"name": one.name, "uuid": f"GPU-{one.uuid}" if has_uuids and hasattr(one, "uuid") else ""} for one in found
        ]

    def load(self, value: float) -> None:
        self.weights = self.torch.full((COUNT,), value, device="cuda", requires_grad=True)
        self.optimizer = self.torch.optim.SGD([self.weights], lr=0.25)

    def step(self) -> float:
        self.optimizer.zero_grad()
        ((self.weights - 2.0) ** 2).sum().backward()
        self.optimizer.step()
        return float(self.weights.detach()[-1])


class Cupy(Kernel):
    name = "cupy"

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.fused = cupy.ElementwiseKernel("float32 w", "float32 out", "out = w * 0.5f + 1.0f", "step")
        # Its wheel alone has no compiler: that is NVRTC's, of the CUDA toolkit or of a wheel of its own.
        try:
            self.fused(cupy.zeros(1, dtype="float32"))
        except cupy.cuda.compiler.CompileException as error:
            raise CannotRunError(str(error)) from error

    def devices(self) -> list[dict[str, str]]:
        runtime = self.cupy.cuda.runtime
        found = [runtime.getDeviceProperties(number) for number in range(runtime.getDeviceCount())]
        return [{"name": one["name"].decode(), "uuid": _uuid(one["uuid"]) if "uuid" in one else ""} for one in found]

    def load(self, value: float) -> None:
        self.weights = self.cupy.full((COUNT,), value, dtype="float32")

    def step(self) -> float:
        self.fused(self.weights, self.weights)
        return float(self.weights[-1])


class Driver(Kernel):
    """CUDA's driver interface alone: what every machine with NVIDIA's driver has."""

    name = "driver"

    def __init__(self) -> None:
        try:
            self.cuda = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise CannotRunError(str(error)) from error
        self._do("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._do("cuDeviceGet", ctypes.byref(device), 0)
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._do("cuCtxSetCurrent", context)
        self.function, self.weights = ctypes.c_void_p(), ctypes.c_uint64()
        self._do("cuModuleGetFunction", ctypes.byref(self.function), self._module(), b"step")
        self._do("cuMemAlloc_v2", ctypes.byref(self.weights), ctypes.c_size_t(4 * COUNT))

    def _module(self) -> ctypes.c_void_p:
        module = ctypes.c_void_p()
        for target in PTX_TARGETS[:-1]:
            if self.cuda.cuModuleLoadData(ctypes.byref(module), PTX.replace(b"%s", target, 1)) == 0:
                return module
        self._do("cuModuleLoadData", ctypes.byref(module), PTX.replace(b"%s", PTX_TARGETS[-1], 1))
        return module

    def _do(self, name: str, *arguments: Any) -> None:
        code = getattr(self.cuda, name)(*arguments)
        if code:
            raise CannotRunError(f"{name} ended with the CUDA error {code}")

    def devices(self) -> list[dict[str, str]]:
        count = ctypes.c_int()
        self._do("cuDeviceGetCount", ctypes.byref(count))
        found = []
        for number in range(count.value):
            device, name, uuid = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.create_string_buffer(16)
            self._do("cuDeviceGet", ctypes.byref(device), number)
            self._do("cuDeviceGetName", name, len(name), device)
            self._do("cuDeviceGetUuid", uuid, device)
            found.append({"name": name.value.decode(), "uuid": _uuid(uuid.raw)})
        return found

    def load(self, value: float) -> None:
        bits = ctypes.c_uint32.from_buffer(ctypes.c_float(value)).value
        self._do("cuMemsetD32_v2", self.weights, ctypes.c_uint(bits), ctypes.c_size_t(COUNT))

    def step(self) -> float:
        count = ctypes.c_uint32(COUNT)
        pointers = [ctypes.cast(ctypes.byref(one), ctypes.c_void_p) for one in (self.weights, count)]
        parameters = (ctypes.c_void_p * 2)(*pointers)
        grid, block = (-(-COUNT // THREADS), 1, 1), (THREADS, 1, 1)
        self._do("cuLaunchKernel", self.function, *grid, *block, 0, None, parameters, None)
        weight = ctypes.c_float()
        last = ctypes.c_uint64(self.weights.value + 4 * (COUNT - 1))
        self._do("cuMemcpyDtoH_v2", ctypes.byref(weight), last, ctypes.c_size_t(4))  # waits for the kernel
        return weight.value


class Processor(Kernel):
    """No GPU at all: to try the bench itself. Its devices are those that the variables name."""

    name = "processor"

    def devices(self) -> list[dict[str, str]]:
        names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return [{"name": "a processor", "uuid": name} for name in names.split(",") if name]

    def load(self, value: float) -> None:
        self.weight = value

    def step(self) -> float:
        self.weight = self.weight * 0.5 + 1.0
        return self.weight


KERNELS: dict[str, Callable[[], Kernel]] = {"torch": Torch, "cupy": Cupy, "driver": Driver, "processor": Processor}


def _uuid(raw: bytes) -> str:
    """Returns a UUID as NVML names it; empty: cupy cuts one that has a zero byte."""
    return f"GPU-{UUID(bytes=bytes(raw[:16]))}" if len(raw) >= 16 else ""


def make_kernel(name: str) -> Kernel:
    """`auto`: the first that works here, of torch, cupy and the driver."""
    if name != "auto":
        return KERNELS[name]()
    problems = []
    for one in ("torch", "cupy", "driver"):
        try:
            return KERNELS[one]()
        except (ImportError, OSError, RuntimeError) as problem:  # not installed; lacks a library; CUDA refuses
            problems.append(f"{one}: {problem}")
    raise SystemExit("no kernel can run here: " + "; ".join(problems))


def write(path: Path, document: dict[str, Any]) -> None:
    """Replaces the file in one step, so that a reader, and the next run, see a whole one."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(document))
    new.replace(path)


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    name, steps, pause_seconds, report = arguments[0], int(arguments[1]), float(arguments[2]), Path(arguments[3])
    checkpoint, release = (Path(one) if one else None for one in [*arguments[4:], "", ""][:2])
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.append(number))
    kernel = make_kernel(name)
    kept = json.loads(checkpoint.read_text()) if checkpoint and checkpoint.exists() else {"step": 0, "weight": 0.0}
    step, weight = int(kept["step"]), float(kept["weight"])
    devices = kernel.devices()
    kernel.load(weight)
    note: dict[str, Any] = {
        "kernel": kernel.name,
        "variables": {one: os.environ[one] for one in VARIABLES if one in os.environ},
        "devices": devices,
        "first_step": step,
    }
    while step < steps and not terminated:
        started = time.monotonic()
        weight = kernel.step()
        step += 1
        note.setdefault("seconds_to_first_step", time.monotonic() - began)
        note |= {"step": step, "weight": weight, "step_seconds": time.monotonic() - started}
        if checkpoint:
            write(checkpoint, {"step": step, "weight": weight})
        write(report, note)
        time.sleep(pause_seconds)
    while release and not release.exists() and not terminated:
        time.sleep(POLL_SECONDS)
    print(json.dumps(note))
    return TERMINATED_EXIT_CODE if terminated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
