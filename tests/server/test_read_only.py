"""What a read-only key may call: everything that looks, nothing that changes or shows a secret."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from batchyard.api.context import Call
from batchyard.api.operations import OPERATIONS
from batchyard.server.access.access import Access, Rules
from batchyard.server.access.keys import Key, KeyFile, add_key
from batchyard.server.access.read_only import is_reading
from batchyard.server.http.app import App, Dispatch
from batchyard.wire.model import load_service_model
from batchyard.wire.router import Router
from batchyard.wire.sigv4 import sign

NOW_MS = 1_790_000_000_000
CHANGING_VERBS = re.compile(
    "Add|Associate|Attach|Cancel|Confirm|Create|Delete|Deregister|Detach|Disable|Disassociate|Drain|Enable|Execute|Forget|Interrupt|"
    "Publish|Put|Register|Remove|Restore|Run|Schedule|Send|Set|Shutdown|Subscribe|"
    "Submit|Tag|Terminate|Unsubscribe|Untag|Update|Assume|Redrive|StartExecution|StartSyncExecution|StopExecution|"
    "TestState|GetActivityTask"  # a state that is tested may call operations; a worker takes an activity's task
)


def test_each_operation_either_looks_or_changes_something() -> None:
    for _, operation in OPERATIONS:
        changes = CHANGING_VERBS.match(operation) is not None
        is_secret = "SecretValue" in operation or operation.startswith("GetParameter") or "RandomPassword" in operation
        assert is_reading(operation) != (changes or is_secret), operation


@pytest.mark.parametrize(
    "operation",
    ["SubmitJob", "TerminateJob", "GetSecretValue", "GetParametersByPath", "Shutdown", "TestState", "GetActivityTask"],
)
def test_what_changes_or_is_secret_is_refused(operation: str) -> None:
    assert not is_reading(operation)


@pytest.mark.parametrize(("read_only", "status"), [(True, 403), (False, 200)])
def test_the_api_holds_a_key_to_it(tmp_path: Path, read_only: bool, status: int) -> None:
    key = add_key(tmp_path / "keys.json", "eve", read_only=read_only)
    called: list[str] = []

    async def perform(call: Call, document: dict[str, Any]) -> dict[str, Any]:
        called.append(call.operation)
        return {}

    handlers = {("batch", name): perform for name in ("CancelJob", "DescribeJobQueues")}
    rules = Rules("127.0.0.1", bound_to_loopback=True)
    access = Access(rules, KeyFile(tmp_path / "keys.json"), Key("OP", "s"), lambda: NOW_MS, 7)
    app = App(Router([load_service_model("batch")]), handlers, access, Dispatch(65536))
    assert _send(app, key, "/v1/canceljob", {"jobId": "x", "reason": "y"}) == status
    assert _send(app, key, "/v1/describejobqueues", {}) == 200
    assert called == (["DescribeJobQueues"] if read_only else ["CancelJob", "DescribeJobQueues"])


def _send(app: App, key: Key, path: str, document: dict[str, Any]) -> int:
    body = json.dumps(document).encode()
    headers = sign(
        "POST",
        f"http://localhost:1{path}",
        {"content-type": "application/json", "host": "localhost:1"},
        body,
        access_key=key.access_key_id,
        session_token=None,
        secret_key=key.secret_access_key,
        region="us-east-1",
        service="batch",
        now_ms=NOW_MS,
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return int(sent[0]["status"])
