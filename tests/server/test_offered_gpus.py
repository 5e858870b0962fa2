"""Which GPUs jobs can have, and their numbers over restarts."""

from pathlib import Path

import pytest

from batchyard.engines.gpu_probes import SeenGpu
from batchyard.engines.gpus import FoundGpus, GpuFinder
from batchyard.server.admin.machine_checks import check_gpus
from batchyard.server.settings.config import Settings, load
from batchyard.server.settings.offered_gpus import described, offer, offer_and_remember
from batchyard.server.settings.paths import PathError
from tests.engines.fake_nvml import UNKNOWN, FakeNvml

H100 = "NVIDIA H100 80GB HBM3"


def seen(*names: str) -> FoundGpus:
    gpus = tuple(SeenGpu(index, "NVIDIA", f"GPU-{name}", H100, 81920) for index, name in enumerate(names))
    return FoundGpus(gpus, "NVML")


def settings(gpus: int | None = None) -> Settings:
    return load({} if gpus is None else {"gpus": gpus}, {"HOME": "/x"})


def test_settings_take_the_first_ones_and_no_more_than_there_are() -> None:
    found = seen("a", "b", "c")
    assert [gpu.name for gpu in offer(found, None).gpus] == ["GPU-a", "GPU-b", "GPU-c"]
    assert [gpu.name for gpu in offer(found, 2).gpus] == ["GPU-a", "GPU-b"]
    more = offer(found, 5)
    assert (len(more.gpus), more.lacks) == (3, 2)
    assert (offer(found, 0).gpus, offer(found, 0).vendor) == ((), "NVIDIA")


def test_settings_are_believed_where_none_is_found_by_name() -> None:
    declared = offer(FoundGpus(), 2)
    assert ([gpu.name for gpu in declared.gpus], declared.lacks) == (["0", "1"], 0)
    assert offer(FoundGpus(), None).gpus == ()


def test_a_number_stays_with_its_gpu(tmp_path: Path) -> None:
    first = offer_and_remember(seen("a", "b"), None, tmp_path)
    assert [(gpu.device_id, gpu.uuid) for gpu in first.gpus] == [(0, "GPU-a"), (1, "GPU-b")]
    without = offer_and_remember(seen("b"), None, tmp_path)
    assert [(gpu.device_id, gpu.index, gpu.uuid) for gpu in without.gpus] == [(1, 0, "GPU-b")]
    with_another = offer_and_remember(seen("c", "b", "a"), None, tmp_path)
    assert [(gpu.device_id, gpu.uuid) for gpu in with_another.gpus] == [(2, "GPU-c"), (1, "GPU-b"), (0, "GPU-a")]


@pytest.mark.parametrize("content", ["", '{"GPU-a": 0}', '["GPU-a'])
def test_damaged_numbers_end_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "gpus.json").write_text(content)
    with pytest.raises(
        PathError, match=r"gpus\.json, the numbers of this machine's GPUs, is damaged .* Remove it once"
    ):
        offer_and_remember(seen("a"), None, tmp_path)


def test_models_are_counted() -> None:
    other = SeenGpu(2, "NVIDIA", "GPU-c", "NVIDIA T4", 0)
    gpus = offer(FoundGpus((*seen("a", "b").gpus, other), "NVML"), None).gpus
    assert described(gpus) == "2 × NVIDIA H100 80GB HBM3 (80.0 GiB), 1 × NVIDIA T4"
    assert described(offer(FoundGpus(), 2).gpus) == ""


def test_the_doctor_names_them(tmp_path: Path) -> None:
    nvml = FakeNvml(("GPU-a", H100, 80), ("GPU-b", H100, 80))

    def finder(module: FakeNvml | None) -> GpuFinder:
        return GpuFinder(load=lambda: module, run=lambda command: None, root=tmp_path)

    good = check_gpus(settings(), finder(nvml))
    assert (good.mark, good.detail) == ("ok", "2 × NVIDIA H100 80GB HBM3 (80.0 GiB) offered, 2 found by NVML")
    short = check_gpus(settings(4), finder(nvml))
    assert (short.mark, short.remedy) == ("MISS", "The setting gpus is 4: lower it to 2, or leave it out.")
    assert check_gpus(settings(1), finder(nvml)).detail.startswith("1 × NVIDIA H100")
    assert check_gpus(settings(), finder(None)).mark == "no"
    declared = check_gpus(settings(4), finder(None))
    assert (declared.mark, declared.detail) == ("ok", "none found; 4 offered, by number only")
    nvml.errors[0] = UNKNOWN
    assert check_gpus(settings(), finder(nvml)).detail == "can't be found: NVML: Unknown Error"
