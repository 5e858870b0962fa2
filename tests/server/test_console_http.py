"""The console over HTTP: who is let in, what may be sent, and the headers of every answer. In-process, by ASGI."""

import asyncio
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from batchyard.console.rendering import STATIC_HASH
from batchyard.core.model.facts import JobStateChanged
from batchyard.core.model.records import Status
from batchyard.server.access.access import Access, Rules
from batchyard.server.access.console_access import SESSION_SECONDS, ConsoleAccess
from batchyard.server.access.keys import Key, KeyFile, add_key, new_key, remove_key
from batchyard.server.access.peers import PeerUser
from batchyard.server.http import console_endpoint
from batchyard.server.http.app import PEER
from batchyard.server.http.console_endpoint import POLICY, BrowserHome, ConsoleEndpoint
from tests.console.site import Console, text_of

OWN_UID = 1000
HOST = "127.0.0.1:8470"
FORM = "application/x-www-form-urlencoded"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return text_of(self.body.decode())


class Browser:
    """Sends requests as a browser of this machine does, and keeps the session's cookie."""

    def __init__(self, directory: Path, rules: Rules, trusted_proxy: str = "") -> None:
        self.console = Console(directory)
        self.now_ms = 1_700_000_000_000
        self.keys_file = directory / "keys.json"
        self.operator = new_key("BYOP", "operator")
        keys = KeyFile(self.keys_file)
        access = Access(rules, keys, self.operator, lambda: self.now_ms, own_uid=OWN_UID)
        visitors = ConsoleAccess(rules, access, keys, self.operator, b"secret", lambda: self.now_ms)
        self.app = ConsoleEndpoint(self.console.site, visitors, trusted_proxy)
        self.cookies: dict[str, str] = {}
        self.peer, self.uid, self.host, self.scheme = "127.0.0.1", OWN_UID, HOST, "http"

    def request(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Reply:
        path, _, query = path.partition("?")
        body = urlencode(form or {}).encode()
        sent = {"host": self.host, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        if method == "POST":
            sent |= {"origin": f"{self.scheme}://{self.host}", "content-type": FORM, "sec-fetch-site": "same-origin"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "scheme": self.scheme,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
            "client": (self.peer, 40000),
            "state": {PEER: PeerUser(self.uid)},
        }
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        asyncio.run(self.app(scope, receive, send))  # type: ignore[arg-type]
        found = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        for morsel in SimpleCookie(found.get("set-cookie", "")).values():
            self.cookies[morsel.key] = morsel.value
        return Reply(messages[0]["status"], found, b"".join(one.get("body", b"") for one in messages[1:]))

    def get(self, path: str = "/console/", **headers: str) -> Reply:
        return self.request("GET", path, **headers)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        return self.request("POST", path, form, **headers)

    def token(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get().body.decode())
        assert found is not None
        return found[1]

    def sign_in(self, key: Key) -> Reply:
        return self.post("/console/sign-in", {"key": key.access_key_id, "secret": key.secret_access_key})


LOOPBACK = Rules("127.0.0.1", bound_to_loopback=True)
NETWORK = Rules("0.0.0.0", bound_to_loopback=False)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Browser]:
    made = Browser(tmp_path, LOOPBACK)
    yield made
    made.console.close()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Browser]:
    """A service that listens to a network, and has keys; the browser is on another machine."""
    made = Browser(tmp_path, NETWORK, trusted_proxy="10.0.0.9")
    made.peer, made.host, made.uid = "10.0.0.7", "yard.example:8470", 0
    made.key = add_key(made.keys_file, "ann")  # type: ignore[attr-defined]
    yield made
    made.console.close()


# -- headers --


def test_every_answer_has_the_strict_policy(local: Browser) -> None:
    paths = (
        "/console/",
        "/console",
        "/console/nonsense",
        f"/console/static/{STATIC_HASH}/console.css",
        "/console/jobs/x",
    )
    for path in paths:
        found = local.get(path).headers
        assert found["content-security-policy"] == POLICY
        assert found["x-content-type-options"] == "nosniff"
        assert found["referrer-policy"] == "same-origin"
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    refused = local.get(host="evil.example")
    assert (refused.status, refused.headers["content-security-policy"]) == (403, POLICY)


def test_static_files_are_kept_for_ever_by_their_hash(local: Browser) -> None:
    assert "immutable" in local.get(f"/console/static/{STATIC_HASH}/console.js").headers["cache-control"]
    assert local.get("/console/static/old/console.js").headers["cache-control"] == "no-store"
    assert local.get("/console/static/x/..%2f..%2frendering.py").status == 404
    assert local.get().headers["cache-control"] == "no-store"


def test_pages_are_compressed_where_browsers_take_it(local: Browser) -> None:
    plain, packed = local.get(), local.get(accept_encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2


def test_browsers_that_visit_the_port_get_to_the_console(local: Browser) -> None:
    async def api(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    local.app = BrowserHome(api)  # type: ignore[assignment]
    assert local.get("/", accept="text/html").headers["location"] == "/console/"
    assert local.get("/").status == 418
    assert local.get("/?Action=DescribeInstances", accept="text/html").status == 418


# -- the stream --


async def _first_event(browser: Browser, query: str, last_event_id: str = "") -> str:
    """The first event of a stream, which is left then."""
    headers = [(b"host", HOST.encode()), (b"last-event-id", last_event_id.encode())]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/console/live",
        "raw_path": b"/console/live",
        "query_string": query.encode(),
        "headers": headers if last_event_id else headers[:1],
        "client": ("127.0.0.1", 1),
        "state": {PEER: PeerUser(OWN_UID)},
    }
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"event:" in message.get("body", b"") and not found.done():
            found.set_result(message["body"].decode())

    serving = asyncio.create_task(browser.app(scope, receive, send))  # type: ignore[arg-type]
    event = await asyncio.wait_for(found, 30)
    left.set()
    await serving
    return event


def test_the_stream_names_what_changed_and_resumes(local: Browser) -> None:
    ring = local.console.ring
    for number in range(3):
        ring.add(JobStateChanged(1, number, f"job-{number}", "default", Status.RUNNING))
    event = asyncio.run(_first_event(local, "after=1&kinds=job"))
    assert event.startswith("id: 3\nevent: change\ndata: ")
    assert '"jobs":["job-1","job-2"]' in event
    assert '"jobs":["job-2"]' in asyncio.run(_first_event(local, "after=1&kinds=job", last_event_id="2"))
    assert '"all":true' in asyncio.run(_first_event(local, "after=99&kinds=job"))


# -- without keys --


def test_without_keys_programs_of_the_owner_on_this_machine_see_it(local: Browser) -> None:
    assert local.get().status == 200
    local.uid = 1234
    assert "serves no others" in local.get().text
    local.uid, local.host = OWN_UID, "evil.example"
    assert local.get().status == 403, "a name that points to 127.0.0.1 is not this machine"


def test_a_removed_last_key_does_not_open_the_console(network: Browser) -> None:
    remove_key(network.keys_file, "ann")
    network.scheme = "https"
    assert network.get().status == 403


def test_writes_need_the_token_of_a_page_and_its_origin(local: Browser) -> None:
    token = local.token()
    assert local.post("/console/theme", {"csrf": token, "theme": "dark"}).status == 303
    assert local.post("/console/theme", {"theme": "dark"}).status == 403
    assert local.post("/console/theme", {"csrf": token + "x"}).status == 403
    for origin in ("http://evil.example", "null", f"http://{HOST}.evil.example"):
        assert local.post("/console/theme", {"csrf": token}, origin=origin).status == 403
    assert local.post("/console/theme", {"csrf": token}, origin="", referer=f"http://{HOST}/console/").status == 303
    assert local.post("/console/theme", {"csrf": token}, origin="").status == 403
    assert local.post("/console/theme", {"csrf": token}, sec_fetch_site="cross-site").status == 403


def test_pages_of_others_may_link_here_and_no_more(local: Browser) -> None:
    assert local.get(sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200
    assert local.get(sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status == 403
    assert local.get(sec_fetch_site="cross-site", sec_fetch_mode="cors", x_console_fragment="1").status == 403
    assert local.get("/console/live", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 403


def test_bodies_are_forms_of_limited_size(local: Browser) -> None:
    assert local.post("/console/theme", {"csrf": "x"}, content_type="application/json").status == 415
    large = {"csrf": "x", "theme": "x" * console_endpoint.MAX_FORM_BYTES}
    assert local.post("/console/theme", large).status == 413
    assert local.get("/console/?" + "a" * (console_endpoint.MAX_QUERY_BYTES + 1)).status == 414


def test_sign_in_is_not_needed_without_keys(local: Browser) -> None:
    assert local.get("/console/sign-in").headers["location"] == "/console/"


def test_our_own_faults_are_logged_and_say_so(
    local: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(console_endpoint, "answer", broken)
    found = local.get()
    assert found.status == 500
    assert "An internal error occurred" in found.text
    assert "ZeroDivisionError" in caplog.text


# -- with keys --


def test_with_keys_visitors_sign_in(network: Browser) -> None:
    network.scheme = "https"
    key = network.key  # type: ignore[attr-defined]
    sent = network.get("/console/jobs?state=FAILED")
    assert (sent.status, sent.headers["location"]) == (303, "/console/sign-in?back=%2Fconsole%2Fjobs%3Fstate%3DFAILED")
    assert "Sign in" in network.get("/console/sign-in").text
    wrong = network.post("/console/sign-in", {"key": key.access_key_id, "secret": "wrong"})
    assert (wrong.status, "set-cookie" in wrong.headers) == (403, False)
    back = {"key": key.access_key_id, "secret": key.secret_access_key, "back": "/console/jobs"}
    entered = network.post("/console/sign-in", back)
    assert (entered.status, entered.headers["location"]) == (303, "/console/jobs")
    for part in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/console/"):
        assert part in entered.headers["set-cookie"]
    assert "ann" in network.get().body.decode()


def test_sessions_end_with_their_key_their_time_and_signing_out(network: Browser) -> None:
    network.scheme = "https"
    key = network.key  # type: ignore[attr-defined]
    network.sign_in(key)
    kept = dict(network.cookies)
    assert network.get().status == 200
    assert network.post("/console/sign-out", {"csrf": network.token()}).headers["location"] == "/console/sign-in"
    assert network.get().status == 303
    network.cookies = kept
    network.now_ms += SESSION_SECONDS * 1000 + 1
    assert network.get().status == 303
    network.sign_in(key)
    assert network.get().status == 200
    add_key(network.keys_file, "bob")
    remove_key(network.keys_file, "ann")
    assert network.get().status == 303


def test_a_changed_cookie_is_none(network: Browser) -> None:
    network.scheme = "https"
    network.sign_in(network.key)  # type: ignore[attr-defined]
    ((name, value),) = network.cookies.items()
    other = add_key(network.keys_file, "bob").access_key_id
    key_id, issued, proof = value.split(".")
    for changed in (
        f"{other}.{issued}.{proof}",
        f"{key_id}.{int(issued) + 1}.{proof}",
        f"{key_id}..{proof}",
        "",
        "x" * 600,
    ):
        network.cookies[name] = changed
        assert network.get().status == 303


def test_tokens_belong_to_one_session(network: Browser) -> None:
    network.scheme = "https"
    network.sign_in(network.key)  # type: ignore[attr-defined]
    token = network.token()
    network.sign_in(add_key(network.keys_file, "bob"))
    assert network.post("/console/theme", {"csrf": token}).status == 403


def test_the_owner_signs_in_with_the_operators_key(network: Browser) -> None:
    network.scheme = "https"
    assert network.sign_in(network.operator).status == 303
    assert network.get().status == 200


def test_beyond_the_machine_nothing_is_shown_without_tls(network: Browser) -> None:
    key = network.key  # type: ignore[attr-defined]
    for found in (network.get(), network.get("/console/sign-in"), network.sign_in(key)):
        assert found.status == 403
        assert "without TLS" in found.text
        assert "set-cookie" not in found.headers
    network.peer = "10.0.0.9"
    assert network.get(x_forwarded_proto="http").status == 403
    assert network.get(x_forwarded_proto="https").status == 303, "the proxy that the settings name is believed"
    network.peer = "10.0.0.8"
    assert network.get(x_forwarded_proto="https").status == 403, "and no other"
    network.peer, network.host = "127.0.0.1", "localhost:8470"
    assert network.get().status == 303, "a tunnel ends on this machine"
    network.host = "yard.example"
    assert network.get().status == 403, "a proxy on this machine brought it from elsewhere"


def test_sign_in_is_sent_by_its_own_page(network: Browser) -> None:
    network.scheme = "https"
    key = network.key  # type: ignore[attr-defined]
    form = {"key": key.access_key_id, "secret": key.secret_access_key}
    assert network.post("/console/sign-in", form, origin="https://evil.example").status == 403
    away = network.post("/console/sign-in", {**form, "back": "//evil.example"})
    assert away.headers["location"] == "/console/"


def test_a_read_only_key_sees_no_forms(network: Browser) -> None:
    network.scheme = "https"
    network.sign_in(add_key(network.keys_file, "eve", read_only=True))
    assert "read only" in network.get().body.decode()


def test_fragments_and_streams_need_a_session(network: Browser) -> None:
    network.scheme = "https"
    assert network.get(x_console_fragment="1").status == 401
    assert network.get("/console/live").status == 401
