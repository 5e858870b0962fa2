"""A module in the shape of NVIDIA's `pynvml`, over GPUs that a test makes up and takes away."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

GIB = 1 << 30
LOST, NO_DRIVER, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN = 15, 9, 4, 3, 999


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__({LOST: "GPU is lost", NO_DRIVER: "Driver Not Loaded"}.get(value, "Unknown Error"))
        self.value = value


class FakeNvml(ModuleType):
    """`gpus`: (UUID, model, memory in GiB) in the driver's order. `errors`: by index, what every question about that
    GPU ends with. `init_error`, `shutdown_error`: what nvmlInit and nvmlShutdown end with. `use`: by index, GiB in use
    and the percentage of use; a GPU without any reports none."""

    def __init__(self, *gpus: tuple[str, str, int]) -> None:
        super().__init__("pynvml")
        self.NVMLError = NVMLError
        self.gpus = list(gpus)
        self.errors: dict[int, int] = {}
        self.init_error = 0
        self.shutdown_error = 0
        self.use: dict[int, tuple[int, int]] = {}
        self.opened = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names, here and below
        if self.init_error:
            raise NVMLError(self.init_error)
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1
        if self.shutdown_error:
            raise NVMLError(self.shutdown_error)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        assert self.opened, "a question before nvmlInit"
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._check(index)
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        self._check(handle)
        return self.gpus[handle][0]

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        self._check(handle)
        return self.gpus[handle][1]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        self._check(handle)
        return SimpleNamespace(total=self.gpus[handle][2] * GIB, used=self.use.get(handle, (0, 0))[0] * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:  # noqa: N802
        self._check(handle)
        if handle not in self.use:
            raise NVMLError(NOT_SUPPORTED)
        return SimpleNamespace(gpu=self.use[handle][1])

    def _check(self, index: int) -> None:
        assert self.opened, "a question before nvmlInit"
        if index in self.errors:
            raise NVMLError(self.errors[index])
