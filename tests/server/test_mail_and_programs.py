"""Topics reach people through the owner's SMTP server, the owner's programs, and Apprise (observability spec 8.3)."""

from __future__ import annotations

import asyncio
import email
import json
import queue
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from email.message import Message as Mail
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest

from batchyard.server.deliveries import command_sender
from batchyard.server.deliveries.apprise_sender import AppriseSender, without_secrets
from batchyard.server.deliveries.command_sender import CommandSender
from batchyard.server.deliveries.mail_sender import MailSender
from batchyard.server.deliveries.message_signer import MessageSigner
from batchyard.server.deliveries.sender import ARRIVED, Outcome
from batchyard.server.deliveries.sns_messages import Links
from batchyard.server.settings.config import SettingError, load
from batchyard.server.settings.notify import Smtp
from batchyard.topics.machine import Notice
from tests.server.receiver import Receiver
from tests.server.running import Server
from tests.waiting import until

SECONDS = 60.0
TOPIC = "arn:aws:sns:us-east-1:123456789012:jobs"


class _Session(socketserver.StreamRequestHandler):
    """One connection of SMTP (RFC 5321). Recipients at refused.example and busy.example are not taken."""

    def handle(self) -> None:
        self.reply("220 mail.example")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "DATA":
                self.reply("354 go on")
                self.take()
            elif verb == "RCPT" and "@refused.example" in line:
                self.reply("550 no such mailbox")
            elif verb == "RCPT" and "@busy.example" in line:
                self.reply("451 later")
            elif verb == "QUIT":
                self.reply("221 bye")
                return
            else:
                self.reply("250 ok")

    def take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.server.mails.put(email.message_from_bytes(b"".join(lines)))  # type: ignore[attr-defined]
        self.reply("250 taken")

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: queue.Queue[Mail] = queue.Queue()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@pytest.fixture
def smtp() -> Iterator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def text_of(mail: Mail) -> str:
    content = mail.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r\n", "\n")


def notice(**members: Any) -> Notice:
    given = {"message_id": "m-1", "topic_arn": TOPIC, "subscription_arn": f"{TOPIC}:7f4c", "protocol": "email"}
    more = {"endpoint": "a@b.example", "published_at_ms": 1_770_113_742_123}
    return Notice(**({"kind": "Notification"} | given | more | members))


def test_subscribers_by_mail_a_program_and_apprise_get_what_is_published(
    tmp_path: Path, smtp: _Server, receiver: Receiver
) -> None:
    told = tmp_path / "told"
    config = tmp_path / "batchyard.toml"
    script = f"{{ echo $SNS_SUBJECT; cat; }} > {told}.new; mv {told}.new {told}"
    config.write_text(
        f'public_url = "https://batch.example.org/yard/"\n'
        f'[smtp]\nhost = "127.0.0.1"\nport = {smtp.port}\nsender = "yard@example.org"\nsecurity = "none"\n'
        f'[notify.pager]\ncommand = ["/bin/sh", "-c", "{script}"]\n'
        f'[notify.chat]\nurl = "json://user:password@{receiver.address}/room"\n'
    )
    with Server(tmp_path, "--config", str(config)) as server:
        sns = boto3.client(
            "sns", "us-east-1", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b"
        )
        topic = sns.create_topic(Name="jobs")["TopicArn"]
        arn = sns.subscribe(TopicArn=topic, Protocol="exec", Endpoint="pager")["SubscriptionArn"]
        assert arn.startswith(topic), "the owner's programs need no confirmation"
        assert sns.subscribe(TopicArn=topic, Protocol="apprise", Endpoint="chat")["SubscriptionArn"].startswith(topic)
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="me@example.org")
        asked = smtp.mails.get(timeout=SECONDS)
        assert (asked["To"], asked["From"]) == ("me@example.org", "yard@example.org")
        assert asked["Subject"] == "AWS Notification - Subscription Confirmation"
        link = re.search(r"https://batch\.example\.org/yard(/\S+ConfirmSubscription\S+)", text_of(asked))
        assert link is not None
        with urlopen(server.address + link[1]):
            sns.publish(TopicArn=topic, Message="Zwölf jobs failed", Subject="Failures")
        mail = smtp.mails.get(timeout=SECONDS)
        assert mail["Subject"] == "Failures"
        message, _, footer = text_of(mail).partition("\n\n--\n")
        assert message == "Zwölf jobs failed"
        assert "https://batch.example.org/yard/sns/?Action=Unsubscribe" in footer
        sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint="me@example.org")
        document = json.loads(text_of(smtp.mails.get(timeout=SECONDS)))
        assert (document["Type"], bool(document["Signature"])) == ("SubscriptionConfirmation", True)
        assert document["SigningCertURL"].startswith("https://batch.example.org/yard/sns/")
        until(told.exists, SECONDS, "the program")
        notified = json.loads(receiver.next(""))
        assert (notified["title"], notified["message"]) == ("Failures", "Zwölf jobs failed")
    assert told.read_text() == "Failures\nZwölf jobs failed"


def mailed(smtp: _Server, tmp_path: Path, endpoint: str, **members: Any) -> Outcome:
    sender = MailSender(
        Smtp("127.0.0.1", "yard@example.org", smtp.port, "none"), MessageSigner(tmp_path / "key.pem"), Links("http://x")
    )
    return asyncio.run(sender.send(notice(endpoint=endpoint, **members), "hello"))


@pytest.mark.parametrize("endpoint", [".a@b", "a..b@c.example", "a.@b.example", "'@x", "%@--"])
def test_odd_addresses_and_subjects_are_no_fault_of_the_service(smtp: _Server, tmp_path: Path, endpoint: str) -> None:
    assert mailed(smtp, tmp_path, endpoint, subject="two\nlines") == ARRIVED
    assert smtp.mails.get_nowait()["Subject"] == "two lines"


def test_what_mail_servers_answer(smtp: _Server, tmp_path: Path) -> None:
    assert mailed(smtp, tmp_path, "a@b.example") == ARRIVED
    assert smtp.mails.get_nowait()["Subject"] == "AWS Notification Message"
    refused = mailed(smtp, tmp_path, "a@refused.example")
    assert (refused.error_code, refused.is_final) == ("SMTP_550", True)
    busy = mailed(smtp, tmp_path, "a@busy.example")
    assert (busy.error_code, busy.is_final) == ("SMTP_451", False)
    smtp.server_close()
    gone = mailed(smtp, tmp_path, "a@b.example")
    assert (gone.error_code, gone.is_final) == ("CONNECTION_FAILURE", False)


def ran(*command: str) -> Outcome:
    async def run() -> Outcome:
        return await CommandSender({"pager": command}).send(notice(protocol="exec", endpoint="pager"), "hello")

    return asyncio.run(run())


def test_what_programs_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ran("/bin/sh", "-c", 'test "$(cat)" = hello && test "$SNS_TOPIC_ARN" = ' + TOPIC) == ARRIVED
    failed = ran("/bin/sh", "-c", "echo no signal >&2; exit 3")
    assert (failed.error_code, failed.is_final) == ("COMMAND_FAILED", False)
    assert failed.error == "/bin/sh ended with 3: no signal"
    assert ran("/no/such/program").error_code == "NO_RESOURCE"
    monkeypatch.setattr(command_sender, "TIMEOUT_SECONDS", 0.05)
    assert ran("/bin/sleep", "60").error_code == "TIMEOUT"


def notified(url: str, **members: Any) -> Outcome:
    async def run() -> Outcome:
        return await AppriseSender({"chat": url}).send(notice(protocol="apprise", endpoint="chat", **members), "hello")

    return asyncio.run(run())


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # Apprise imports it
def test_what_apprise_answers_is_kept_without_secrets(receiver: Receiver) -> None:
    url = f"json://user:secretword@{receiver.address}/token%201?key=secretkey"
    assert notified(url) == ARRIVED
    assert json.loads(receiver.next(""))["message"] == "hello"
    receiver.statuses = [500]
    failed = notified(url)
    assert (failed.error_code, failed.is_final) == ("APPRISE_FAILED", False)
    assert "error=500" in failed.error
    unknown = notified("nosuch://secretword@host")
    assert (unknown.error_code, unknown.is_final) == ("INVALID_PARAMETER", True)
    assert "secret" not in failed.error + unknown.error
    gone = asyncio.run(AppriseSender({}).send(notice(protocol="apprise", endpoint="chat"), "hello"))
    assert (gone.error_code, gone.is_final) == ("NO_RESOURCE", True)


def test_parts_of_a_url_are_hidden() -> None:
    text = without_secrets(
        "no user1234 at chat.example with a b+c and pw12", "slack://user1234:pw12@chat.example/a%20b%2Bc"
    )
    assert text == "no **** at chat.example with **** and ****"


def test_what_was_uninstalled_is_tried_again(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    outcome = notified(f"json://{receiver.address}/other")
    assert (outcome.error_code, outcome.is_final) == ("NO_RESOURCE", False)
    assert "pip install 'batchyard[apprise]'" in outcome.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[smtp]\nhost = "h"\n', "sender"),
        ('[smtp]\nhost = "h"\nsender = "s"\nsecurity = "ssl"\n', "none, starttls, tls"),
        ('[smtp]\nhost = "h"\nsender = "s"\nport = 0\n', "1 to 65535"),
        ('[smtp]\nhost = "h"\nsender = "s"\nuser = "u"\n', "go together"),
        ('[notify.pager]\ncommand = "page"\n', "[notify.pager] must have command"),
        ('[notify.chat]\nurl = "chat"\n', 'or url = "ntfy://my-topic"'),
        ('[notify.chat]\nurl = "json://x"\ncommand = ["page"]\n', "nothing else"),
        ('[notify."a b"]\ncommand = ["page"]\n', "a name of letters"),
        ("notify = 1\n", "must be tables"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SettingError, match=re.escape(words)):
        load({}, {}, path)


def test_ports_follow_from_the_security(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for security, port in (("none", 25), ("starttls", 587), ("tls", 465)):
        path.write_text(f'[smtp]\nhost = "h"\nsender = "s"\nsecurity = "{security}"\n')
        found = load({}, {}, path).smtp
        assert found is not None
        assert found.port == port
