"""What this machine offers, from made-up files of the kernel."""

from pathlib import Path

import pytest

from batchyard.core.model.resources import Resources
from batchyard.engines.gpus import GpuFinder
from batchyard.server.settings import host
from batchyard.server.settings.config import load


def machine(root: Path, files: dict[str, str]) -> Path:
    files = {"proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n", "proc/self/cgroup": "0::/\n", **files}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


CASES: dict[str, tuple[dict[str, str], int]] = {
    "no limit": ({}, 16384),
    "unified limit of our own": (
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n"},
        1024,
    ),
    "unified limit further up": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.max": f"{2 << 30}",
        },
        2048,
    ),
    "legacy, seen from inside a container": (
        {"proc/self/cgroup": "4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 << 30}\n"},
        3072,
    ),
    "legacy without a limit": ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 16384),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_respects_the_cgroup(tmp_path: Path, case: str) -> None:
    files, expected = CASES[case]
    assert host.detected_memory_mib(machine(tmp_path, files)) == expected


def test_processors_respect_the_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert host.detected_vcpus(machine(tmp_path / "a", {})) == 8
    assert host.detected_vcpus(machine(tmp_path / "b", {"sys/fs/cgroup/cpu.max": "max 100000\n"})) == 8
    assert host.detected_vcpus(machine(tmp_path / "c", {"sys/fs/cgroup/cpu.max": "250000 100000\n"})) == 2
    assert host.detected_vcpus(machine(tmp_path / "d", {"sys/fs/cgroup/cpu.max": "50000 100000\n"})) == 1
    legacy = {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}
    assert host.detected_vcpus(machine(tmp_path / "e", legacy)) == 3


def test_a_reserve_is_kept_for_the_system() -> None:
    assert host.offered_memory_mib(16384) == 16384 - 1024
    assert host.offered_memory_mib(4000) == 3600
    assert host.offered_memory_mib(600) == 600 - 128
    assert host.offered_memory_mib(100) == 64


def test_declared_amounts_win(tmp_path: Path) -> None:
    root = machine(tmp_path, {"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": "", "dev/nvidia-uvm": ""})
    declared = load({"vcpus": 16, "memory": 999, "gpus": 3}, {"HOME": "/x"})
    finder = GpuFinder(load=lambda: None, run=lambda command: None, root=root)  # without the tools of a real GPU
    found = host.detect(declared, root, finder)
    assert found.resources == Resources(16000, 999, 3)
    assert found.gpu_ids == (0, 1, 2)
    assert host.detect(load({}, {"HOME": "/x"}), root, finder).gpu_ids == (0, 1)


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "X86_64"), ("aarch64", "ARM64"), ("riscv64", "RISCV64")])
def test_processors_have_awss_names(machine: str, name: str) -> None:
    assert host.architecture(machine) == name
