"""Who a caller is to STS: by the real server, with signatures of the scope `sts` and of others."""

import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.running import Server, command
from tests.waiting import until

USER = "arn:aws:iam::123456789012:user/"


def client(server: Server, service: str, key: tuple[str, str]) -> Any:
    session = boto3.Session(*key, region_name="us-east-1")
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    return session.client(service, endpoint_url=server.address, config=config)


def test_a_key_is_a_user_of_its_name_and_is_verified(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert client(server, "sts", ("any", "any")).get_caller_identity()["Arn"] == f"{USER}any"
        added = command(tmp_path, "keys", "add", "ci", "--data-dir", str(server.data_dir)).stdout
        key = dict(line.split("=", 1) for line in added.splitlines())
        pair = key["AWS_ACCESS_KEY_ID"], key["AWS_SECRET_ACCESS_KEY"]
        found = client(server, "sts", pair).get_caller_identity()
        assert (found["Arn"], found["UserId"], found["Account"]) == (f"{USER}ci", pair[0], "123456789012")
        for wrong, sts, ec2 in (
            ((pair[0], "wrong"), ("SignatureDoesNotMatch", 403), ("AuthFailure", 401)),
            (("none", "none"), ("InvalidClientTokenId", 403), ("AuthFailure", 401)),
        ):
            assert refused(client(server, "sts", wrong).get_caller_identity) == sts
            assert refused(client(server, "ec2", wrong).describe_instances) == ec2
            code, status = refused(client(server, "ecs", wrong).list_clusters)
            assert (code in ("InvalidSignatureException", "UnrecognizedClientException"), status) == (True, 403)
        assert client(server, "ec2", pair).describe_instances()["Reservations"]


def refused(call: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_job_is_the_role_of_its_attempt(tmp_path: Path) -> None:
    ask = (
        "import boto3, os; "
        "sts = boto3.client('sts', endpoint_url=os.environ['AWS_ENDPOINT_URL_BATCH']); "
        "print(sts.get_caller_identity()['Arn'])"
    )
    with Server(tmp_path) as server:
        job_id = server.submit([sys.executable, "-c", ask])
        until(lambda: server.status(job_id) == "SUCCEEDED", 30)
        (job,) = client(server, "batch", ("any", "any")).describe_jobs(jobs=[job_id])["jobs"]
        task_id = job["container"]["taskArn"].rpartition("/")[2]
        (log,) = (server.data_dir / "logs").rglob("*.log")
        expected = f"arn:aws:sts::123456789012:assumed-role/batchyard-job/{task_id}"
        assert log.read_text().strip().partition("\t")[2] == expected
