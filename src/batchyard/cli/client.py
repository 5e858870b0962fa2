"""A small client of our own endpoint: signs, keeps its connection, and reports an error in one sentence."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, NoReturn, Self
from urllib.parse import quote, urlencode, urlsplit
from xml.etree.ElementTree import Element, ParseError, fromstring

from batchyard.cli.endpoint import Endpoint
from batchyard.cli.refusal_texts import in_words
from batchyard.version import VERSION
from batchyard.wire.execframes import EXEC_PATH

# The services that commands call, by the names of their models, which have the addresses of the operations.
BATCH, CLOUDWATCH, EVENTS, LOGS, SECRETS, YARD = "batch", "monitoring", "events", "logs", "secretsmanager", "yard"
SCHEDULER, SNS, STATES = "scheduler", "sns", "states"
FORM = "application/x-www-form-urlencoded"
TIMEOUT_SECONDS = 60.0  # no answer takes that long: after it, an error is better than waiting
UNKNOWN_KEY_CODES = frozenset({"UnrecognizedClientException", "InvalidSignatureException", "InvalidClientTokenId"})
WRAPPED = re.compile(r"Error executing request, Exception : (?P<text>.*), RequestId: [0-9a-f-]+\Z", re.DOTALL)
RETRY_PAUSE_SECONDS = 0.5
TRACE_PARENT_VARIABLE = "TRACEPARENT"  # of a trace that the command belongs to (OpenTelemetry)
STREAM_BYTES = 64 * 1024
MAX_SHOWN_CHARACTERS = 200  # of an answer that is not ours

Document = dict[str, Any]  # a request or an answer: AWS's member names -> values


class ClientError(Exception):
    """An error for the user, as one sentence."""


class UnreachableError(ClientError):
    """The service did not answer."""


class ServiceError(ClientError):
    """The service refused the request: AWS's error code and its sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{in_words(message)} ({code})" if message else code)
        self.code = code
        self.message = message


class Stream:
    """A request that is answered while it is still being sent: bytes in both directions. Reads belong to one thread;
    writes may come from several."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self._writing = threading.RLock()  # a signal's handler may write during another write of its thread

    def read(self) -> bytes:
        """Returns what has arrived; empty at the end. Raises UnreachableError."""
        try:
            return self._response.read1(STREAM_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"The connection was cut: {error}.") from error

    def write(self, data: bytes) -> None:
        """Sends one chunk of the body (RFC 9112, 7.1). Raises OSError."""
        with self._writing:
            if self._connection.sock is None:
                raise OSError("the connection is closed")
            self._connection.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Client:
    """Calls operations of one endpoint, one at a time. A context manager, which closes the connection."""

    def __init__(self, endpoint: Endpoint, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url = endpoint.url
        self.patience_seconds = 0.0
        self._timeout_seconds = timeout_seconds
        self.on_wait: Callable[[str], object] = lambda text: None  # called with the reason of a wait
        self._region = endpoint.region
        self._credentials = list(endpoint.credentials)
        parts = urlsplit(endpoint.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{endpoint.url} is not a URL of a service: it should look like http://127.0.0.1:8470")
        try:
            port = parts.port
        except ValueError:
            raise ClientError(f"{endpoint.url} is not a URL of a service: its port is not a number.") from None
        self._connection = _connection(parts.scheme, parts.hostname, port, timeout_seconds, endpoint.certificate)
        self._base_path = parts.path

    def call(self, operation: str, request: Document, service: str = BATCH) -> Document:
        """Returns the operation's response. Raises ServiceError with the service's refusal, UnreachableError where none
        came: at once, or after `patience_seconds` of trying again."""
        signing_name, path, headers = operation_address(service, operation)
        method, path, request = located(service, operation, path, request)
        # Constant over the tries of one call, so that a job is not submitted twice (AWS SDKs send the same header).
        headers["amz-sdk-invocation-id"] = str(uuid.uuid4())
        if os.environ.get(TRACE_PARENT_VARIABLE):
            headers["traceparent"] = os.environ[TRACE_PARENT_VARIABLE]
        body = json.dumps(request).encode()
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                status, code, content = self._exchange(signing_name, path, headers, body, method)
            except UnreachableError:
                if time.monotonic() >= deadline:
                    raise
                self.on_wait(f"No answer from Batchyard at {self.url}. Trying again.")
                time.sleep(RETRY_PAUSE_SECONDS)
                continue
            if code in UNKNOWN_KEY_CODES and len(self._credentials) > 1:
                del self._credentials[0]
                continue
            return self._parse(status, code, content)

    def exchange(self, operation: str, request: Document, service: str) -> tuple[int, str, bytes]:
        """Tries once, signed with the best credentials. Returns the status, the error code or "", the body. Raises
        UnreachableError."""
        signing_name, path, headers = operation_address(service, operation)
        return self._exchange(signing_name, path, headers, json.dumps(request).encode())

    def call_form(self, operation: str, request: dict[str, str], service: str) -> Element:
        """Returns the answer of an operation of the protocol `query`: its XML, without namespaces. The members of the
        request are texts. Raises ServiceError, UnreachableError."""
        from batchyard.wire.model import load_service_model  # here, since the command line must start fast

        form = urlencode({"Action": operation, "Version": load_service_model(service).version, **request})
        status, _, content = self._exchange(service, "/", {"Content-Type": FORM}, form.encode())
        try:
            document = fromstring(re.sub(rb'\sxmlns="[^"]*"', b"", content, count=1))
        except ParseError:
            return self._not_ours(status, content)
        code = document.findtext(".//Code") or ""
        if code in UNKNOWN_KEY_CODES and len(self._credentials) > 1:
            del self._credentials[0]
            return self.call_form(operation, request, service)
        if status >= 300:
            raise ServiceError(code, document.findtext(".//Message") or "")
        return document

    def stream(self, request: dict[str, Any]) -> Stream:
        """Begins `batchyard exec` (wire/execframes.py), on this client's connection: the last thing it does. Raises
        ServiceError, UnreachableError."""
        path = f"{EXEC_PATH}?{urlencode({'request': json.dumps(request)}, quote_via=quote)}"
        connection = self._connection
        connection.close()
        try:
            connection.connect()
            connection.sock.settimeout(None)  # a command may be silent for as long as it likes
            connection.putrequest("POST", f"{self._base_path}{path}", skip_host=True, skip_accept_encoding=True)
            for name, value in self._signed(YARD, path, {}, b"").items():
                connection.putheader(name, value)
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            response = connection.getresponse()
            if response.status >= 300:
                code = response.headers.get("x-amzn-errortype", "").partition(":")[0]
                self._parse(response.status, code, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(self._unreachable(error)) from error
        return Stream(connection, response)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _exchange(
        self, signing_name: str, path: str, headers: dict[str, str], body: bytes, method: str = "POST"
    ) -> tuple[int, str, bytes]:
        """Returns (status, error code or "", body). A kept connection that the service closed meanwhile is opened
        again."""
        kept = self._connection.sock is not None
        signed = self._signed(signing_name, path, headers, body, method)
        try:
            self._connection.request(method, f"{self._base_path}{path}", body, signed)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if kept and not isinstance(error, TimeoutError):
                return self._exchange(signing_name, path, headers, body, method)
            raise UnreachableError(self._unreachable(error)) from error
        except BaseException:  # Ctrl-C during an answer: the rest of it must not be read as the next one
            self.close()
            raise
        code = response.headers.get("x-amzn-errortype", "").partition(":")[0]
        if response.status >= 300 and not code:
            code = _code_of(content)
        return response.status, code, content

    def _signed(
        self, signing_name: str, path: str, headers: dict[str, str], body: bytes, method: str = "POST"
    ) -> dict[str, str]:
        """Returns the headers to send; `path` may have a query."""
        from batchyard.wire.sigv4 import sign  # here, since the command line must start fast

        signer = self._credentials[0]
        return sign(
            method,
            f"{self.url}{path}",
            {**headers, "User-Agent": f"batchyard/{VERSION}"},
            body,
            access_key=signer.access_key,
            secret_key=signer.secret_key,
            session_token=signer.session_token,
            region=self._region,
            service=signing_name,
            now_ms=time.time_ns() // 1_000_000,
        )

    def _unreachable(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"Batchyard at {self.url} did not answer within {self._timeout_seconds:.0f} s."
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"The certificate of {self.url} is not trusted ({error.verify_message}): name a file with it, or with "
                "its issuer's, in AWS_CA_BUNDLE."
            )
        if isinstance(error, ssl.SSLError):
            return f"{self.url} does not speak TLS ({error.reason}): use http:// where the service has no certificate."
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"Cannot reach Batchyard at {self.url}: {reason}. Start it with: batchyard up"

    def _not_ours(self, status: int, content: bytes) -> NoReturn:
        shown = content[:MAX_SHOWN_CHARACTERS].decode("utf-8", "replace").strip()
        raise ClientError(f"{self.url} does not answer as Batchyard does (HTTP {status}): {shown or 'no content'}")

    def _parse(self, status: int, code: str, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content) if content.strip() else {}
        except ValueError:
            document = None
        if not isinstance(document, dict) or (status >= 300 and not code):
            self._not_ours(status, content)
        if status >= 300:
            message = str(document.get("message") or document.get("Message") or "")
            wrapped = WRAPPED.match(message)
            raise ServiceError(code, wrapped["text"] if wrapped else message)
        return document


def _connection(
    scheme: str, host: str, port: int | None, timeout_seconds: float, certificate: str
) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    from batchyard.cli.trust import TrustError, context_of  # here, since the command line must start fast

    try:
        context = context_of(certificate)
    except TrustError as error:
        raise ClientError(str(error)) from error
    return http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)


def operation_address(service: str, operation: str) -> tuple[str, str, dict[str, str]]:
    """Returns the signing name, the path and the headers of an operation, from the service's model."""
    from batchyard.wire.model import load_service_model  # here, since the command line must start fast

    model = load_service_model(service)
    path = model.operations[operation].request_uri
    if model.protocol != "json":
        return model.signing_name, path, {"Content-Type": "application/json"}
    content_type = f"application/x-amz-json-{model.json_version}"
    return (
        model.signing_name,
        path,
        {"Content-Type": content_type, "X-Amz-Target": f"{model.target_prefix}.{operation}"},
    )


def located(service: str, operation: str, path: str, request: Document) -> tuple[str, str, Document]:
    """Returns the method and the path of a request, and what of it is left for its body: members of rest-json may be
    labels of the path, or in the query."""
    from batchyard.wire.model import load_service_model

    model = load_service_model(service).operations[operation]
    members = model.input.members if model.input is not None else {}
    query: list[tuple[str, str]] = []
    body: Document = {}
    for name, value in request.items():
        location = members[name].location if name in members else "body"
        if location == "uri":
            path = path.replace(f"{{{members[name].wire_name}}}", quote(str(value), safe=""))
        elif location == "querystring":
            query.append((members[name].wire_name, str(value)))
        else:
            body[name] = value
    return model.method, path + (f"?{urlencode(query, quote_via=quote)}" if query else ""), body


def _code_of(content: bytes) -> str:
    """Returns the code of a JSON 1.1 error: `__type`, without its namespace."""
    try:
        document = json.loads(content)
    except ValueError:
        return ""
    return str(document.get("__type") or "").rpartition("#")[2] if isinstance(document, dict) else ""
