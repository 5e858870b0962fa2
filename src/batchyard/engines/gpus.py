"""The GPUs of this host: found once at the start, and looked at again while the service runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from batchyard.core.model.gpus import NVIDIA
from batchyard.engines.gpu_probes import (
    NoDriver,
    ProbeFailed,
    Run,
    SeenGpu,
    Use,
    amd_smi_gpus,
    load_nvml,
    nvidia_smi_gpus,
    nvml_gpus,
    rocm_smi_gpus,
    run_program,
)

NVML = "NVML"


class FoundGpus(Struct, frozen=True):
    """What was found. `source`: which tool reported it; empty: none did. `problem`: why a tool that is there reports
    nothing, as a sentence without a full stop."""

    gpus: tuple[SeenGpu, ...] = ()
    source: str = ""
    problem: str = ""


class Look(Struct, frozen=True):
    """The GPUs that are there at a moment, and by UUID what they are doing, as far as the tool reports it."""

    gpus: tuple[SeenGpu, ...]
    use: dict[str, Use]


class GpuFinder:
    """Finds the GPUs. One vendor's only: NVIDIA's where there are any, else AMD's, so that the graphics of a processor
    are not offered beside them.

    `load`: returns NVIDIA's binding, or None; `run`: runs a program; `root`: where `dev` is."""

    def __init__(
        self,
        load: Callable[[], ModuleType | None] = load_nvml,
        run: Run = run_program,
        root: Path = Path("/"),
    ) -> None:
        self._load, self._run, self._root = load, run, root
        self.problem = ""  # why the tool could not be asked again the last time, as in FoundGpus

    def find(self) -> FoundGpus:
        """Asks one tool after the other, until one reports GPUs. Device files count only where no tool fails."""
        problems: list[str] = []
        for source, probe in self._probes():
            try:
                gpus = probe()
            except NoDriver:
                continue
            except ProbeFailed as problem:
                problems.append(str(problem))
                continue
            if gpus:
                return FoundGpus(gpus, source)
        files = () if problems else device_files(self._root)
        return FoundGpus(files, "/dev" if files else "", "; ".join(problems))

    def again(self, source: str) -> Look | None:
        """Asks the tool that reported the GPUs before. None: `problem` has why not, and nothing is known."""
        use: dict[str, Use] = {}
        probe = dict(self._probes(use)).get(source)
        if probe is None:
            self.problem = f"{source} is not there"
            return None
        try:
            return Look(probe(), use)
        except ProbeFailed as problem:  # also without a driver: one that is being replaced takes no GPU away
            self.problem = str(problem)
            return None

    def _probes(self, use: dict[str, Use] | None = None) -> list[tuple[str, Callable[[], tuple[SeenGpu, ...]]]]:
        nvml = self._load()
        probes: list[tuple[str, Callable[[], tuple[SeenGpu, ...]]]] = []
        if nvml is not None:
            probes.append((NVML, lambda: nvml_gpus(nvml, use)))
        return [
            *probes,
            ("nvidia-smi", lambda: nvidia_smi_gpus(self._run)),
            ("amd-smi", lambda: amd_smi_gpus(self._run)),
            ("rocm-smi", lambda: rocm_smi_gpus(self._run)),
        ]


def device_files(root: Path) -> tuple[SeenGpu, ...]:
    """Returns NVIDIA's devices by their files: where no tool is installed, their numbers alone are known."""
    try:
        names = os.listdir(root / "dev")
    except OSError:  # no /dev: no devices
        return ()
    numbers = sorted(int(name[6:]) for name in names if re.fullmatch(r"nvidia[0-9]+", name))
    return tuple(SeenGpu(number, NVIDIA, "", "", 0) for number in numbers)
