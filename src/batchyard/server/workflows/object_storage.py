"""The owner's S3, as Map states read items from it and write results to it: objects and lists, signed with its keys."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import http
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, ParseError, fromstring

from msgspec import Struct

from batchyard.server.deliveries.http_client import Answer, Forbidden, HttpClient, Unreachable
from batchyard.server.settings.s3 import S3
from batchyard.wire.sigv4 import sign

MAX_OBJECT_BYTES = 64 * 1024 * 1024  # read at once: items of a Map are kept until it ends
TIMEOUT_SECONDS = 60.0  # of one request
TRIES = 4  # of a request that got no answer, or one that asks for another try
FIRST_PAUSE_SECONDS = 0.2  # before the second try; doubled after each
TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
SUCCESS = (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT)


class StorageFailed(Exception):
    """A request has failed for good. The text is a sentence for people, with the error of S3 where it gave one."""


class ListedObject(Struct, frozen=True):
    """An entry of a list. `modified_at`: seconds since the epoch."""

    key: str
    etag: str
    size_bytes: int
    storage_class: str
    modified_at: int


class ObjectStorage:
    """Used by one event loop. `now_ms`: the time of signatures."""

    def __init__(self, s3: S3, region: str, client: HttpClient, now_ms: Callable[[], int]) -> None:
        self._s3, self._region, self._client, self._now_ms = s3, region, client, now_ms

    async def get(self, bucket: str, key: str, version_id: str = "") -> bytes:
        """Returns the bytes of an object. Raises StorageFailed, also for one of more than MAX_OBJECT_BYTES."""
        query = {"versionId": version_id} if version_id else {}
        body = (await self._request("GET", _path(bucket, key), query)).body
        if len(body) > MAX_OBJECT_BYTES:
            raise StorageFailed(f"The object s3://{bucket}/{key} has more than {MAX_OBJECT_BYTES} bytes.")
        return body

    async def put(self, bucket: str, key: str, body: bytes) -> None:
        """Writes an object. Raises StorageFailed."""
        await self._request("PUT", _path(bucket, key), {}, body)

    async def objects(self, bucket: str, prefix: str) -> AsyncIterator[ListedObject]:
        """Yields the objects whose keys begin with the prefix, in their order. Raises StorageFailed."""
        query = {"list-type": "2", "prefix": prefix}
        while True:
            answer = await self._request("GET", _path(bucket, ""), query)
            try:
                page = fromstring(answer.body)
                for entry in page.iterfind("{*}Contents"):
                    yield _listed(entry)
            except (ParseError, ValueError) as error:
                raise StorageFailed(f"The list of s3://{bucket}/{prefix} cannot be read: {error}.") from error
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    async def _request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Answer:
        pause_seconds = FIRST_PAUSE_SECONDS
        for _ in range(TRIES - 1):
            try:
                answer = await self._send(method, path, query, body)
            except Unreachable:
                pass
            else:
                if answer.status not in TRY_AGAIN:
                    return _succeeded(answer)
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
        try:
            return _succeeded(await self._send(method, path, query, body))
        except Unreachable as error:
            raise StorageFailed(f"S3 cannot be reached: {error}") from error

    async def _send(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        url = self._s3.endpoint + path + (f"?{urlencode(query, quote_via=quote, safe='')}" if query else "")
        headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        if self._s3.keys is not None:
            key_id, secret = self._s3.keys
            headers = sign(
                method,
                url,
                headers,
                body,
                access_key=key_id,
                secret_key=secret,
                session_token=None,
                region=self._region,
                service="s3",
                now_ms=self._now_ms(),
            )
            del headers["Host"]  # the client sends it itself
        try:
            return await self._client.send(method, url, headers, body, TIMEOUT_SECONDS, MAX_OBJECT_BYTES + 1)
        except (Forbidden, ValueError) as error:
            raise StorageFailed(f"S3 cannot be reached: {error}") from error


def _path(bucket: str, key: str) -> str:
    return f"/{quote(bucket, safe='')}" + (f"/{quote(key, safe='/-_.~')}" if key else "")


def _listed(entry: Element) -> ListedObject:
    texts = {
        name: entry.findtext(f"{{*}}{name}") or "" for name in ("Key", "ETag", "Size", "StorageClass", "LastModified")
    }
    modified = datetime.datetime.fromisoformat(texts["LastModified"])
    return ListedObject(
        texts["Key"], texts["ETag"], int(texts["Size"]), texts["StorageClass"], int(modified.timestamp())
    )


def _succeeded(answer: Answer) -> Answer:
    """Returns an answer of success. Raises StorageFailed with the error of any other, as the SDK of Java prints it."""
    if answer.status in SUCCESS:
        return answer
    try:
        error = fromstring(answer.body)
        message = error.findtext("{*}Message") or error.findtext("{*}Code") or ""
    except ParseError:
        message = ""
    request_id = answer.headers.get("x-amz-request-id", "")
    message = message or f"S3 answered with status {answer.status}."
    raise StorageFailed(f"{message} (Service: S3, Status Code: {answer.status}, Request ID: {request_id})")
