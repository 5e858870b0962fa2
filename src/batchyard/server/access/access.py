"""Decides which callers are admitted. While no keys are configured: programs of the same user on this machine, whose
requests only need the form of an AWS client's. With keys: callers that sign with one of them, from anywhere. In both
cases: jobs of this service, with the credentials of their attempt, while that lives. Nothing else identifies a job, not
even its user, as whom other programs run too.

Without keys, others are kept out so: the port is bound to loopback; a well-formed SigV4 header is required, which no
browser page can send unasked; a foreign `Host` or `Origin` (of a page that reached us through a name which it made
point to 127.0.0.1) is refused; and so are connections of other users of this machine, by the uid that the kernel
reports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from batchyard.server.access.keys import Key, KeyFile
from batchyard.server.access.peers import PeerUser, is_loopback
from batchyard.server.access.sessions import Session
from batchyard.server.http.connections import caller_of
from batchyard.server.settings.paths import PathError
from batchyard.wire.messages import Request, WireError
from batchyard.wire.sigv4 import Authorization, parse_authorization, verify

FORBIDDEN = 403
ROOT_UID = 0
SYNC_PREFIX = "sync-"  # SDKs put it before the host for StartSyncExecution and TestState of Step Functions
MAX_QUOTED_LENGTH = 100  # a refusal quotes at most this much of a caller's header
TOKEN_HEADER = "x-amz-security-token"
JOBS = "jobs"  # all of them are one caller: an array has thousands


class AccessError(Exception):
    """The service must not listen as configured. The text is a sentence."""


class Client(Struct, frozen=True):
    """The other end of a connection: its address and, on loopback, its user. `attempt_id`: the attempt whose address
    the request came to, and `signed_path` the path there, which the signature covers."""

    host: str
    user: PeerUser
    attempt_id: str = ""
    signed_path: bytes = b""


class Rules(Struct, frozen=True):
    """Where the service listens, and which callers it admits there."""

    host: str  # as given: a name or an address
    bound_to_loopback: bool
    allow_other_users: bool = False
    insecure: bool = False
    jobs_only: bool = False  # only requests signed with the credentials of an attempt are served


class Admitted(Struct, frozen=True):
    """The caller, by the head of a request. `principal`: the access key id, or with an attempt's credentials the ARN
    of its session. `caller`: identifies the caller in limits for each caller. `secret_access_key`: the key with
    which the request must be signed; None where any signature is accepted. `signed_path`: the path that the
    signature covers, where that is not the path that is answered. `is_read_only`: by its key the caller may change
    nothing (see read_only.is_reading)."""

    principal: str
    caller: str
    authorization: Authorization
    secret_access_key: str | None
    signed_path: bytes = b""
    is_read_only: bool = False


def _admit_session(headers: Mapping[str, str], session: Session, client: Client) -> Admitted:
    """Admits a request by an attempt's signature, which is better proof than the address that it comes from."""
    authorization = parse_authorization(headers)
    if authorization.access_key != session.access_key_id:
        raise WireError(
            "UnrecognizedClientException",
            "The security token included in the request is invalid: it does not belong to the access key "
            f"{authorization.access_key[:MAX_QUOTED_LENGTH]!r}.",
            FORBIDDEN,
        )
    return Admitted(session.principal, JOBS, authorization, session.secret_access_key, client.signed_path)


def _no_session(token: str) -> Session | None:
    return None


def _no_s3(attempt_id: str) -> Session:
    raise AssertionError(f"attempt {attempt_id} was told by its address, and there are no keys of an S3")


class Access:
    """Decides about each request. Reads the keys file again when it changes. `session_of`: returns the session of
    one of our security tokens (Sessions.find); `session_by_s3_keys`: that of an attempt that signs with the keys of
    the owner's S3."""

    def __init__(
        self,
        rules: Rules,
        keys: KeyFile,
        operator: Key,
        now_ms: Callable[[], int],
        own_uid: int | None = None,
        session_of: Callable[[str], Session | None] = _no_session,
        session_by_s3_keys: Callable[[str], Session] = _no_s3,
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._operator = operator
        self._now_ms = now_ms
        self._session_of = session_of
        self._session_by_s3_keys = session_by_s3_keys
        self._own_uid = os.geteuid() if own_uid is None else own_uid

    def admit(self, headers: Mapping[str, str], client: Client) -> Admitted:
        """Admits a caller by the head of a request, before any of its body is read. Raises WireError 403."""
        token = headers.get(TOKEN_HEADER)
        session = self._session_of(token) if token else None
        if session is not None:
            return _admit_session(headers, session, client)
        if client.attempt_id:
            session = self._session_by_s3_keys(client.attempt_id)
            if parse_authorization(headers).access_key == session.access_key_id:
                return _admit_session(headers, session, client)
        if self._rules.jobs_only:
            raise denied(
                "Only what runs as a job is served at this address, with the credentials of its attempt: sign with "
                "those, and send their session token."
            )
        try:
            keys = self._keys.current()
        except PathError as error:
            raise WireError(
                "AccessDeniedException", f"Nobody may call while keys cannot be read. {error}", 403
            ) from error
        if keys:
            authorization = parse_authorization(headers)
            key = keys.get(authorization.access_key) or self._operators(authorization)
            if key is None:
                raise WireError(
                    "UnrecognizedClientException",
                    "The security token included in the request is invalid: there is no key "
                    f"{authorization.access_key[:MAX_QUOTED_LENGTH]!r} here (see batchyard keys list).",
                    FORBIDDEN,
                )
            caller = f"key {key.access_key_id}"
            signed = authorization, key.secret_access_key, client.signed_path
            return Admitted(key.access_key_id, caller, *signed, is_read_only=key.read_only)
        self.check_place(headers, client)
        authorization = parse_authorization(headers)
        operator = self._operators(authorization)
        if operator is None and not self._rules.bound_to_loopback and not self._rules.insecure:
            # The last key was removed while we listen to the network: that must not open the service.
            raise denied(
                "No keys are configured, and this service listens beyond its machine: add one (batchyard keys add)."
            )
        caller = caller_of(client.host, client.user.uid)
        secret = operator.secret_access_key if operator is not None else None
        return Admitted(authorization.access_key, caller, authorization, secret, client.signed_path)

    def verify(self, request: Request, admitted: Admitted) -> None:
        """Verifies the signature of the whole request, with its body, where a key of ours made it. Raises WireError
        403."""
        if admitted.secret_access_key is not None:
            if admitted.signed_path:
                request = replace(request, raw_path=admitted.signed_path)
            verify(request, admitted.authorization, admitted.secret_access_key, self._now_ms())

    def check(self, request: Request, client: Client) -> str:
        """Admits and verifies a request that has its whole body and changes something; returns the principal."""
        admitted = self.admit(request.headers, client)
        self.verify(request, admitted)
        if admitted.is_read_only:
            raise denied("This access key may only read.")
        return admitted.principal

    def _operators(self, authorization: Authorization) -> Key | None:
        return self._operator if authorization.access_key == self._operator.access_key_id else None

    def check_place(self, headers: Mapping[str, str], client: Client) -> None:
        """Checks the rules for calls without keys, except the signature's form."""
        if self._rules.bound_to_loopback:
            self._check_host(headers.get("host"))
            self._check_user(client)
        self._check_origin(headers)

    def _check_host(self, host: str | None) -> None:
        if host is None:  # HTTP/1.0; browsers, against which this check is, always send one
            return
        if not self._is_ours(_hostname(f"//{host}")):
            raise denied(
                f"The Host header {host[:MAX_QUOTED_LENGTH]!r} is not this machine: use localhost or 127.0.0.1."
            )

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None:
            return
        host = headers.get("host", "")
        if origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise denied(f"Pages of another origin ({origin[:MAX_QUOTED_LENGTH]!r}) may not call this service.")

    def _check_user(self, client: Client) -> None:
        if self._rules.allow_other_users:
            return
        uid = client.user.uid
        if uid is None:
            raise denied(
                f"Who calls cannot be told ({client.user.reason}); --allow-other-users serves every local user."
            )
        if uid not in (ROOT_UID, self._own_uid):
            raise denied(
                f"This service belongs to the user {self._own_uid} and serves no others (you are {uid}): "
                "start it with --allow-other-users, or use access keys (batchyard keys add). A job that runs as "
                "another user signs with the credentials that it is given (AWS_CONTAINER_CREDENTIALS_FULL_URI; none "
                "with --no-job-credentials) or with such a key."
            )

    def _is_ours(self, hostname: str) -> bool:
        hostname = hostname.removeprefix(SYNC_PREFIX)
        return (
            hostname == "localhost"
            or hostname.endswith(".localhost")  # resolvers keep these on loopback (RFC 6761)
            or hostname == self._rules.host.lower()
            or is_loopback(hostname)
        )


def check_listening(rules: Rules, keys: KeyFile) -> None:
    """Raises AccessError where the service would be open to the network; PathError when the keys cannot be read."""
    if not rules.bound_to_loopback and not rules.insecure and not keys.current():
        raise AccessError(
            f"Listening on {rules.host} would let anybody who reaches it run programs here: add a key first "
            "(batchyard keys add NAME), or say --insecure."
        )


def denied(message: str) -> WireError:
    return WireError("AccessDeniedException", message, FORBIDDEN)


def _hostname(netloc: str) -> str:
    try:
        return urlsplit(netloc).hostname or ""
    except ValueError:  # an unbalanced bracket
        return ""
