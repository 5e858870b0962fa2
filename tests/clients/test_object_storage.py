"""The owner's S3, as Map states use it: objects and lists, against an S3 of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import boto3
import pytest

from batchyard.clock import wall_clock_ms
from batchyard.server.deliveries.http_client import Answer, HttpClient, Unreachable
from batchyard.server.settings.s3 import S3
from batchyard.server.workflows import object_storage
from batchyard.server.workflows.object_storage import ObjectStorage, StorageFailed

KEYS = ("AKIDEXAMPLE", "secret")


def bucket_of(address: str, name: str, objects: dict[str, bytes]) -> None:
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket=name)
    for key, body in objects.items():
        client.put_object(Bucket=name, Key=key, Body=body)


def with_storage(address: str, work: Callable[[ObjectStorage], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        client = HttpClient((), lambda: False)
        try:
            return await work(ObjectStorage(S3(address, KEYS), "us-east-1", client, wall_clock_ms))
        finally:
            await client.close()

    return asyncio.run(run())


def test_objects_are_read_written_and_listed(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket_of(s3_server, "storage", {"in/a b+é.json": b"[1]", "in/b": b"22", "other": b""})

    async def work(storage: ObjectStorage) -> None:
        assert await storage.get("storage", "in/a b+é.json") == b"[1]"
        await storage.put("storage", "out/x.json", b"{}")
        assert await storage.get("storage", "out/x.json") == b"{}"
        listed = [one async for one in storage.objects("storage", "in/")]
        assert [(one.key, one.size_bytes, one.storage_class) for one in listed] == [
            ("in/a b+é.json", 3, "STANDARD"),
            ("in/b", 2, "STANDARD"),
        ]
        assert all(one.modified_at > 1_700_000_000 and one.etag for one in listed)
        with pytest.raises(
            StorageFailed, match=r"The specified key does not exist.* \(Service: S3, Status Code: 404, "
        ):
            await storage.get("storage", "nope")
        with pytest.raises(StorageFailed, match=r"The specified bucket does not exist"):
            [one async for one in storage.objects("nowhere", "")]
        monkeypatch.setattr(object_storage, "MAX_OBJECT_BYTES", 2)
        assert await storage.get("storage", "in/b") == b"22"
        with pytest.raises(StorageFailed, match="has more than 2 bytes"):
            await storage.get("storage", "in/a b+é.json")

    with_storage(s3_server, work)


class Scripted(HttpClient):
    """Answers as told, one after the other."""

    def __init__(self, *answers: Answer | Exception) -> None:
        super().__init__((), lambda: False)
        self.answers = list(answers)
        self.urls: list[str] = []

    async def send(self, method: str, url: str, *_arguments: Any, **_options: Any) -> Answer:
        self.urls.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


PAGE = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Contents><Key>{}</Key><ETag>"e"</ETag>
<Size>5</Size><StorageClass>STANDARD</StorageClass><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>{}
</ListBucketResult>"""


def test_a_list_is_read_page_by_page() -> None:
    more = "<NextContinuationToken>a&amp;b</NextContinuationToken>"
    client = Scripted(*(Answer(200, {}, PAGE.format(key, rest).encode()) for key, rest in (("1", more), ("2", ""))))

    async def listed() -> list[str]:
        storage = ObjectStorage(S3("http://s3", None), "us-east-1", client, lambda: 0)
        return [one.key async for one in storage.objects("b", "x y")]

    assert asyncio.run(listed()) == ["1", "2"]
    assert client.urls == [
        "http://s3/b?list-type=2&prefix=x%20y",
        "http://s3/b?list-type=2&prefix=x%20y&continuation-token=a%26b",
    ]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Unreachable("gone"), Answer(503, {}, b""), Answer(200, {}, b"x")], b"x"),
        ([Unreachable("gone")] * 4, "S3 cannot be reached: gone"),
        (
            [Answer(500, {"x-amz-request-id": "i"}, b"no xml")] * 4,
            "S3 answered with status 500. (Service: S3, Status Code: 500, Request ID: i)",
        ),
        (
            [Answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")],
            "AccessDenied (Service: S3, Status Code: 403, Request ID: )",
        ),
        ([ValueError("bad header")], "S3 cannot be reached: bad header"),
    ],
)
def test_a_request_is_tried_again_where_that_may_help(
    answers: list[Answer | Exception], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_storage, "FIRST_PAUSE_SECONDS", 0.0)
    client = Scripted(*answers)
    storage = ObjectStorage(S3("http://s3", None), "us-east-1", client, lambda: 0)
    if isinstance(expected, bytes):
        assert asyncio.run(storage.get("b", "k")) == expected
    else:
        with pytest.raises(StorageFailed) as raised:
            asyncio.run(storage.get("b", "k"))
        assert str(raised.value) == expected
    assert client.answers == []
