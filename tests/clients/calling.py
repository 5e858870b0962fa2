"""What the clients here have in common: boto3 on a real service, and waiting as they do, by asking again."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from tests.server.running import Server
from tests.waiting import until

Document = dict[str, Any]

JOB_SECONDS = 60.0
FINAL = ("SUCCEEDED", "FAILED")


class Clients:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.batch = self.client("batch")
        self.logs = self.client("logs")
        self.ecs = self.client("ecs")
        self.ec2 = self.client("ec2")
        self.sts = self.client("sts")

    def client(self, service: str) -> Any:
        session = boto3.Session("any", "any", region_name="us-east-1")
        return session.client(service, endpoint_url=self.server.address, config=Config(proxies={}))

    def job(self, job_id: str) -> Document:
        (found,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(found)

    def ended(self, job_id: str) -> Document:
        """The job once it is final."""
        until(lambda: self.job(job_id)["status"] in FINAL, JOB_SECONDS, lambda: f"the end of {self.job(job_id)}")
        return self.job(job_id)

    def running(self, job_id: str) -> Document:
        until(lambda: self.job(job_id)["status"] == "RUNNING", JOB_SECONDS, lambda: f"the run of {self.job(job_id)}")
        return self.job(job_id)


def needs(vcpus: int, memory_mib: int) -> list[Document]:
    return [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": str(memory_mib)}]


def managed(kind: str, strategy: str, instance_type: str, max_vcpus: int) -> Document:
    """computeResources of an environment that launches instances of one type."""
    return {
        "type": kind,
        "allocationStrategy": strategy,
        "minvCpus": 0,
        "maxvCpus": max_vcpus,
        "instanceTypes": [instance_type],
        "instanceRole": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole",
        "subnets": ["subnet-abc123"],
        "securityGroupIds": ["sg-xyz789"],
    }
