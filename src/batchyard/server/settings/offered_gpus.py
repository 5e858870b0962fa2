"""Which of the GPUs that were found are offered to jobs, and their numbers in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from batchyard.core.model.gpus import Gpu
from batchyard.engines.gpu_probes import SeenGpu
from batchyard.engines.gpus import FoundGpus
from batchyard.server.settings.paths import PathError, write_private

# In the state directory: a list of UUIDs, each at the position that is its number. Attempts outlive the server, and
# their GPUs are recorded by number: it must name the same GPU for the next server, also when another one has gone.
NUMBERS_FILE = "gpus.json"
MIB_PER_GIB = 1024


class OfferedGpus(Struct, frozen=True):
    """The GPUs that jobs can have. `found`: those of this machine; `asked`: how many the settings name, or None.
    `lost`: the numbers of GPUs that an earlier server found, and this one does not."""

    gpus: tuple[Gpu, ...]
    found: FoundGpus
    asked: int | None
    lost: tuple[int, ...] = ()

    @property
    def is_watched(self) -> bool:
        """Whether the loss of one can be noticed."""
        return any(gpu.uuid for gpu in self.gpus)

    @property
    def vendor(self) -> str:
        """The vendor of this machine's GPUs, also where none of them is offered."""
        return self.found.gpus[0].vendor if self.found.gpus else ""

    def named(self, device_ids: Sequence[int]) -> tuple[Gpu, ...]:
        """Returns the GPUs with these ids, of those that are known."""
        return tuple(gpu for gpu in self.gpus if gpu.device_id in device_ids)

    @property
    def lacks(self) -> int:
        """How many fewer there are than the settings name. Only GPUs that were found by name are sure to be all."""
        return max(0, (self.asked or 0) - len(self.gpus))


def offer(found: FoundGpus, asked: int | None, known: Sequence[str] = ()) -> OfferedGpus:
    """Offers what the settings name, of what there is: the first ones of those that were found, all without a setting.
    Where no GPU was found by name, the settings are believed. `known`: the numbers given before (NUMBERS_FILE)."""
    lost: tuple[int, ...] = ()
    if any(gpu.uuid for gpu in found.gpus):
        table = numbers_of(found.gpus, known)
        there = {_key(seen) for seen in found.gpus}
        lost = tuple(number for number, key in enumerate(table) if key not in there)
        gpus = [
            Gpu(table.index(_key(seen)), seen.index, seen.vendor, seen.uuid, seen.model, seen.memory_mib)
            for seen in found.gpus
        ]
    elif asked is None:
        gpus = [Gpu(seen.index, seen.index, seen.vendor) for seen in found.gpus]
    else:
        vendor = found.gpus[0].vendor if found.gpus else ""
        gpus = [Gpu(number, number, vendor) for number in range(asked)]
    return OfferedGpus(tuple(gpus if asked is None else gpus[:asked]), found, asked, lost)


def numbers_of(gpus: Sequence[SeenGpu], known: Sequence[str]) -> list[str]:
    """Returns the numbers with those of new GPUs added: an old number is never given to another GPU."""
    return [*known, *(key for gpu in gpus if (key := _key(gpu)) not in known)]


def _key(gpu: SeenGpu) -> str:
    return gpu.uuid or f"{gpu.vendor} {gpu.index}"


def offer_and_remember(found: FoundGpus, asked: int | None, state_dir: Path) -> OfferedGpus:
    """Offers GPUs under the numbers that earlier servers of the data directory gave them. Raises PathError: these
    can't be read."""
    path = state_dir / NUMBERS_FILE
    try:
        known = msgspec.json.decode(path.read_bytes(), type=list[str])
    except FileNotFoundError:
        known = []
    except msgspec.DecodeError as error:  # also ValidationError
        raise PathError(
            f"{path}, the numbers of this machine's GPUs, is damaged ({error}). Remove it once no job runs on a GPU."
        ) from error
    if any(gpu.uuid for gpu in found.gpus):
        numbers = numbers_of(found.gpus, known)
        if numbers != known:
            write_private(path, msgspec.json.encode(numbers))
    return offer(found, asked, known)


def described(gpus: Sequence[Gpu]) -> str:
    """Returns the GPUs in words: `2 × NVIDIA H100 80GB HBM3 (79.6 GiB)`, one part for each model. Empty: no model is
    known."""
    counts: dict[tuple[str, int], int] = {}
    for gpu in gpus:
        if gpu.model:
            counts[gpu.model, gpu.memory_mib] = counts.get((gpu.model, gpu.memory_mib), 0) + 1
    return ", ".join(
        f"{count} × {model}" + (f" ({memory_mib / MIB_PER_GIB:.1f} GiB)" if memory_mib else "")
        for (model, memory_mib), count in counts.items()
    )
