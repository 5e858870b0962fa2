"""The commands of batch_systems.slurm, carried out by a real Slurm."""

from __future__ import annotations

import os
import subprocess

import pytest

from batchyard.batch_systems.batch_system import JobState, NodeKind, PilotJob, PilotRequest, job_script
from batchyard.batch_systems.slurm import SLURM
from tests.hosts.slurm_cluster import CPUS, NODE_MEMORY_MIB, SlurmCluster
from tests.waiting import until

JOB_SECONDS = 60.0
SERVICE = "0a1b2c3d"
SECRET = "token-that-only-its-owner-may-see"
INSTANCES = iter(f"i-{number:017x}" for number in range(100))


def submit(slurm: SlurmCluster, request: PilotRequest, *command: str) -> str:
    script = job_script({"BATCHYARD_JOIN_TOKEN": SECRET}, command, request.walltime_seconds)
    words = SLURM.submit.words(SLURM.values(request))
    done = subprocess.run(
        slurm.controller.command(words),
        env={**os.environ, **slurm.environment, "OF_THE_SERVICE": "1"},
        input=script,
        capture_output=True,
        text=True,
        check=True,
    )
    return SLURM.read_job_id(done.stdout)


def listed(slurm: SlurmCluster, instance_id: str) -> PilotJob | None:
    answer = slurm.run(*SLURM.list_jobs.words({})).stdout
    return next((job for job in SLURM.read_jobs(answer) if job.instance_id == instance_id), None)


def state_of(slurm: SlurmCluster, instance_id: str) -> JobState | None:
    job = listed(slurm, instance_id)
    return None if job is None else job.state


def test_a_pilot_is_submitted_listed_and_cancelled(slurm: SlurmCluster) -> None:
    instance = next(INSTANCES)
    job_id = submit(slurm, PilotRequest(SERVICE, instance, "batch", vcpus=2, memory_mib=512), "sleep", "1000")
    until(lambda: state_of(slurm, instance) is JobState.RUNNING, JOB_SECONDS)
    found = listed(slurm, instance)
    assert found is not None
    assert (found.job_id, found.service_id, found.detail) == (job_id, SERVICE, "RUNNING")
    slurm.run(*SLURM.cancel.words({"job_id": found.job_id}))
    until(lambda: state_of(slurm, instance) is JobState.ENDED, JOB_SECONDS)


def test_a_pilot_has_its_own_environment_alone(slurm: SlurmCluster) -> None:
    output = slurm.directory / "environment"
    request = PilotRequest(SERVICE, next(INSTANCES), "batch", memory_mib=100, walltime_seconds=600)
    submit(slurm, request, "sh", "-c", f"env > {output}.new; mv {output}.new {output}")
    until(output.exists, JOB_SECONDS)
    found = dict(line.split("=", 1) for line in output.read_text().splitlines() if "=" in line)
    assert found["BATCHYARD_JOIN_TOKEN"] == SECRET
    assert int(found["BATCHYARD_JOIN_EXPIRES_AT"]) > 0
    assert found["HOME"].startswith("/")
    assert "OF_THE_SERVICE" not in found


def test_no_listing_shows_the_token(slurm: SlurmCluster) -> None:
    request = PilotRequest(SERVICE, next(INSTANCES), "batch", memory_mib=100)
    job_id = submit(slurm, request, "sleep", "1000")
    shown = slurm.run("scontrol", "--details", "show", "job", job_id).stdout
    shown += slurm.run("squeue", "--Format=ALL", f"--jobs={job_id}", check=False).stdout
    shown += slurm.run("squeue", "--format=%all", f"--jobs={job_id}").stdout
    assert request.name in shown
    assert SECRET not in shown
    slurm.run(*SLURM.cancel.words({"job_id": job_id}))


def test_a_whole_node_with_gpus_is_one_pilots_alone(slurm: SlurmCluster) -> None:
    first, second = next(INSTANCES), next(INSTANCES)
    whole = PilotRequest(SERVICE, first, "batch", is_whole_node=True, vcpus=CPUS, memory_mib=NODE_MEMORY_MIB, gpus=2)
    one = submit(slurm, whole, "sleep", "1000")
    until(lambda: state_of(slurm, first) is JobState.RUNNING, JOB_SECONDS)
    other = submit(slurm, PilotRequest(SERVICE, second, "batch", gpus=1, memory_mib=100), "sleep", "1000")
    until(lambda: listed(slurm, second), JOB_SECONDS)
    assert state_of(slurm, second) is JobState.QUEUED
    for job_id in (one, other):
        slurm.run(*SLURM.cancel.words({"job_id": job_id}))


def test_a_request_that_slurm_refuses(slurm: SlurmCluster) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        submit(slurm, PilotRequest(SERVICE, next(INSTANCES), "no-such-partition"), "true")
    assert "invalid partition" in refused.value.stderr


def test_the_nodes_of_a_partition(slurm: SlurmCluster) -> None:
    assert SLURM.nodes is not None
    assert SLURM.read_nodes is not None
    answer = slurm.run(*SLURM.nodes.words({"partition": "batch"})).stdout
    sizes = {(kind.vcpus, kind.memory_mib, kind.gpus, kind.count) for kind in SLURM.read_nodes(answer)}
    assert sizes == {(CPUS, NODE_MEMORY_MIB, 0, 2), (CPUS, NODE_MEMORY_MIB, 2, 1)}
    answer = slurm.run(*SLURM.nodes.words({"partition": "short"})).stdout
    assert SLURM.read_nodes(answer) == (NodeKind(CPUS, NODE_MEMORY_MIB, count=1, max_walltime_seconds=600),)
