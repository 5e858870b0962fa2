"""ListAttempts: what was measured of each attempt that has ended."""

from pathlib import Path

import pytest

from batchyard.core.model.refusal import Refused
from batchyard.core.model.reports import ContainerExit, Exited
from tests.api.service import Service


def end_with(service: Service, job: str, exit_of: ContainerExit) -> None:
    service.start(job)
    service.tick(1000)
    service.report(
        Exited(service.launched[job].attempt_id, service.now_ms - 1000, service.now_ms, (exit_of,)),
    )


def test_what_was_measured_is_kept_for_each_attempt(tmp_path: Path) -> None:
    service = Service(tmp_path)
    try:
        service.make_queue()
        service.register()
        job = service.submit(retryStrategy={"attempts": 2})
        assert service.call("ListAttempts", {"jobId": job}) == {"attempts": []}
        end_with(service, job, ContainerExit(exit_code=1, peak_memory_mib=12, cpu_ms=345))
        end_with(service, job, ContainerExit(exit_code=0))
        assert service.call("ListAttempts", {"jobId": f"arn:aws:batch:us-east-1:123456789012:job/{job}"}) == {
            "attempts": [
                {"attempt": 1, "containers": [{"peakMemory": 12, "cpuMilliseconds": 345}]},
                {"attempt": 2, "containers": [{}]},  # nobody measured it
            ]
        }
        with pytest.raises(Refused, match="The job no-such-job does not exist"):
            service.call("ListAttempts", {"jobId": "no-such-job"})
    finally:
        service.close()


def test_the_instances_of_the_nodes_of_a_multi_node_job(service: Service) -> None:
    job = service.call("RunJob", {"command": ["true"], "nodes": 2, "memory": 2048})["jobId"]
    waits = service.call("RunJob", {"command": ["true"], "nodes": 2, "memory": 2048})["jobId"]
    here = "i-0123456789abcdef0"
    assert service.call("ListAttempts", {"jobId": job}) == {"attempts": [], "instanceIds": [here, here]}
    assert service.call("ListAttempts", {"jobId": waits}) == {"attempts": []}
