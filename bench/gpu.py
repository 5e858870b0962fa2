"""One command that tries GPUs on a machine that has them:

    python -m bench.gpu

It starts a server of its own, and runs
- two jobs of one GPU each, at once on two GPUs, one after the other on one: a real kernel in each, what each saw, and
  what the ledger said meanwhile;
- a training job with a checkpoint, which is terminated, submitted again, and goes on where it was.

The kernel is torch's, cupy's or the CUDA driver's own, whichever is there (--kernel). Without a GPU it prints that and
ends with the exit code 77, as a test that was skipped. It has not run on a real GPU yet: its tests make up NVML, and a
driver that computes on the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from batchyard.cli.client import YARD, Client
from batchyard.cli.endpoint import find_endpoint
from batchyard.core.model.gpus import Gpu
from batchyard.engines.gpus import GpuFinder
from batchyard.server.settings.offered_gpus import described, offer
from bench import gpu_program
from bench.errors import BenchError
from bench.server import batch_client, running_server, wait_for

NO_GPU_EXIT_CODE = 77  # automake's, for a test that can't run here
JOB_MEMORY_MIB = 8192  # a process with torch and a CUDA context takes some GiB of the host
VCPUS = 4
STEPS = 20  # below 24 the weights are exact in float32
PAUSE_SECONDS = 0.01  # between steps
TRAINING_PAUSE_SECONDS = 0.3  # long enough to terminate in the middle
TERMINATE_AT_STEP = 5
JOB_SECONDS = 300.0  # a first import of torch from a cold disk, and the driver's first context
MAX_LOG_CHARACTERS = 2000  # of each job's log, where the bench failed
QUIET_SECONDS = 0.5  # that a job which must wait is watched for
# What a job does not inherit, and may need to find the driver's libraries, torch and cupy, and cupy's compiler.
PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_PATH", "CUDA_HOME")


class Check:
    """The checks of a run: each is printed, and one that fails makes the exit code 1."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, holds: bool, what: str) -> None:
        print(f"  {'ok' if holds else 'FAILED'}: {what}")
        self.failed += not holds


class Bench:
    def __init__(self, address: str, folder: Path, kernel: str) -> None:
        self._batch, self._own = batch_client(address), Client(find_endpoint(address, {}))
        self._folder, self._kernel = folder, kernel

    def submit(self, name: str, pause_seconds: float, checkpoint: str = "", release: str = "") -> str:
        """Submits a job of one GPU; its id. `checkpoint`, `release`: names of files."""
        program = Path(gpu_program.__file__).resolve()
        words = [sys.executable, str(program), self._kernel, str(STEPS), str(pause_seconds), str(self._path(name))]
        words += [str(self._folder / one) if one else "" for one in (checkpoint, release)]
        variables = [{"name": one, "value": os.environ[one]} for one in PASSED_ON if os.environ.get(one)]
        document = {"jobName": name, "command": words, "vcpus": 1, "memory": JOB_MEMORY_MIB, "gpus": 1}
        document["environment"] = variables
        return str(self._own.call("RunJob", document, YARD)["jobId"])

    def release(self, file: str) -> None:
        (self._folder / file).touch()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def report(self, name: str) -> dict[str, Any] | None:
        """What a job has noted so far; None: nothing yet."""
        try:
            found: dict[str, Any] = json.loads(self._path(name).read_text())
        except FileNotFoundError:
            return None
        return found

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._batch.describe_jobs(jobs=[job_id])["jobs"][0]
        return found

    def first_report(self, name: str, job_id: str) -> dict[str, Any]:
        """The job's first report. BenchError: it ended without one."""

        def look() -> dict[str, Any] | None:
            report = self.report(name)
            if report is None and self.job(job_id)["status"] == "FAILED":
                raise BenchError(f"the job {name} failed: {self._words(job_id)}")
            return report

        return wait_for(look, JOB_SECONDS, f"the first step of {name}")

    def end(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in ("SUCCEEDED", "FAILED") else None

        return wait_for(look, JOB_SECONDS, f"the end of {job_id}")

    def _words(self, job_id: str) -> str:
        job = self.job(job_id)
        return f"{job.get('statusReason', '')} {job['container'].get('reason', '')}"

    def terminate(self, job_id: str) -> None:
        self._batch.terminate_job(jobId=job_id, reason="The bench terminates it.")

    def free_gpus(self) -> int:
        (host,) = self._own.call("ListInstances", {}, YARD)["instances"]
        return int(host["free"]["gpus"])


def try_two_jobs(bench: Bench, gpus: tuple[Gpu, ...], check: Check) -> None:
    print(f"Two jobs of one GPU each, on {len(gpus)}:")
    names = ("first", "second")
    ids = [bench.submit(name, PAUSE_SECONDS, release=f"{name}.release") for name in names]
    reports = [bench.first_report("first", ids[0])]
    if len(gpus) > 1:
        reports.append(bench.first_report("second", ids[1]))
        check(bench.free_gpus() == len(gpus) - 2, "the ledger has two GPUs fewer while both run")
    else:
        check(bench.free_gpus() == 0, "the ledger has no GPU left while the first runs")
        time.sleep(QUIET_SECONDS)
        first_runs = bench.job(ids[0])["status"] == "RUNNING"
        second_waits = bench.job(ids[1])["status"] == "RUNNABLE" and bench.report("second") is None
        check(first_runs and second_waits, "the second job waits while the first runs")
        bench.release("first.release")
        bench.end(ids[0])
        reports.append(bench.first_report("second", ids[1]))
    for name, job_id in zip(names, ids, strict=True):
        bench.release(f"{name}.release")
        check(bench.end(job_id)["status"] == "SUCCEEDED", f"the {name} job succeeded")
    check(bench.free_gpus() == len(gpus), "the ledger has all GPUs again")
    for name in names:
        report = bench.report(name)
        assert report is not None, f"{name} ended without a report"
        show(name, report)
        check_report(report, gpus, check)
    if len(gpus) > 1:
        seen = [tuple(report["variables"].values()) for report in reports]
        check(seen[0] != seen[1], "they saw different GPUs")


def show(name: str, report: dict[str, Any]) -> None:
    variables = " ".join(f"{variable}={value}" for variable, value in report["variables"].items())
    print(f"  {name}: {variables}")
    print(f"    saw {', '.join(one['name'] for one in report['devices'])}, by {report['kernel']}")
    print(
        f"    {report['seconds_to_first_step']:.2f} s to the first step, {report['step_seconds'] * 1000:.2f} ms for "
        f"the last of {report['step']}, weight {report['weight']}"
    )


def check_report(report: dict[str, Any], gpus: tuple[Gpu, ...], check: Check) -> None:
    check(len(report["devices"]) == 1, "it saw one GPU")
    uuids = {one["uuid"] for one in report["devices"]} - {""}
    if uuids and gpus[0].uuid:
        check(uuids <= {gpu.uuid for gpu in gpus}, f"it is one of this machine's, {', '.join(sorted(uuids))}")
        assigned = report["variables"].get("ROCR_VISIBLE_DEVICES") or report["variables"]["CUDA_VISIBLE_DEVICES"]
        check(uuids == {assigned}, "and the one that it was assigned")
    check(report["weight"] == expected(report["step"]), f"{report['step']} steps of the kernel are right")


def expected(steps: int) -> float:
    """The weight after so many steps from 0."""
    return 2.0 * (1.0 - 0.5**steps)


def try_training(bench: Bench, check: Check) -> None:
    print("A training job, terminated and submitted again:")
    job_id = bench.submit("training", TRAINING_PAUSE_SECONDS, checkpoint="checkpoint.json")
    bench.first_report("training", job_id)

    def has_steps() -> bool | None:
        report = bench.report("training")
        return True if report and report["step"] >= TERMINATE_AT_STEP else None

    wait_for(has_steps, JOB_SECONDS, f"step {TERMINATE_AT_STEP}")
    bench.terminate(job_id)
    ended = bench.end(job_id)
    code = ended["attempts"][0]["container"].get("exitCode")
    check(ended["status"] == "FAILED", f"it ended {ended['status']} ({ended['statusReason']})")
    check(code == gpu_program.TERMINATED_EXIT_CODE, f"with the program's own exit code, {code}")
    report = bench.report("training")
    assert report is not None, "the training has no report"
    stopped_at = report["step"]
    check(TERMINATE_AT_STEP <= stopped_at < STEPS, f"after step {stopped_at} of {STEPS}")
    again = bench.end(bench.submit("resumed", PAUSE_SECONDS, checkpoint="checkpoint.json"))
    check(again["status"] == "SUCCEEDED", "the second one succeeded")
    report = bench.report("resumed")
    assert report is not None, "the resumed training has no report"
    check(report["first_step"] == stopped_at, f"it went on after step {report['first_step']}")
    check((report["step"], report["weight"]) == (STEPS, expected(STEPS)), "and came to the same weights")


def show_logs(data_dir: Path) -> None:
    """Prints the ends of the jobs' logs, which are removed with the server."""
    for path in sorted((data_dir / "logs").rglob("*.log")):
        print(f"  {path.name}: ...{path.read_text(errors='replace')[-MAX_LOG_CHARACTERS:]}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="Tries GPUs on a machine that has them.")
    choices = ("auto", *gpu_program.KERNELS)
    parser.add_argument("--kernel", choices=choices, default="auto", help="processor: no GPU, to try the bench itself")
    options = parser.parse_args(arguments)
    found = GpuFinder().find()
    gpus = offer(found, None).gpus
    if not gpus:
        why = f" ({found.problem})" if found.problem else ""
        print(f"There is no GPU here that NVML, nvidia-smi, amd-smi or rocm-smi names{why}: nothing was tried.")
        return NO_GPU_EXIT_CODE
    print(f"{described(gpus) or f'{len(gpus)} GPUs'}, found by {found.source}")
    check = Check()
    with (
        tempfile.TemporaryDirectory(prefix="batchyard-bench-") as folder,
        running_server(Path(folder), VCPUS) as server,
    ):
        bench = Bench(server.address, Path(folder), options.kernel)
        try:
            try_two_jobs(bench, gpus, check)
            try_training(bench, check)
        except BenchError as error:
            print(f"  FAILED: {error}")
            show_logs(server.data_dir)
            return 1
    print("All checks hold." if not check.failed else f"{check.failed} checks failed.")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
