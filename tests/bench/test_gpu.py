"""The bench of GPUs on a machine without any: over made-up ones, with a kernel for the processor; and what it says
where there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    directory: Path, gpus: tuple[tuple[str, str, int], ...], kernel: str = "processor"
) -> subprocess.CompletedProcess[str]:
    (directory / "pynvml.py").write_text(MODULE.format(gpus=gpus))
    variables = dict(os.environ) | {"PYTHONPATH": f"{directory}:{ROOT}", "PATH": "/usr/bin:/bin"}
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
