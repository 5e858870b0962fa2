"""The dispatcher, with made-up operations: what goes in comes to its function, and every failure has its answer."""

import asyncio
import gzip
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.context import Call
from batchyard.core.model.refusal import Refused
from batchyard.server.access.access import Access, Rules
from batchyard.server.access.keys import Key, KeyFile
from batchyard.server.access.peers import PeerUser
from batchyard.server.http.app import MAX_UNFINISHED_BODIES, MAX_UNFINISHED_BODIES_OF_ONE, PEER, App, Dispatch, Handler
from batchyard.server.http.routes import Asgi, Route, Routes, credentials_route, health_route, metadata_route
from batchyard.wire.messages import WireError
from batchyard.wire.model import load_service_model
from batchyard.wire.router import Router
from batchyard.wire.sigv4 import sign

NOW_MS = 1_790_000_000_000
LIMIT_BYTES = 64 * 1024
ROUTER = Router([load_service_model(name) for name in ("batch", "logs", "sts")], body_limit_bytes=LIMIT_BYTES)


class TooMuch(Exception):
    pass


class Gone(Exception):
    pass


class Answer:
    def __init__(self, messages: list[Any]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body: bytes = body["body"]
        assert self.headers["content-length"] == str(len(self.body))
        assert len(self.headers["x-amzn-requestid"]) == 36

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.headers.get("x-amzn-errortype", "")


def dispatcher(
    tmp_path: Path,
    handlers: dict[tuple[str, str], Handler],
    *,
    aws_error_texts: bool = False,
    waiting: frozenset[tuple[str, str]] = frozenset(),
) -> App:
    access = Access(
        Rules("127.0.0.1", bound_to_loopback=True), KeyFile(tmp_path / "keys.json"), Key("OP", "s"), lambda: NOW_MS, 7
    )
    return App(ROUTER, handlers, access, Dispatch(LIMIT_BYTES, (TooMuch,), (Gone,), aws_error_texts, waiting))


def app(tmp_path: Path, handlers: dict[tuple[str, str], Handler], *, aws_error_texts: bool = False) -> Asgi:
    async def metadata(token: str, rest: str) -> dict[str, Any] | None:
        return {"token": token, "rest": rest} if token == "good" else None

    def credentials(attempt_id: str, authorization: str) -> dict[str, Any]:
        if authorization != "shown":
            raise WireError("AccessDeniedException", "Show it.", 403)
        return {"of": attempt_id}

    routes = [health_route(lambda: {"role": "active"}), metadata_route(metadata), credentials_route(credentials)]
    return Routes(routes, dispatcher(tmp_path, handlers, aws_error_texts=aws_error_texts))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("is_bare", [False, True])
def test_refusals_come_within_the_words_of_aws_where_they_are_wanted(
    tmp_path: Path, wrapped: bool, is_bare: bool
) -> None:
    async def refuse(call: Call, document: dict[str, Any]) -> dict[str, Any]:
        raise Refused("No.", is_bare=is_bare)

    handlers: dict[tuple[str, str], Handler] = {("batch", "DescribeJobQueues"): refuse}
    answer = send(app(tmp_path, handlers, aws_error_texts=wrapped), "/v1/describejobqueues")
    request_id = answer.headers["x-amzn-requestid"]
    words = f"Error executing request, Exception : No., RequestId: {request_id}"
    assert (answer.status, answer.code) == (400, "ClientException")
    assert answer.json["message"] == (words if wrapped and not is_bare else "No.")


def test_only_what_batch_itself_refuses_is_wrapped(tmp_path: Path) -> None:
    """A member that its shape has no room for is; not broken JSON and what is not built."""
    one = app(tmp_path, {}, aws_error_texts=True)
    words = "Error executing request, Exception : "
    missing = send(one, "/v1/describejobs").json["message"]
    assert missing.startswith(f"{words}jobs is required., RequestId: ")
    typed = send(one, "/v1/describejobqueues", b'{"maxResults": "x"}').json["message"]
    assert typed.startswith(f"{words}maxResults must be an integer")
    assert send(one, "/v1/describejobqueues", b"{").json["message"] == "An error occurred during JSON parsing"
    assert send(one, "/v1/describejobqueues").json["message"].startswith("DescribeJobQueues is not built")


def send(
    app: Asgi,
    path: str,
    body: bytes | list[bytes] = b"{}",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    uid: int = 7,
) -> Answer:
    chunks = body if isinstance(body, list) else [body]
    pending = [{"type": "http.request", "body": c, "more_body": i < len(chunks) - 1} for i, c in enumerate(chunks)]
    return Answer(exchange(app, scope_of(path, b"".join(chunks), method, headers, uid), pending))


def scope_of(
    path: str, whole: bytes, method: str = "POST", headers: dict[str, str] | None = None, uid: int = 7
) -> dict[str, Any]:
    """A request signed as `whole` would be."""
    made = sign(
        method,
        f"http://localhost{path}",
        {},
        whole,
        access_key="any",
        secret_key="any",
        session_token=None,
        region="us-east-1",
        service="batch",
        now_ms=NOW_MS,
    )
    sent = {name.lower(): value for name, value in made.items()} | (headers or {})
    raw_path, _, query = path.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": raw_path,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 5),
        "state": {PEER: PeerUser(uid)},
    }


def exchange(app: Asgi, scope: dict[str, Any], pending: list[dict[str, Any]]) -> list[Any]:
    """What the app sends for `scope` and these pieces of a body."""
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        return pending.pop(0)

    async def take(message: Any) -> None:
        messages.append(message)

    asyncio.run(app(scope, receive, take))
    return messages


def failing(error: BaseException) -> dict[tuple[str, str], Handler]:
    async def fail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return {("batch", "CancelJob"): fail}


def test_an_operation_that_waits_ends_when_its_caller_disconnects(tmp_path: Path) -> None:
    """What it waits for, a task for a worker, would go to nobody."""
    ended: list[str] = []

    async def wait(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(call.operation)
        return {}

    waiting = frozenset({("batch", "CancelJob")})
    made = dispatcher(tmp_path, {("batch", "CancelJob"): wait}, waiting=waiting)
    pieces = [{"type": "http.request", "body": CANCEL}, {"type": "http.disconnect"}]
    assert exchange(made, scope_of("/v1/canceljob", CANCEL), pieces) == []
    assert ended == ["CancelJob"]


CANCEL = b'{"jobId":"x","reason":"y"}'


def test_a_request_reaches_its_function_and_the_answer_its_caller(tmp_path: Path) -> None:
    seen: list[tuple[Call, dict[str, Any]]] = []

    async def describe(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        seen.append((call, request))
        return {"jobs": []}

    body = [b'{"jobs":["a"],', b'"other":1}']
    answer = send(
        app(tmp_path, {("batch", "DescribeJobs"): describe}),
        "/v1/describejobs",
        body,
        headers={"amz-sdk-invocation-id": "i" * 128},
    )
    assert (answer.status, answer.json) == (200, {"jobs": []})
    digest = hashlib.blake2b(b"".join(body), digest_size=16).hexdigest()
    assert seen == [(Call("DescribeJobs", "any", "i" * 128, 24, "uid 7", digest), {"jobs": ["a"]})]


@pytest.mark.parametrize(
    ("error", "status", "code", "text"),
    [
        (Refused("no such job"), 400, "ClientException", "no such job"),
        (Refused("gone", "ResourceNotFoundException"), 400, "ResourceNotFoundException", "gone"),
        (Refused("disk", "ServerException"), 500, "ServerException", "disk"),
        (WireError("AccessDeniedException", "no", 403), 403, "AccessDeniedException", "no"),
        (TooMuch(), 429, "TooManyRequestsException", "Too Many Requests"),
        (Gone(), 503, "ServiceUnavailableException", "Try again"),
        (asyncio.CancelledError(), 503, "ServiceUnavailableException", "Try again"),
    ],
)
def test_refusals(tmp_path: Path, error: BaseException, status: int, code: str, text: str) -> None:
    answer = send(app(tmp_path, failing(error)), "/v1/canceljob", CANCEL)
    assert (answer.status, answer.code) == (status, code)
    assert text in answer.json["message"]


def test_a_fault_of_ours_is_logged_with_its_story_and_the_request_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = send(app(tmp_path, failing(AssertionError("job 7 is final and changes"))), "/v1/canceljob", CANCEL)
    assert (answer.status, answer.code) == (500, "ServerException")
    assert "final" not in answer.body.decode()
    assert "job 7 is final and changes" in caplog.text
    assert answer.headers["x-amzn-requestid"] in caplog.text
    assert answer.headers["x-amzn-requestid"] in answer.json["message"]


def test_what_is_not_built_says_so(tmp_path: Path) -> None:
    body = b'{"name":"p"}'
    answer = send(app(tmp_path, {}), "/v1/createschedulingpolicy", body)
    assert (answer.status, answer.code) == (400, "ClientException")
    assert answer.json["message"].startswith("CreateSchedulingPolicy is not built yet")


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/v1/canceljob", b"{", {}, 400, "ClientException"),
        ("/v1/canceljob", b"{}", {}, 400, "ClientException"),
        ("/v1/canceljob", CANCEL, {"authorization": ""}, 403, "MissingAuthenticationTokenException"),
        ("/v1/canceljob", CANCEL, {"host": "evil.example"}, 403, "AccessDeniedException"),
        ("/v1/canceljob", b" " * (LIMIT_BYTES + 1), {}, 413, "RequestEntityTooLargeException"),
        ("/v1/canceljob", [b" " * LIMIT_BYTES, b" "], {}, 413, "RequestEntityTooLargeException"),
        ("/v1/canceljob", CANCEL, {"content-length": "9" * 30}, 413, "RequestEntityTooLargeException"),
        ("/v1/canceljob", CANCEL, {"content-length": "9" * 5000}, 413, "RequestEntityTooLargeException"),
        ("/v1/canceljob", CANCEL, {"amz-sdk-invocation-id": "i" * 129}, 400, "ClientException"),
        ("/v1/nonsense", b"{}", {}, 404, "UnknownOperationException"),
        ("/", b"{}", {"x-amz-target": "Logs_20140328.Nonsense"}, 404, ""),
    ],
)
def test_bad_requests_are_the_callers(
    tmp_path: Path, path: str, body: bytes | list[bytes], headers: dict[str, str], status: int, code: str
) -> None:
    answer = send(app(tmp_path, {}), path, body, headers=headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["message"]


def test_another_user_gets_in_nowhere_but_health(tmp_path: Path) -> None:
    made = app(tmp_path, {})
    assert send(made, "/v1/canceljob", CANCEL, uid=8).status == 403
    assert send(made, "/health", b"", "GET", uid=8).json == {"role": "active"}


def test_health_and_metadata_need_no_signature(tmp_path: Path) -> None:
    made = app(tmp_path, {})
    bare = {"authorization": "", "host": "batchyard.example"}

    def get(path: str, method: str = "GET") -> Answer:
        return send(made, path, b"", method, bare)

    assert get("/health").status == 200
    assert get("/health", "POST").status == 405
    assert get("/v4/good").json == {"token": "good", "rest": ""}
    assert get("/v4/good/task").json == {"token": "good", "rest": "task"}
    assert get("/v4/bad/task").status == 404
    assert get("/v4/").status == 404
    assert get("/v4/good", "DELETE").status == 405
    assert get("/healthy").status == 404


def test_credentials_are_for_who_shows_the_authorization(tmp_path: Path) -> None:
    made = app(tmp_path, {})
    shown = send(made, "/v2/credentials/abc", b"", "GET", {"authorization": "shown"}, uid=8)
    assert (shown.status, shown.json) == (200, {"of": "abc"})
    refused = send(made, "/v2/credentials/abc", b"", "GET", {"authorization": ""})
    assert (refused.status, refused.json) == (403, {"code": "AccessDeniedException", "message": "Show it."})
    assert send(made, "/v2/credentials/abc", b"", "PUT", {"authorization": "shown"}).status == 405


def test_a_caller_who_left_is_not_answered(tmp_path: Path) -> None:
    assert exchange(app(tmp_path, {}), scope_of("/v1/canceljob", CANCEL), [{"type": "http.disconnect"}]) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"content-length": "9" * 5000},
    ],
)
@pytest.mark.parametrize("path", ["/v1/canceljob", "/"])
def test_what_its_head_refuses_is_not_read(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    # Nothing is there to be received: asking for it would fail.
    start, _ = exchange(app(tmp_path, {}), scope_of(path, CANCEL, headers=headers), [])
    assert start["status"] in (403, 413)


def test_a_body_that_was_waited_for_and_is_not_wanted_ends_its_connection(tmp_path: Path) -> None:
    headers = {"authorization": "", "expect": "100-continue"}
    start, _ = exchange(app(tmp_path, {}), scope_of("/v1/canceljob", CANCEL, headers=headers), [])
    assert (b"connection", b"close") in start["headers"]


def test_bodies_that_never_end_are_held_up_to_a_limit_of_each_caller_and_of_all(tmp_path: Path) -> None:
    made = dispatcher(tmp_path, {})
    nearly = b" " * (LIMIT_BYTES - 1)

    async def begin(uid: int, bodies: int, ends: asyncio.Event) -> tuple[list[asyncio.Task[None]], list[int]]:
        """The requests, and the statuses of those that were refused before they ended."""
        statuses: list[int] = []

        async def one() -> None:
            pieces = [{"type": "http.request", "body": nearly, "more_body": True}]

            async def receive() -> Any:
                if not pieces:
                    await ends.wait()
                    return {"type": "http.disconnect"}
                return pieces.pop()

            async def take(message: Any) -> None:
                statuses.extend([message["status"]] if "status" in message else [])

            await made(scope_of("/v1/canceljob", b"", uid=uid), receive, take)

        tasks = [asyncio.create_task(one()) for _ in range(bodies)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks, statuses

    async def unfinished() -> None:
        ends = asyncio.Event()
        tasks, of_one = await begin(7, MAX_UNFINISHED_BODIES_OF_ONE + 5, ends)
        assert 0 < len(of_one) <= 5
        more, of_other = await begin(0, MAX_UNFINISHED_BODIES - MAX_UNFINISHED_BODIES_OF_ONE + 5, ends)
        assert 0 < len(of_other) <= 5
        refused = [*of_one, *of_other]
        assert set(refused) == {429}
        ends.set()
        await asyncio.gather(*tasks, *more)
        assert [*of_one, *of_other] == refused  # those that left were not answered

    asyncio.run(unfinished())
    assert not made._unfinished_bytes
    assert send(made, "/v1/canceljob", b"{}").status == 400  # what was held is let go


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
TARGET = "Logs_20140328.DeleteLogGroup"
WHO = b"Action=GetCallerIdentity&Version=2011-06-15"


def test_a_form_reaches_the_function_of_its_action(tmp_path: Path) -> None:
    async def identify(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        return {"Account": call.principal}

    made = app(tmp_path, {("sts", "GetCallerIdentity"): identify})
    answer = send(made, "/", [WHO[:9], WHO[9:]], headers=FORM)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/xml")
    assert b"<GetCallerIdentityResult><Account>any</Account></GetCallerIdentityResult>" in answer.body
    assert f"<RequestId>{answer.headers['x-amzn-requestid']}</RequestId>".encode() in answer.body
    for body, status, code in (
        (b"Action=AssumeRole&Version=2011-06-15", 400, "InvalidAction"),
        (b"x" * (LIMIT_BYTES + 1), 413, "RequestEntityTooLargeException"),
        (b"Version=2011-06-15", 400, "InvalidAction"),
    ):
        answer = send(made, "/", body, headers=FORM)
        assert (answer.status, answer.headers["content-type"]) == (status, "text/xml")
        assert f"<Code>{code}</Code>".encode() in answer.body
    assert b"<Code>AccessDenied</Code>" in send(made, "/", WHO, headers=FORM, uid=8).body


@pytest.mark.parametrize(
    ("key", "body", "headers", "document"),
    [
        (("sts", "GetCallerIdentity"), WHO, FORM, {}),
        (("logs", "DeleteLogGroup"), b'{"logGroupName":"g"}', {"x-amz-target": TARGET}, {"logGroupName": "g"}),
        (("batch", "DescribeJobs"), b'{"jobs":["a"]}', {}, {"jobs": ["a"]}),
    ],
)
def test_a_compressed_body_is_read_in_each_protocol(
    tmp_path: Path, key: tuple[str, str], body: bytes, headers: dict[str, str], document: dict[str, Any]
) -> None:
    seen: list[dict[str, Any]] = []

    async def take(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return {}

    path = "/v1/describejobs" if key[0] == "batch" else "/"
    packed, sent = gzip.compress(body), headers | {"content-encoding": "gzip"}
    made = app(tmp_path, {key: take})
    assert send(made, path, [packed[:9], packed[9:]], headers=sent).status == 200
    assert seen == [document]
    assert send(made, path, packed[:-9], headers=sent).status == 400
    assert seen == [document]


def test_our_own_failure_is_told_in_the_callers_protocol(tmp_path: Path) -> None:
    async def fail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("ours")

    answer = send(app(tmp_path, {("sts", "GetCallerIdentity"): fail}), "/", WHO, headers=FORM)
    assert answer.status == 500
    assert b"<Type>Receiver</Type><Code>InternalFailure</Code>" in answer.body


def test_a_route_answers_its_path_and_below_it_alone() -> None:
    async def answered_by(path: bytes) -> str:
        seen: list[str] = []

        def page(name: str) -> Asgi:
            async def answer(scope: Any, receive: Any, send: Any) -> None:
                seen.append(name)

            return answer

        routes = Routes([Route(b"/exact", page("exact")), Route(b"/tree/", page("tree"))], page("otherwise"))
        nothing: Any = None
        await routes({"type": "http", "raw_path": path}, nothing, nothing)
        (name,) = seen
        return name

    wanted = {
        b"/exact": "exact",
        b"/exact/": "otherwise",
        b"/exactly": "otherwise",
        b"/tree/": "tree",
        b"/tree/leaf": "tree",
        b"/tree": "otherwise",
        b"/": "otherwise",
    }
    assert {path: asyncio.run(answered_by(path)) for path in wanted} == wanted


def test_a_fault_of_a_page_is_logged_and_answered_with_its_request_id(caplog: pytest.LogCaptureFixture) -> None:
    def health() -> dict[str, Any]:
        raise RuntimeError("no health")

    answer = send(health_route(health).app, "/health", method="GET")
    assert (answer.status, answer.code) == (500, "ServerException")
    assert answer.headers["x-amzn-requestid"] in answer.json["message"]
    assert answer.headers["x-amzn-requestid"] in caplog.text
