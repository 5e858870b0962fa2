"""HTTP requests to targets: what is sent, what is not waited for, and which addresses are not reached."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from batchyard.server.deliveries.http_client import Answer, Forbidden, HttpClient, Unreachable
from batchyard.server.settings.allowed_targets import is_reachable, parse_address
from batchyard.server.settings.config import SettingError, load

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Who: me\r\n\r\nhi"


class Target:
    """A server on loopback that keeps what it was sent and answers with `answer`; empty: never."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer, self.requests = answer, list[bytes]()
        self.url = ""
        self.open = 0  # connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = re.search(rb"(?i)content-length: (\d+)", head)
                self.requests.append(head + await reader.readexactly(int(found[1]) if found else 0))
                if self.answer:
                    writer.write(self.answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1

    def run(self, work: Callable[[HttpClient], Awaitable[None]], *allowed: str, is_guarded: bool = False) -> None:
        async def run() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=1"
            client = HttpClient(allowed, lambda: is_guarded)
            try:
                await work(client)
            finally:
                await client.close()
                server.close()
                for _ in range(1000):  # turns of the event loop: what the client closed is read as an end
                    if not self.open:
                        break
                    await asyncio.sleep(0.001)

        asyncio.run(run())


def test_a_request_is_sent_once_on_a_connection_that_is_kept() -> None:
    target = Target()

    async def work(client: HttpClient) -> None:
        for _ in range(2):
            answer = await client.send("POST", target.url, {"X-A": "1"}, b"body", 5)
            assert (answer.status, answer.headers["x-who"], answer.body) == (200, "me", b"hi")

    target.run(work)
    assert len(target.requests) == 2
    assert target.requests[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert b"X-A: 1\r\n" in target.requests[0]
    assert target.requests[0].endswith(b"\r\n\r\nbody")


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    target = Target(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async def work(client: HttpClient) -> None:
        assert (await client.send("POST", target.url, {}, b"", 5)).status == 302

    target.run(work)
    assert len(target.requests) == 1


def test_a_target_that_does_not_answer_is_left_after_the_time_out() -> None:
    target = Target(b"")

    async def work(client: HttpClient) -> None:
        with pytest.raises(Unreachable, match=r"http://127.0.0.1:\d+ did not answer within 0.05 s") as caught:
            await client.send("POST", target.url, {}, b"", 0.05)
        assert caught.value.is_timeout
        assert "hook" not in str(caught.value)  # paths of webhooks are secrets

    target.run(work)


def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    target = Target(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"800\r\n" + b"x" * 0x800 + b"\r\n")

    async def work(client: HttpClient) -> None:
        answer = await client.send("POST", target.url, {}, b"", 5, answer_bytes=1000)
        assert answer == Answer(200, {"transfer-encoding": "chunked"}, b"x" * 1000)

    target.run(work)


@pytest.mark.parametrize(("url", "text"), [("ftp://a/", "http://"), ("a", "http://"), ("http://exämple/", "ASCII")])
def test_what_is_no_address_is_refused(url: str, text: str) -> None:
    async def work(client: HttpClient) -> None:
        with pytest.raises(ValueError, match=text):
            await client.send("POST", url, {}, b"", 5)
        with pytest.raises(ValueError, match="cannot be sent"):
            await client.send("POST", target.url, {"X": "a\r\nb"}, b"", 5)

    target = Target()
    target.run(work)
    assert target.requests == []


def test_a_host_without_a_server_or_a_name_is_unreachable() -> None:
    async def work(client: HttpClient) -> None:
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
            await client.send("POST", "http://127.0.0.1:1/", {}, b"", 5)
        with pytest.raises(Unreachable, match="name cannot be resolved"):
            await client.send("POST", "http://no-such-host.invalid/", {}, b"", 5)

    Target().run(work)


def test_with_keys_the_service_s_own_machine_is_reached_only_where_it_is_allowed() -> None:
    target = Target()

    async def refused(client: HttpClient) -> None:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(
                Forbidden, match=f"{host} has the address .* add {host} or its network to .targets. allow"
            ):
                await client.send("POST", target.url.replace("127.0.0.1", host), {}, b"", 5)

    async def sent(client: HttpClient) -> None:
        assert (await client.send("POST", target.url, {}, b"", 5)).status == 200

    target.run(refused, is_guarded=True)
    assert target.requests == []
    target.run(sent, "127.0.0.0/8", is_guarded=True)
    assert len(target.requests) == 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::1", False),
    ],
)
def test_addresses_that_are_not_of_the_internet_are_known(address: str, expected: bool) -> None:
    assert is_reachable("host", parse_address(address), ()) is expected


def test_the_owner_allows_addresses_networks_and_names(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[targets]\nallow = ["10.0.0.0/8", "::1", "Hooks.Example.org"]\n')
    allowed = load({}, {}, path).allowed_targets
    assert is_reachable("a", ip_address("10.9.9.9"), allowed)
    assert is_reachable("a", ip_address("::ffff:10.9.9.9"), allowed)
    assert is_reachable("a", ip_address("::1"), allowed)
    assert is_reachable("HOOKS.example.org", ip_address("192.168.1.1"), allowed)
    assert not is_reachable("a", ip_address("192.168.1.1"), allowed)
    assert load({}, {}, None, tmp_path).allowed_targets == ()


@pytest.mark.parametrize(
    "text", ["targets = 1", '[targets]\nallow = "a"', '[targets]\nallow = ["a b"]', "[targets]\nx = []"]
)
def test_other_lines_are_refused_with_an_example(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SettingError, match=r"10\.0\.0\.0/8"):
        load({}, {}, path)
