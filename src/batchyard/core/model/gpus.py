"""GPUs of a host, and which of its GPUs a job asks to see."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

NVIDIA, AMD = "NVIDIA", "AMD"


class Gpu(Struct, frozen=True):
    """A GPU of a host. `device_id`: its number in the ledger, the same for as long as the host has it. `index`: its
    number in the driver's own order. The rest is empty (0) where a setting only says that it exists. `uuid`: in the
    form that the vendor's runtime takes, such as `GPU-8f6d...`."""

    device_id: int
    index: int = 0
    vendor: str = ""
    uuid: str = ""
    model: str = ""
    memory_mib: int = 0

    @property
    def name(self) -> str:
        """Its name for programs and clients: the UUID; its index where that is not known."""
        return self.uuid or str(self.index)


class GpuSample(Struct, frozen=True, array_like=True):
    """What a GPU does at a moment: memory in use, and the percentage of the last moments in which a kernel ran."""

    device_id: int
    memory_mib: int
    percent: int


class GpuUse(Struct, frozen=True, array_like=True):
    """What an attempt has used of its GPUs so far: the most memory of all of them together, and the sum over the
    samples of their mean percentage of use."""

    peak_memory_mib: int
    percent_sum: int
    samples: int

    @property
    def mean_percent(self) -> int:
        return self.percent_sum // self.samples


def use_with(use: GpuUse | None, samples: Sequence[GpuSample]) -> GpuUse:
    """Returns the use after one more sample of each of an attempt's GPUs."""
    known = use or GpuUse(0, 0, 0)
    memory_mib = sum(sample.memory_mib for sample in samples)
    percent = sum(sample.percent for sample in samples) // len(samples)
    return GpuUse(max(known.peak_memory_mib, memory_mib), known.percent_sum + percent, known.samples + 1)


def gpus_named(gpus: Sequence[Gpu], device_ids: Sequence[int]) -> tuple[Gpu, ...]:
    """Returns the GPUs with these ids, in this order. An id that is not among them, as of a GPU that is gone, is one
    of which only the number is known."""
    known = {gpu.device_id: gpu for gpu in gpus}
    return tuple(known.get(device_id, Gpu(device_id, device_id)) for device_id in device_ids)


def selected(assigned: Sequence[str], wanted: str | None) -> tuple[int, ...]:
    """Returns which of a job's devices it selects with a value of CUDA_VISIBLE_DEVICES, as positions in `assigned`, the
    names of its devices. Numbers count from 0 within them, as in a container; the beginning of a UUID names one, too.
    As in CUDA, the first entry that names none of them ends the list. None: no value, which selects all."""
    if wanted is None:
        return tuple(range(len(assigned)))
    found: list[int] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isascii() and entry.isdigit():
            matches = [int(entry)] if int(entry) < len(assigned) else []
        else:
            matches = [at for at, name in enumerate(assigned) if entry and name.startswith(entry)]
        if len(matches) != 1:
            break
        found.append(matches[0])
    return tuple(found)
