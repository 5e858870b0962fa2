"""Who may look at the console, and who may write with it. The rule is that of the API: without keys, programs of the
same user on this machine (Access); with keys, people who signed in with one of them.

A signed-in browser has a cookie with the id of its key, the time, and a proof made of both with the secret of the data
directory and that of the key: a removed key ends its sessions at once, and nothing is stored. Every write carries a
token that only pages of ours have."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from batchyard.server.access.access import Access, Client, Rules, denied
from batchyard.server.access.keys import Key, KeyFile
from batchyard.server.access.peers import is_loopback
from batchyard.server.http.connections import caller_of
from batchyard.server.settings.paths import PathError
from batchyard.wire.messages import WireError

SESSION_SECONDS = 12 * 3600  # a working day
MAX_COOKIE_CHARACTERS = 512  # longer than any of ours
MAX_AHEAD_MS = 60_000  # a cookie may be from a clock that was ahead by this
DIGEST_BYTES = 24
LOCAL = "local"  # stands for the session where no keys are configured


class Admission(Struct, frozen=True):
    """A visitor who is let in. `key`: None where no keys are configured."""

    principal: str
    caller: str
    csrf_token: str
    key: Key | None = None


class ConsoleHead(Struct, frozen=True):
    """What is known of a request before its body. `is_secure`: it came over TLS, to us or to the trusted proxy."""

    headers: Mapping[str, str]
    client: Client
    is_secure: bool
    cookies: Mapping[str, str]


class ConsoleAccess:
    """Decides about each request for the console. `secret`: of the data directory."""

    def __init__(
        self, rules: Rules, access: Access, keys: KeyFile, operator: Key, secret: bytes, now_ms: Callable[[], int]
    ) -> None:
        self._rules = rules
        self._access = access
        self._keys = keys
        self._operator = operator
        self._secret = hashlib.blake2b(secret, person=b"console").digest()
        self._now_ms = now_ms
        # Cookies are shared by all ports of a host: each service's has a name of its own.
        self.cookie_name = f"batchyard_session_{hashlib.blake2b(self._secret, digest_size=4).hexdigest()}"

    def admit(self, head: ConsoleHead) -> Admission | None:
        """Returns the visitor; None: they must sign in. Raises WireError 403."""
        if not self._current_keys():
            self._access.check_place(head.headers, head.client)
            if not self._rules.bound_to_loopback and not self._rules.insecure:
                raise denied("No keys are configured, and this service listens beyond its machine: add one.")
            caller = caller_of(head.client.host, head.client.user.uid)
            return Admission("console", caller, self._csrf(f"{LOCAL} {caller}"))
        self.check_transport(head)
        cookie = head.cookies.get(self.cookie_name, "")
        key = self._key_of(cookie)
        if key is None:
            return None
        return Admission(key.access_key_id, f"key {key.access_key_id}", self._csrf(cookie), key)

    def check_fetch(self, headers: Mapping[str, str], *, is_page: bool) -> None:
        """Refuses what pages of others request. `is_page`: a GET of a whole page, which links elsewhere may open.
        Raises WireError 403."""
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site in ("none", "same-origin") or (is_page and mode == "navigate"):
            return
        raise denied("Pages of another origin may only open pages of the console.")

    def check_write(self, head: ConsoleHead, admission: Admission, token: str) -> None:
        """Checks the origin of a write and its token. Raises WireError 403."""
        self.check_origin(head)
        if not hmac.compare_digest(admission.csrf_token.encode(), token.encode()):
            raise denied("The form is from another session: load its page again, and send it from there.")

    def check_origin(self, head: ConsoleHead) -> None:
        """Checks that a form was sent by a page of ours. Raises WireError 403."""
        self.check_fetch(head.headers, is_page=False)
        origin = head.headers.get("origin") or _origin_of(head.headers.get("referer", ""))
        host = head.headers.get("host", "").lower()
        if not host or origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise denied("Forms are sent from pages of the console alone: the request does not name it as its origin.")

    # -- signing in --

    def needs_sign_in(self) -> bool:
        return bool(self._current_keys())

    def sign_in(self, head: ConsoleHead, access_key_id: str, secret: str) -> str | None:
        """Returns the value of the session's cookie; None: there is no such key, or its secret is another. Raises
        WireError 403."""
        self.check_transport(head)
        key = self._find(access_key_id.strip())
        known = key.secret_access_key if key is not None else ""
        is_right = hmac.compare_digest(known.encode(), secret.strip().encode())
        return self._cookie(key, self._now_ms()) if key is not None and is_right else None

    def cookie(self, value: str, *, is_secure: bool, path: str) -> str:
        """Returns the Set-Cookie header of a session; of an empty value one that removes it."""
        age = SESSION_SECONDS if value else 0
        secure = "; Secure" if is_secure else ""
        return f"{self.cookie_name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    def _cookie(self, key: Key, at_ms: int) -> str:
        return f"{key.access_key_id}.{at_ms}.{self._proof(key, at_ms)}"

    def _key_of(self, cookie: str) -> Key | None:
        if not cookie or len(cookie) > MAX_COOKIE_CHARACTERS or not cookie.isascii():
            return None
        access_key_id, _, rest = cookie.partition(".")
        issued, _, proof = rest.partition(".")
        key = self._find(access_key_id)
        if key is None or not issued.isdigit() or len(issued) > len("9999999999999"):
            return None
        if not hmac.compare_digest(self._proof(key, int(issued)).encode(), proof.encode()):
            return None
        age_ms = self._now_ms() - int(issued)
        return key if -MAX_AHEAD_MS <= age_ms <= SESSION_SECONDS * 1000 else None

    def _proof(self, key: Key, at_ms: int) -> str:
        return self._digest(f"session {key.access_key_id} {at_ms} {key.secret_access_key}")

    def _csrf(self, session: str) -> str:
        return self._digest(f"csrf {session}")

    def _digest(self, text: str) -> str:
        found = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()[:DIGEST_BYTES]
        return base64.urlsafe_b64encode(found).decode()

    def _find(self, access_key_id: str) -> Key | None:
        if access_key_id == self._operator.access_key_id:
            return self._operator
        return self._current_keys().get(access_key_id)

    def _current_keys(self) -> dict[str, Key]:
        try:
            return self._keys.current()
        except PathError as error:
            raise WireError(
                "AccessDeniedException", f"No caller is served while keys cannot be read. {error}", 403
            ) from error

    def check_transport(self, head: ConsoleHead) -> None:
        """Refuses to take or to send what would let others in over a network that they can read."""
        if head.is_secure or (is_loopback(head.client.host) and _is_local(head.headers.get("host", ""))):
            return
        raise denied(
            "The console is not shown beyond this machine without TLS, since others could read keys on the way: "
            "give the service a certificate (--tls-cert and --tls-key), put a proxy with TLS before it and name its "
            "address with --trusted-proxy, or reach the console through a tunnel (ssh -L 8470:127.0.0.1:8470 HOST)."
        )


def _origin_of(referer: str) -> str:
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)
