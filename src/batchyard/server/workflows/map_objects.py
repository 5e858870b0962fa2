"""Reads the items of distributed Maps from the owner's S3, and writes their results there (step functions spec 12).

Both may be done again after a crash: reading changes nothing, and results go to the same keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec import Struct

from batchyard.evaluators.json_text import parse_json
from batchyard.server.workflows.item_formats import (
    MANIFEST,
    MAX_ITEMS,
    UnreadableItems,
    files_of_manifest,
    limited,
    read_items,
    unpacked,
    written,
)
from batchyard.server.workflows.object_storage import MAX_OBJECT_BYTES, ListedObject, ObjectStorage, StorageFailed

GET_OBJECT, LIST_OBJECTS = "s3:getObject", "s3:listObjectsV2"
READER_FAILED, WRITER_FAILED = "States.ItemReaderFailed", "States.ResultWriterFailed"
NO_ENDPOINT = "No S3 is configured: say where it is with s3_endpoint."
LOAD_AND_FLATTEN = "LOAD_AND_FLATTEN"
NONE, COMPACT, FLATTEN = "NONE", "COMPACT", "FLATTEN"
SUCCEEDED, FAILED, PENDING = "SUCCEEDED", "FAILED", "PENDING"
MAX_READING = 4  # objects at once, of all Maps: each may take MAX_OBJECT_BYTES of memory several times


class MapObjectsFailed(Exception):
    """Reading or writing has failed. The text is the cause; `error`: its name."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(cause)
        self.error = error


class ResultFile(Struct, frozen=True):
    """A file of results. `status`: which of the children are in it."""

    status: str
    key: str
    body: bytes


class MapObjects:
    """Reads and writes for Maps. `storage`: None where no S3 is configured."""

    def __init__(self, storage: ObjectStorage | None) -> None:
        self._storage = storage
        self._places = asyncio.Semaphore(MAX_READING)

    async def read(self, reader: Mapping[str, Any]) -> list[Any]:
        """Returns the items of an ItemReader, whose arguments are evaluated. Raises MapObjectsFailed."""
        try:
            return await self._read(self._configured(), reader)
        except (StorageFailed, UnreadableItems) as error:
            raise MapObjectsFailed(READER_FAILED, str(error)) from error

    async def write(
        self, writer: Mapping[str, Any], map_run_arn: str, results: list[dict[str, Any]]
    ) -> Mapping[str, Any]:
        """Writes the results of a map run, and a manifest of them. Returns what the Map has as its result: where they
        are. `results`: the children as DescribeExecution has them, in PascalCase. Raises MapObjectsFailed."""
        arguments = _arguments(writer)
        bucket, prefix = str(arguments.get("Bucket", "")), str(arguments.get("Prefix", "")).strip("/")
        folder = (prefix + "/" if prefix else "") + map_run_arn.rpartition(":")[2]
        manifest_key = f"{folder}/manifest.json"
        config = writer.get("WriterConfig", {})
        files = await asyncio.to_thread(_result_files, folder, config, results)
        manifest = {
            "DestinationBucket": bucket,
            "MapRunArn": map_run_arn,
            "ResultFiles": {
                status: [{"Key": file.key, "Size": len(file.body)} for file in files if file.status == status]
                for status in (FAILED, PENDING, SUCCEEDED)
            },
        }
        try:
            storage = self._configured()
            for file in files:
                await storage.put(bucket, file.key, file.body)
            await storage.put(bucket, manifest_key, written([manifest], "JSON")[1:-1])
        except StorageFailed as error:
            raise MapObjectsFailed(WRITER_FAILED, str(error)) from error
        return {"MapRunArn": map_run_arn, "ResultWriterDetails": {"Bucket": bucket, "Key": manifest_key}}

    def _configured(self) -> ObjectStorage:
        if self._storage is None:
            raise StorageFailed(NO_ENDPOINT)
        return self._storage

    async def _read(self, storage: ObjectStorage, reader: Mapping[str, Any]) -> list[Any]:
        arguments, config = _arguments(reader), reader.get("ReaderConfig", {})
        bucket = _text(arguments, "Bucket")
        resource = str(reader.get("Resource", ""))
        if resource.endswith(LIST_OBJECTS):
            listed = storage.objects(bucket, str(arguments.get("Prefix", "")))
            if config.get("Transformation") == LOAD_AND_FLATTEN:
                keys = [one.key async for one in _bounded(listed) if not one.key.endswith("/")]
                return await self._flattened(storage, [(bucket, key) for key in keys], config)
            return limited(iter([_item(one) async for one in _bounded(listed)]), config)
        key = _text(arguments, "Key")
        if config.get("InputType") == MANIFEST:
            data = await self._get(storage, bucket, key)
            files, inner = files_of_manifest(data, config, bucket)
            return limited(iter(await self._flattened(storage, files, inner)), config)
        async with self._places:
            data = await self._get(storage, bucket, key, str(arguments.get("VersionId", "")))
            return await asyncio.to_thread(read_items, data, config)

    async def _flattened(
        self, storage: ObjectStorage, files: list[tuple[str, str]], config: Mapping[str, Any]
    ) -> list[Any]:
        """Returns the items of several objects, one after the other."""
        items: list[Any] = []
        for bucket, key in files:
            async with self._places:
                data = await self._get(storage, bucket, key)
                items += await asyncio.to_thread(read_items, data, config)
            if len(items) > MAX_ITEMS or len(items) >= config.get("MaxItems", MAX_ITEMS + 1):
                break
        return limited(iter(items), config)

    async def _get(self, storage: ObjectStorage, bucket: str, key: str, version_id: str = "") -> bytes:
        data = await storage.get(bucket, key, version_id)
        return await asyncio.to_thread(unpacked, key, data, MAX_OBJECT_BYTES)


def _arguments(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the evaluated arguments of a reader or writer, whichever of the query languages it has."""
    found = owner.get("Arguments", owner.get("Parameters", {}))
    return found if isinstance(found, Mapping) else {}


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableItems(f"The ItemReader needs a {name}, which is a text.")
    return value


async def _bounded(listed: AsyncIterator[ListedObject]) -> AsyncIterator[ListedObject]:
    """Yields as many entries as are needed to see that there are too many."""
    count = 0
    async for one in listed:
        yield one
        count += 1
        if count > MAX_ITEMS:
            return


def _item(one: ListedObject) -> dict[str, Any]:
    return {
        "Etag": one.etag,
        "Key": one.key,
        "LastModified": one.modified_at,
        "Size": one.size_bytes,
        "StorageClass": one.storage_class,
    }


# -- results --


def _result_files(folder: str, config: Mapping[str, Any], results: list[dict[str, Any]]) -> list[ResultFile]:
    """Returns the files: children that succeeded, that failed, and that were cut off."""
    output_type = str(config.get("OutputType", "JSON"))
    transformation = str(config.get("Transformation", NONE))
    by_status: dict[str, list[Any]] = {}
    for one in results:
        status = one["Status"] if one["Status"] in (SUCCEEDED, PENDING) else FAILED
        by_status.setdefault(status, []).append(one)
    files = []
    for status, children in by_status.items():
        shown = _transformed(children, transformation) if status == SUCCEEDED else children
        key = f"{folder}/{status}_0.{output_type.lower()}"
        files.append(ResultFile(status, key, written(shown, output_type)))
    return files


def _transformed(children: list[dict[str, Any]], transformation: str) -> list[Any]:
    """Returns children that succeeded as WriterConfig says: as they are, their outputs, or what these lists have."""
    if transformation == NONE:
        return children
    outputs = [_output(one) for one in children]
    if transformation == COMPACT:
        return outputs
    return [inner for output in outputs for inner in (output if isinstance(output, list) else [output])]


def _output(child: Mapping[str, Any]) -> Any:
    return parse_json(child["Output"])
