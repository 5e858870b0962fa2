"""The bench of GPUs on a machine without any: over made-up ones, with a kernel for the processor; and what it says
where there is none."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from bench import gpu, gpu_program

ROOT = Path(__file__).parents[2]
MODULE = """
import sys
from tests.engines.fake_nvml import FakeNvml
sys.modules[__name__] = FakeNvml(*{gpus!r})
"""
PAIR = (("GPU-aaaa", "NVIDIA H100", 80), ("GPU-bbbb", "NVIDIA H100", 80))


def bench(
    directory: Path, gpus: tuple[tuple[str, str, int], ...], kernel: str = "processor", **more: str
) -> subprocess.CompletedProcess[str]:
    (directory / "pynvml.py").write_text(MODULE.format(gpus=gpus))
    variables = dict(os.environ) | {"PYTHONPATH": f"{directory}:{ROOT}", "PATH": "/usr/bin:/bin"} | more
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--kernel", kernel],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("count", [1, 2])
def test_it_tries_what_there_is(tmp_path: Path, count: int) -> None:
    done = bench(tmp_path, PAIR[:count])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks hold." in done.stdout
    assert f"{count} × NVIDIA H100 (80.0 GiB), found by NVML" in done.stdout
    assert ("they saw different GPUs" in done.stdout) == (count == 2)
    assert ("the second job waits while the first runs" in done.stdout) == (count == 1)


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = bench(tmp_path, ())
    assert (done.returncode, done.stderr) == (gpu.NO_GPU_EXIT_CODE, "")
    assert done.stdout.startswith("There is no GPU here that NVML, nvidia-smi, amd-smi or rocm-smi names: nothing was")


def test_a_job_that_fails_is_shown(tmp_path: Path) -> None:
    done = bench(tmp_path, PAIR[:1], "cupy")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: the job first failed: Essential container in task exited" in done.stdout
    assert "No module named 'cupy'" in done.stdout


def test_a_wrong_device_or_number_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    gpus = tuple(gpu.Gpu(number, number, "NVIDIA", uuid) for number, (uuid, _, _) in enumerate(PAIR))
    right = {
        "variables": {"CUDA_VISIBLE_DEVICES": "GPU-aaaa"},
        "devices": [{"name": "x", "uuid": "GPU-aaaa"}],
        "step": 3,
        "weight": 1.75,
    }
    check = gpu.Check()
    gpu.check_report(right, gpus, check)
    assert check.failed == 0
    other = [{"name": "x", "uuid": "GPU-bbbb"}]
    for wrong in ({"devices": other}, {"devices": other + other}, {"weight": 1.5}):
        before = check.failed
        gpu.check_report(right | wrong, gpus, check)
        assert check.failed > before
    assert "FAILED: and the one that it was assigned" in capsys.readouterr().out


def test_the_program_goes_on_from_its_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "checkpoint.json"
    checkpoint.write_text(json.dumps({"step": 2, "weight": 1.5}))
    assert gpu_program.main(["processor", "4", "0", str(tmp_path / "report.json"), str(checkpoint)]) == 0
    assert json.loads(checkpoint.read_text()) == {"step": 4, "weight": 1.875}
    assert json.loads(capsys.readouterr().out)["first_step"] == 2
    assert gpu.expected(4) == 1.875


def test_where_no_kernel_can_run_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> gpu_program.Kernel:
        raise ImportError("not installed")

    for name in ("torch", "cupy", "driver"):
        monkeypatch.setitem(gpu_program.KERNELS, name, missing)
    with pytest.raises(SystemExit, match="no kernel can run here: torch: not installed; cupy"):
        gpu_program.make_kernel("auto")


def test_its_jobs_find_what_the_bench_finds(tmp_path: Path) -> None:
    """A driver's library may be found by LD_LIBRARY_PATH alone, and torch by PYTHONPATH: jobs inherit neither."""
    (tmp_path / "cupy.py").write_text("import os\nraise ImportError('found, and ' + os.environ['LD_LIBRARY_PATH'])\n")
    done = bench(tmp_path, PAIR[:1], "cupy", LD_LIBRARY_PATH="/opt/driver")
    assert "ImportError: found, and /opt/driver" in done.stdout, done.stdout + done.stderr


def test_a_library_that_can_not_run_a_kernel_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch without code for this GPU, and cupy's wheel without a compiler: both are noticed at the first kernel."""

    class CompileError(Exception):
        pass

    def fails(error: Exception) -> Callable[..., Any]:
        def call(*arguments: Any, **members: Any) -> Any:
            raise error

        return call

    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: True), ones=fails(RuntimeError("no kernel image is available"))
    )
    compiler = SimpleNamespace(CompileException=CompileError)
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(compiler=compiler),
        zeros=lambda *size, **members: None,
        ElementwiseKernel=lambda *words: fails(CompileError("cannot open source file cuda_fp16.h")),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(gpu_program.KERNELS, "driver", gpu_program.Processor)
    assert gpu_program.make_kernel("auto").name == "processor"
    monkeypatch.setitem(gpu_program.KERNELS, "driver", fails(OSError("libcuda.so.1: no such file")))
    with pytest.raises(SystemExit) as ended:
        gpu_program.make_kernel("auto")
    assert str(ended.value) == (
        "no kernel can run here: torch: no kernel image is available; cupy: cannot open source file cuda_fp16.h; "
        "driver: libcuda.so.1: no such file"
    )


def test_a_uuid_that_is_cut_at_a_zero_byte_is_unknown() -> None:
    assert gpu_program._uuid(bytes(range(16))) == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert gpu_program._uuid(b"cut") == ""


LIBCUDA = Path(__file__).with_name("fake_libcuda.c")


def make_driver(directory: Path, target: str) -> None:
    """Makes a driver that compiles for this target alone, and computes on the processor."""
    options = ["-shared", "-fPIC", "-Wall", "-Werror", f'-DTARGET="{target}"']
    subprocess.run(["cc", *options, "-o", directory / "libcuda.so.1", LIBCUDA], check=True)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_drivers_kernel_over_a_made_up_driver(tmp_path: Path) -> None:
    """Each argument of its calls arrives as the type of its C declaration, and all of the bench holds."""
    make_driver(tmp_path, "sm_75")
    pair = tuple((f"GPU-{number:08x}-0405-0607-0809-0a0b0c0d0e0f", "NVIDIA H100", 80) for number in (1, 2))
    done = bench(tmp_path, pair, "auto", LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "saw made up 0, by driver" in done.stdout
    assert "and the one that it was assigned" in done.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(("target", "code"), [("sm_50", 0), ("sm_75", 0), ("sm_999", 1)])
def test_the_driver_may_compile_for_later_gpus_only(tmp_path: Path, target: str, code: int) -> None:
    make_driver(tmp_path, target)
    done = subprocess.run(
        [sys.executable, gpu_program.__file__, "driver", "2", "0", tmp_path / "report.json"],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": f"GPU-{UUID(int=7)}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert ("cuModuleLoadData ended with the CUDA error 218" in done.stderr) == bool(code)
    assert code or json.loads(done.stdout)["weight"] == gpu.expected(2)
