"""The Slurm that other tests stand on, and the faults of Slurm that the product has to stand."""

from __future__ import annotations

from tests.hosts.slurm_cluster import SlurmCluster
from tests.waiting import until

FAULT_SECONDS = 90.0  # several times SlurmdTimeout, after which slurmctld acts


def test_jobs_run_on_the_nodes(slurm: SlurmCluster) -> None:
    output = slurm.directory / "jobs"
    output.mkdir()
    for name in slurm.names:
        slurm.submit(f"#!/bin/sh\nhostname > {output}/$(hostname)\n", f"--nodelist={name}")
    until(lambda: sorted(path.name for path in output.iterdir()) == slurm.names, FAULT_SECONDS)


def test_a_node_without_power_is_down_and_its_job_is_gone(slurm: SlurmCluster) -> None:
    job_id = slurm.submit("#!/bin/sh\nsleep 1000\n", "--nodelist=n2", "--no-requeue")
    until(lambda: slurm.job_state(job_id) == "RUNNING", FAULT_SECONDS)
    slurm.power_off("n2")
    until(lambda: slurm.job_state(job_id) == "NODE_FAIL", FAULT_SECONDS, lambda: slurm.job_state(job_id))
    assert slurm.states()["n2"].startswith("down")
    slurm.power_on("n2")
    until(lambda: slurm.up() == slurm.names, FAULT_SECONDS, slurm.states)


def test_the_controller_is_killed_and_started_again(slurm: SlurmCluster) -> None:
    slurm.kill_controller()
    slurm.start_controller()
    until(lambda: slurm.up() == slurm.names, FAULT_SECONDS, slurm.states)
    job_id = slurm.submit("#!/bin/sh\nexit 0\n", "--nodelist=n3")
    until(lambda: slurm.job_state(job_id) == "COMPLETED", FAULT_SECONDS, lambda: slurm.job_state(job_id))
