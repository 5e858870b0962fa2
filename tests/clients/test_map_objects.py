"""Items and results of distributed Maps in an S3 of the tests' own."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from batchyard.clock import wall_clock_ms
from batchyard.server.deliveries.http_client import HttpClient
from batchyard.server.settings.s3 import S3
from batchyard.server.workflows.map_objects import MapObjects, MapObjectsFailed
from batchyard.server.workflows.object_storage import ObjectStorage
from tests.clients.test_object_storage import KEYS, bucket_of

MAP_RUN = "arn:aws:states:us-east-1:123456789012:mapRun:m/label:0b6a1c3e"
INVENTORY = {"fileFormat": "CSV", "fileSchema": "Bucket, Key", "files": [{"key": "inventory/1.csv.gz"}]}
OBJECTS = {
    "in/1.json": b'[{"a": 1}, 2]',
    "in/2.json": b"[3]",
    "in/": b"",
    "lines.jsonl": b"1\n2\n",
    "manifest.json": json.dumps(INVENTORY).encode(),
    "inventory/1.csv.gz": gzip.compress(b'"b","k1"\n"b","k2"\n'),
}


def with_objects(address: str, bucket: str, work: Callable[[MapObjects, ObjectStorage], Awaitable[Any]]) -> Any:
    bucket_of(address, bucket, OBJECTS)

    async def run() -> Any:
        client = HttpClient((), lambda: False)
        try:
            storage = ObjectStorage(S3(address, KEYS), "us-east-1", client, wall_clock_ms)
            return await work(MapObjects(storage), storage)
        finally:
            await client.close()

    return asyncio.run(run())


def reader(action: str, config: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return {"Resource": f"arn:aws:states:::s3:{action}", "ReaderConfig": config, "Arguments": arguments}


def test_items_are_read(s3_server: str) -> None:
    async def work(objects: MapObjects, storage: ObjectStorage) -> None:
        bucket = "items"
        assert await objects.read(reader("getObject", {"InputType": "JSON"}, Bucket=bucket, Key="in/1.json")) == [
            {"a": 1},
            2,
        ]
        lines = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": bucket, "Key": "lines.jsonl"}}
        assert await objects.read(lines | {"ReaderConfig": {"InputType": "JSONL", "MaxItems": 1}}) == [1]
        inventory = reader("getObject", {"InputType": "MANIFEST"}, Bucket=bucket, Key="manifest.json")
        assert await objects.read(inventory) == [{"Bucket": "b", "Key": "k1"}, {"Bucket": "b", "Key": "k2"}]
        listed = await objects.read(reader("listObjectsV2", {}, Bucket=bucket, Prefix="in/"))
        assert [(one["Key"], one["Size"]) for one in listed] == [("in/", 0), ("in/1.json", 13), ("in/2.json", 3)]
        assert set(listed[0]) == {"Etag", "Key", "LastModified", "Size", "StorageClass"}
        assert len(await objects.read(reader("listObjectsV2", {"MaxItems": 2}, Bucket=bucket, Prefix="in/"))) == 2
        flattened = reader(
            "listObjectsV2", {"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSON"}, Bucket=bucket, Prefix="in/"
        )
        assert await objects.read(flattened) == [{"a": 1}, 2, 3]

    with_objects(s3_server, "items", work)


def test_what_cannot_be_read_fails_the_reader(s3_server: str) -> None:
    async def work(objects: MapObjects, storage: ObjectStorage) -> None:
        for found, cause in (
            (reader("getObject", {}, Bucket="faults", Key="nope"), "The specified key does not exist. (Service: S3, "),
            (reader("getObject", {}, Bucket="faults"), "The ItemReader needs a Key, which is a text."),
            (reader("getObject", {}, Bucket="faults", Key="lines.jsonl"), "The object is no JSON: "),
        ):
            with pytest.raises(MapObjectsFailed) as raised:
                await objects.read(found)
            assert raised.value.error == "States.ItemReaderFailed"
            assert str(raised.value).startswith(cause)

    with_objects(s3_server, "faults", work)


def child(number: int, status: str, output: Any) -> dict[str, Any]:
    return {"Name": f"c{number}", "Status": status, "Output": json.dumps(output)}


def test_results_are_written_with_a_manifest(s3_server: str) -> None:
    children = [child(1, "SUCCEEDED", [1, 2]), child(2, "FAILED", None), child(3, "SUCCEEDED", {"a": 3})]

    async def work(objects: MapObjects, storage: ObjectStorage) -> None:
        writer: dict[str, Any] = {"Resource": "r", "Parameters": {"Bucket": "results", "Prefix": "out/"}}
        details = {"Bucket": "results", "Key": "out/0b6a1c3e/manifest.json"}
        for _ in range(2):  # again after a crash: to the same places
            assert await objects.write(writer, MAP_RUN, children) == {
                "MapRunArn": MAP_RUN,
                "ResultWriterDetails": details,
            }
        manifest = json.loads(await storage.get("results", "out/0b6a1c3e/manifest.json"))
        succeeded = await storage.get("results", "out/0b6a1c3e/SUCCEEDED_0.json")
        failed = await storage.get("results", "out/0b6a1c3e/FAILED_0.json")
        assert manifest == {
            "DestinationBucket": "results",
            "MapRunArn": MAP_RUN,
            "ResultFiles": {
                "FAILED": [{"Key": "out/0b6a1c3e/FAILED_0.json", "Size": len(failed)}],
                "PENDING": [],
                "SUCCEEDED": [{"Key": "out/0b6a1c3e/SUCCEEDED_0.json", "Size": len(succeeded)}],
            },
        }
        assert json.loads(succeeded) == [children[0], children[2]]
        assert json.loads(failed) == [children[1]]
        for transformation, lines in (("COMPACT", b'[1,2]\n{"a":3}\n'), ("FLATTEN", b'1\n2\n{"a":3}\n')):
            config = {"OutputType": "JSONL", "Transformation": transformation}
            await objects.write(writer | {"WriterConfig": config}, MAP_RUN, children)
            assert await storage.get("results", "out/0b6a1c3e/SUCCEEDED_0.jsonl") == lines
        with pytest.raises(MapObjectsFailed) as raised:
            await objects.write({"Parameters": {"Bucket": "nowhere"}}, MAP_RUN, children)
        assert raised.value.error == "States.ResultWriterFailed"

    with_objects(s3_server, "results", work)


def test_without_an_s3_both_fail() -> None:
    async def work() -> None:
        objects = MapObjects(None)
        with pytest.raises(MapObjectsFailed, match="No S3 is configured"):
            await objects.read(reader("getObject", {}, Bucket="b", Key="k"))
        with pytest.raises(MapObjectsFailed, match="No S3 is configured"):
            await objects.write({}, MAP_RUN, [])

    asyncio.run(work())
