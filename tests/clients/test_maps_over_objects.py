"""Distributed Maps whose items and results are objects of an S3, in a service that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.clients.test_object_storage import bucket_of
from tests.server.running import Server
from tests.waiting import until

ROLE = "arn:aws:iam::123456789012:role/r"


def client_of(address: str, name: str = "stepfunctions") -> Any:
    return boto3.client(
        name,
        "us-east-1",
        endpoint_url=address,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(inject_host_prefix=False),
    )


def definition(execution_type: str = "STANDARD", **fields: Any) -> str:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": execution_type},
        "StartAt": "Double",
        "States": {
            "Double": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, $.n)"}, "End": True},
        },
    }
    state = {"Type": "Map", "Label": "numbers", "ItemProcessor": processor, "End": True, **fields}
    return json.dumps({"StartAt": "M", "States": {"M": state}})


def reader(key: str) -> dict[str, Any]:
    return {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket.$": "$.bucket", "Key": key},
    }


@pytest.fixture
def s3_keys(tmp_path: Path) -> Path:
    path = tmp_path / "s3-keys"
    path.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    path.chmod(0o600)
    return path


def finished(client: Any, machine: str, given: dict[str, Any]) -> dict[str, Any]:
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]

    def ended() -> Any:
        found = client.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None

    return dict(until(ended))


def test_a_map_reads_its_items_and_writes_its_results(tmp_path: Path, s3_server: str, s3_keys: Path) -> None:
    bucket_of(s3_server, "maps", {"numbers.json": json.dumps([{"n": number} for number in range(5)]).encode()})
    with Server(tmp_path, "--s3-endpoint", s3_server, "--s3-keys-file", str(s3_keys)) as server:
        client, s3 = client_of(server.address), client_of(s3_server, "s3")

        def run(name: str, text: str) -> dict[str, Any]:
            made = client.create_state_machine(name=name, definition=text, roleArn=ROLE)
            return finished(client, made["stateMachineArn"], {"bucket": "maps"})

        def stored(key: str) -> Any:
            return json.loads(s3.get_object(Bucket="maps", Key=key)["Body"].read())

        writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket.$": "$.bucket", "Prefix": "out"}}
        for kind in ("STANDARD", "EXPRESS"):
            ended = run(kind, definition(kind, ItemReader=reader("numbers.json"), ResultWriter=writer))
            result = json.loads(ended["output"])
            details = result["ResultWriterDetails"]
            manifest = stored(details["Key"])
            [file] = manifest["ResultFiles"]["SUCCEEDED"]
            outputs = [json.loads(child["Output"]) for child in stored(file["Key"])]
            assert outputs == [{"n": 2 * number} for number in range(5)]
            assert manifest["MapRunArn"] == result["MapRunArn"]
            assert (details["Bucket"], manifest["ResultFiles"]["FAILED"]) == ("maps", [])
        missing = run("missing", definition(ItemReader=reader("nope")))
        assert (missing["status"], missing["error"]) == ("FAILED", "States.ItemReaderFailed")
        assert missing["cause"].startswith("The specified key does not exist. (Service: S3, Status Code: 404, ")
