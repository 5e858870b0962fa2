"""HTTP messages: a document's request as a client would send it, and as none should."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from batchyard.wire.operation import Operation
from batchyard.wire.router import FORM_CONTENT_TYPE
from batchyard.wire.sigv4 import sign
from batchyard.wire.xmlprotocols import FORM_PROTOCOLS
from tests.hostile.documents import HOSTILE_TEXTS, Document, as_form, as_json

# Written out, since a client's library would refuse to send most of them.
HEAD_LIMIT = 64 * 1024  # of the service: longer heads are refused
PIPELINED = 30
ENDPOINTS = ("/health", "/v4/x", "/v4/x/task", "/v2/credentials/1", "/yard/v1/exec?jobId=a&command=b", "/v1/x", "/")


class Sent(NamedTuple):
    """One request. `label`: the operation, or what is done to the bytes."""

    label: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def request_of(operation: Operation, document: Document, versions: dict[str, str], address: str, rng: Any) -> Sent:
    """The document in the operation's protocol, signed. `versions`: of each service's API."""
    model, protocol = operation.model, operation.protocol
    target, headers = model.request_uri, {"Content-Type": protocol.content_type}
    if operation.service in versions:
        headers["Content-Type"] = FORM_CONTENT_TYPE
        body = as_form(operation.name, versions[operation.service], document, rng)
    else:
        placed = [m for m in model.input.members.values() if m.location != "body"] if model.input else []
        query: list[str] = []
        for member in placed:
            value = document.pop(member.wire_name, "arn:aws:batch:us-east-1:123456789012:job-queue/default")
            texts = value if isinstance(value, list) else [value]
            coded = [quote(str(text)[:4000], safe="", errors="replace") for text in texts[:50]] or [""]
            if member.location == "uri":
                target = target.replace("{" + member.wire_name + "}", coded[0])
            elif member.location == "querystring":
                query += [f"{member.wire_name}={text}" for text in coded]
        target += "?" + "&".join(query) if query else ""
        body = b"" if model.method == "GET" else as_json(document, rng)
    if target == "/" and operation.service not in versions:
        headers["X-Amz-Target"] = target_of(operation)
        headers["Content-Type"] = rng.choice(("application/x-amz-json-1.0", "application/x-amz-json-1.1"))
    signed = sign(
        model.method,
        address + target,
        headers,
        body,
        access_key="any",
        secret_key="any",
        session_token=None,
        region="us-east-1",
        service=operation.service,
        now_ms=time.time_ns() // 1_000_000,
    )
    if rng.random() < 0.05:
        signed["amz-sdk-invocation-id"] = rng.choice(("one", "x" * 300, "\t"))
    return Sent(f"{operation.service}.{operation.name}", model.method, target, signed, body)


def target_of(operation: Operation) -> str:
    from batchyard.wire.model import load_service_model

    return f"{load_service_model(operation.service).target_prefix}.{operation.name}"


def form_versions(services: tuple[str, ...]) -> dict[str, str]:
    """The API's version of each service whose requests are forms."""
    from batchyard.wire.model import load_service_model

    models = [load_service_model(name) for name in services]
    return {model.name: model.version for model in models if model.protocol in FORM_PROTOCOLS}


def bytes_of(sent: Sent, *extra: str, length: str | None = "") -> bytes:
    """The message. `length`: of Content-Length, None without one, empty the right one."""
    lines = [f"{sent.method} {sent.target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.headers.items())]
    if length is not None:
        lines.append(f"Content-Length: {length or len(sent.body)}")
    return "\r\n".join((*lines, *extra, "", "")).encode("latin-1", "replace") + sent.body


def _wrong_length(sent: Sent, rng: random.Random) -> bytes:
    size = len(sent.body)
    wrong = (
        "0",
        str(size + 1),
        str(max(0, size - 1)),
        "-1",
        "+1",
        "1e3",
        "9" * 19,
        "9" * 5000,
        "0x10",
        "1, 1",
        " ",
        "\u0661",
    )
    return bytes_of(sent, length=rng.choice(wrong))


def _two_lengths(sent: Sent, rng: random.Random) -> bytes:
    return bytes_of(sent, f"Content-Length: {rng.randrange(100)}", *rng.choice(((), ("Transfer-Encoding: chunked",))))


def _chunks(sent: Sent, rng: random.Random) -> bytes:
    head = bytes_of(sent._replace(body=b""), "Transfer-Encoding: chunked", length=None)
    size = b"%x" % len(sent.body)
    bodies = (
        size + b"\r\n" + sent.body + b"\r\n0\r\n\r\n",
        b"".join(b"1\r\n%c\r\n" % byte for byte in sent.body[:500]) + b"0\r\n\r\n",
        b"zz\r\n" + sent.body,
        b"-1\r\n" + sent.body,
        b"f" * 40 + b"\r\n" + sent.body,
        size + b";" + b"e" * 100_000 + b"\r\n" + sent.body + b"\r\n0\r\n\r\n",
        size + b"\n" + sent.body + b"\n0\n\n",
        b"0\r\n" + b"Trailer: x\r\n" * 5000 + b"\r\n",
        b"0" * 5000 + b"\r\n\r\n",
        sent.body,
    )
    return head + rng.choice(bodies)


def _giant_head(sent: Sent, rng: random.Random) -> bytes:
    extra = (
        ["X-Long: " + "a" * rng.choice((HEAD_LIMIT // 2, HEAD_LIMIT, 2 * HEAD_LIMIT))],
        [f"X-{n}: 1" for n in range(8000)],
        ["X-Same: 1"] * 3000,
        ["Authorization: " + "Credential=/" * 5000],
        [": no name"],
        ["No-Colon"],
        [" folded: line", "\tmore"],
        ["X-Null: \0", "X-Latin: \xff\x80"],
        ["Expect: 100-continue"],
        ["Expect: " + "x" * 1000],
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
        ["Host: evil.example", "Origin: http://evil.example"],
        ["Host: [::1", "Origin: \0"],
        ["X-Amz-Date: 99999999T999999Z"],
        ["X-Amz-Security-Token: " + "t" * 3000],
        ["Content-Encoding: gzip"],
        ["Connection: " + "close, " * 500],
    )
    return bytes_of(sent, *rng.choice(extra))


def _request_line(sent: Sent, rng: random.Random) -> bytes:
    escapes = ("%00", "%zz", "%", "%ff%fe", "%2e%2e%2f", "%25" * 1000, "/" * 3000, "?" * 3000, "#f", "\xff", ";a=b")
    lines = (
        f"{sent.method} {sent.target}{rng.choice(escapes)} HTTP/1.1",
        f"{sent.method} {rng.choice(ENDPOINTS)}{rng.choice(escapes)} HTTP/1.1",
        f"{rng.choice(('GET', 'PUT', 'HEAD', 'OPTIONS', 'CONNECT', 'TRACE', 'BREW'))} {sent.target} HTTP/1.1",
        f"{sent.method} http://evil.example{sent.target} HTTP/1.1",
        f"{sent.method} {sent.target} HTTP/{rng.choice(('1.0', '0.9', '2.0', '9.9', '1.1.1'))}",
        f"{sent.method} {sent.target}",
        f"{'X' * 70_000} / HTTP/1.1",
        f"{sent.method} {'/' + 'a' * 70_000} HTTP/1.1",
        f"{sent.method}  {sent.target}  HTTP/1.1",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "",
    )
    whole = bytes_of(sent)
    return rng.choice(lines).encode("latin-1", "replace") + whole[whole.index(b"\r\n") :]


def _pipeline(sent: Sent, rng: random.Random) -> bytes:
    whole = bytes_of(sent)
    return whole * rng.choice((2, PIPELINED)) + rng.choice((b"", whole[: len(whole) // 2], b"garbage\r\n\r\n"))


def _cut(sent: Sent, rng: random.Random) -> bytes:
    whole = bytes_of(sent)
    return whole[: rng.randrange(len(whole))]


def _flipped(sent: Sent, rng: random.Random) -> bytes:
    whole = bytearray(bytes_of(sent))
    for _ in range(rng.choice((1, 2, 10))):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole)


def _noise(sent: Sent, rng: random.Random) -> bytes:
    return rng.choice((rng.randbytes(2000), b"\r\n" * 5000, b"\0" * 5000, b"\n", b"GET", rng.randbytes(1)))


def _forged(sent: Sent, rng: random.Random) -> bytes:
    """A well-made message whose signature, target or type is not."""
    text = rng.choice(HOSTILE_TEXTS)[:3000].encode("utf-8", "replace").decode("latin-1")
    text = text.replace("\r", "").replace("\n", "")
    name = rng.choice(("Authorization", "X-Amz-Target", "Content-Type", "X-Amz-Date", "Host", "X-Amz-Content-Sha256"))
    headers = {**sent.headers, name: text}
    return bytes_of(sent._replace(headers=headers, target=rng.choice((sent.target, rng.choice(ENDPOINTS)))))


DEEDS: dict[str, Callable[[Sent, random.Random], bytes]] = {
    "wrong length": _wrong_length,
    "two lengths": _two_lengths,
    "chunks": _chunks,
    "head": _giant_head,
    "request line": _request_line,
    "pipelined": _pipeline,
    "cut": _cut,
    "flipped": _flipped,
    "noise": _noise,
    "forged": _forged,
}


def host_of(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    assert parts.port, address
    return parts.hostname or "", parts.port
