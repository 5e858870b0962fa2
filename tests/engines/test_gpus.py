"""GPUs as the vendors' tools report them: a made-up NVML, and programs on PATH that print what theirs print."""

import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from batchyard.engines.gpu_probes import Output, ProbeFailed, SeenGpu, Use, run_program
from batchyard.engines.gpus import FoundGpus, GpuFinder, Look
from tests.engines.fake_nvml import LOST, NO_DRIVER, NO_PERMISSION, UNKNOWN, FakeNvml

H100 = "NVIDIA H100 80GB HBM3"
FIRST, SECOND = "GPU-11111111-aaaa-bbbb-cccc-000000000001", "GPU-22222222-aaaa-bbbb-cccc-000000000002"
PAIR = (
    SeenGpu(0, "NVIDIA", FIRST, H100, 80 * 1024),
    SeenGpu(1, "NVIDIA", SECOND, H100, 80 * 1024),
)


def program(directory: Path, name: str, out: str, code: int = 0, err: str = "") -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{out}\nEND\necho '{err}' >&2\nexit {code}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which GPU tools can be found."""
    directory = tmp_path / "tools"
    monkeypatch.setenv("PATH", os.pathsep.join((str(directory), "/usr/bin", "/bin")))
    return directory


def finder(tmp_path: Path, nvml: ModuleType | None = None) -> GpuFinder:
    return GpuFinder(load=lambda: nvml, root=tmp_path)


def test_nvml_names_them(tmp_path: Path) -> None:
    nvml = FakeNvml((FIRST, H100, 80), (SECOND, H100, 80))
    assert finder(tmp_path, nvml).find() == FoundGpus(PAIR, "NVML")
    assert nvml.opened == 0, "every init has its shutdown"


@pytest.mark.parametrize("error", [LOST, NO_PERMISSION])
def test_one_that_fell_off_the_bus_or_is_not_ours_is_left_out(tmp_path: Path, error: int) -> None:
    nvml = FakeNvml((FIRST, H100, 80), (SECOND, H100, 80))
    nvml.errors[0] = error
    assert finder(tmp_path, nvml).find() == FoundGpus(PAIR[1:], "NVML")


def test_an_error_of_nvml_is_not_taken_for_a_machine_without_gpus(tmp_path: Path, tools: Path) -> None:
    nvml = FakeNvml((FIRST, H100, 80))
    nvml.errors[0] = UNKNOWN
    found = finder(tmp_path, nvml).find()
    assert (found.gpus, found.problem) == ((), "NVML: Unknown Error")
    assert finder(tmp_path, nvml).again("NVML") is None, "nothing is known, so that none is gone"
    assert nvml.opened == 0


def test_without_a_driver_there_is_none(tmp_path: Path, tools: Path) -> None:
    nvml = FakeNvml()
    nvml.init_error = NO_DRIVER
    assert finder(tmp_path, nvml).find() == FoundGpus()
    assert finder(tmp_path).find() == FoundGpus()


def test_nvidia_smi_names_them_where_the_binding_is_not_installed(tmp_path: Path, tools: Path) -> None:
    program(tools, "nvidia-smi", f"0, {FIRST}, {H100}, 81920\n1, {SECOND}, {H100}, 81920")
    assert finder(tmp_path).find() == FoundGpus(PAIR, "nvidia-smi")


def test_nvidia_smi_is_asked_where_nvml_has_no_driver(tmp_path: Path, tools: Path) -> None:
    program(tools, "nvidia-smi", f"0, {FIRST}, NVIDIA GB10, [N/A]")
    nvml = FakeNvml()
    nvml.init_error = NO_DRIVER
    found = finder(tmp_path, nvml).find()
    assert found == FoundGpus((SeenGpu(0, "NVIDIA", FIRST, "NVIDIA GB10", 0),), "nvidia-smi")


def test_nvidia_smi_without_gpus_or_driver(tmp_path: Path, tools: Path) -> None:
    program(tools, "nvidia-smi", "No devices were found")
    assert finder(tmp_path).find() == FoundGpus()
    program(tools, "nvidia-smi", "NVIDIA-SMI has failed because it couldn't communicate with the driver.", code=9)
    assert finder(tmp_path).find() == FoundGpus()


def test_a_failing_nvidia_smi_is_a_problem(tmp_path: Path, tools: Path) -> None:
    program(tools, "nvidia-smi", "", code=15, err="Unable to determine the device handle: GPU is lost")
    found = finder(tmp_path).find()
    assert found.problem == "nvidia-smi ended with 15: Unable to determine the device handle: GPU is lost"
    program(tools, "nvidia-smi", "something else")
    assert finder(tmp_path).find().problem == "nvidia-smi reports 'something else', which is no GPU"


AMD_SMI = [
    {
        "gpu": 0,
        "asic": {"market_name": "AMD Instinct MI300X", "asic_serial": "0x6F1F0A2B3C4D5E6F"},
        "vram": {"type": "HBM3", "size": {"value": 196592, "unit": "MB"}},
    }
]
MI300X = SeenGpu(0, "AMD", "GPU-6f1f0a2b3c4d5e6f", "AMD Instinct MI300X", 196592)


@pytest.mark.parametrize("document", [AMD_SMI, {"gpu_data": AMD_SMI}], ids=["ROCm 6", "ROCm 7"])
def test_amd_smi_names_them(tmp_path: Path, tools: Path, document: object) -> None:
    program(tools, "amd-smi", json.dumps(document))
    assert finder(tmp_path).find() == FoundGpus((MI300X,), "amd-smi")


def test_rocm_smi_names_them(tmp_path: Path, tools: Path) -> None:
    cards = {
        "card1": {"Card Series": "Radeon RX 7900 XTX", "VRAM Total Memory (B)": "25753026560", "Unique ID": "N/A"},
        "card0": {"Card series": "MI250X", "VRAM Total Memory (B)": "68702699520", "Unique ID": "0xac1b58f8c06679f"},
        "system": {"Driver version": "6.10.5"},
    }
    program(tools, "rocm-smi", json.dumps(cards))
    first = SeenGpu(0, "AMD", "GPU-0ac1b58f8c06679f", "MI250X", 65520)
    second = SeenGpu(1, "AMD", "", "Radeon RX 7900 XTX", 24560)
    assert finder(tmp_path).find() == FoundGpus((first, second), "rocm-smi")


def test_the_graphics_of_a_processor_are_not_offered_beside_nvidias(tmp_path: Path, tools: Path) -> None:
    program(tools, "amd-smi", json.dumps(AMD_SMI))
    assert finder(tmp_path, FakeNvml((FIRST, H100, 80))).find() == FoundGpus(PAIR[:1], "NVML")


def test_what_is_no_json_is_a_problem(tmp_path: Path, tools: Path) -> None:
    program(tools, "amd-smi", "Permission denied")
    assert "which is no JSON" in finder(tmp_path).find().problem


@pytest.mark.parametrize(
    ("tool", "document"),
    [
        ("amd-smi", ["GPU 0"]),
        ("amd-smi", [{"gpu": "N/A"}]),
        ("amd-smi", {"gpu_data": "N/A"}),
        ("amd-smi", "N/A"),
        ("rocm-smi", {"card0": "N/A"}),
        ("rocm-smi", ["card0"]),
    ],
)
def test_a_document_of_another_shape_is_a_problem(tmp_path: Path, tools: Path, tool: str, document: object) -> None:
    program(tools, tool, json.dumps(document))
    assert f"{tool} prints" in finder(tmp_path).find().problem


def test_what_amd_smi_can_not_read_of_a_gpu_is_left_out(tmp_path: Path, tools: Path) -> None:
    program(tools, "amd-smi", json.dumps([{"gpu": 0, "asic": "N/A", "vram": "N/A"}]))
    assert finder(tmp_path).find() == FoundGpus((SeenGpu(0, "AMD", "", "", 0),), "amd-smi")


def test_device_files_are_the_last_resort(tmp_path: Path, tools: Path) -> None:
    for name in ("nvidia1", "nvidia0", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    found = finder(tmp_path).find()
    assert found == FoundGpus((SeenGpu(0, "NVIDIA", "", "", 0), SeenGpu(1, "NVIDIA", "", "", 0)), "/dev")
    assert finder(tmp_path).again("/dev") is None
    program(tools, "nvidia-smi", "", code=255, err="Unknown Error")
    assert finder(tmp_path).find().gpus == (), "one that a tool fails on is not offered"


def test_the_tool_that_reported_them_is_asked_again(tmp_path: Path) -> None:
    nvml = FakeNvml((FIRST, H100, 80), (SECOND, H100, 80))
    finding = finder(tmp_path, nvml)
    assert finding.again("NVML") == Look(PAIR, {})
    nvml.use = {0: (5, 42), 1: (0, 0)}
    assert finding.again("NVML") == Look(PAIR, {FIRST: Use(5 * 1024, 42), SECOND: Use(0, 0)})
    nvml.errors[1] = LOST
    assert finding.again("NVML") == Look(PAIR[:1], {FIRST: Use(5 * 1024, 42)})


def test_a_program_that_is_not_there_is_none(tools: Path) -> None:
    assert run_program(["no-such-tool"]) is None
    program(tools, "tool", "out", code=3, err="why")
    assert run_program(["tool", "--all"]) == Output(3, "out\n", "why\n")
    (tools / "tool").write_text("not a program")
    with pytest.raises(ProbeFailed, match="tool can't be run: Exec format error"):
        run_program(["tool"])
