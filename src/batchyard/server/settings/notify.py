"""The configuration file's tables [smtp] and [notify.NAME]: how topics reach people by mail, by programs of the owner
and through Apprise."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from batchyard.server.settings.default_paths import SettingError

SMTP_TABLE, NOTIFY_TABLE = "smtp", "notify"
SMTP_EXAMPLE = 'host = "mail.example.org" and sender = "batchyard@example.org"'
NOTIFY_EXAMPLE = 'command = ["/usr/local/bin/page", "team"] or url = "ntfy://my-topic"'
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+-]*://.+")  # what Apprise understands of it is known where Apprise is installed
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PORTS = {"none": 25, "starttls": 587, "tls": 465}  # by security
TEXTS = ("host", "sender", "user", "password", "security")


class Smtp(Struct, frozen=True):
    """The owner's mail server. `security`: none, starttls or tls. `user`: empty: mail is sent without logging in."""

    host: str
    sender: str
    port: int
    security: str = "starttls"
    user: str = ""
    password: str = ""


def smtp_of(table: Any, where: str) -> Smtp:
    """Returns the table [smtp]. Raises SettingError."""
    known = {*TEXTS, "port"}
    if not isinstance(table, dict) or not table.keys() <= known or not {"host", "sender"} <= table.keys():
        raise SettingError(f"{where} must have {SMTP_EXAMPLE}, and may have {', '.join(sorted(known))}.")
    for name in TEXTS:
        if name in table and not (isinstance(table[name], str) and table[name].isprintable() and table[name]):
            raise SettingError(f"{where}: {name} must be a text in quotes.")
    security = table.get("security", "starttls")
    if security not in PORTS:
        raise SettingError(f"{where}: security must be one of {', '.join(PORTS)}; not {security!r}.")
    port = table.get("port", PORTS[security])
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise SettingError(f"{where}: port must be a number from 1 to 65535; not {port!r}.")
    if ("user" in table) != ("password" in table):
        raise SettingError(f"{where}: user and password go together.")
    return Smtp(table["host"], table["sender"], port, security, table.get("user", ""), table.get("password", ""))


class Notify(Struct, frozen=True):
    """The tables [notify.NAME], by name: programs with their arguments, and URLs of Apprise, which hold secrets."""

    commands: dict[str, tuple[str, ...]] = {}
    urls: dict[str, str] = {}


def notify_of(tables: Any, where: str) -> Notify:
    """Returns the tables [notify.NAME]. Raises SettingError."""
    if not isinstance(tables, dict):
        raise SettingError(f"{where} must be tables [notify.NAME] with {NOTIFY_EXAMPLE}.")
    commands, urls = {}, {}
    for name, table in tables.items():
        members = table if isinstance(table, dict) else {}
        if NAME.fullmatch(name) and members.keys() == {"command"} and _is_command(members["command"]):
            commands[name] = tuple(members["command"])
        elif NAME.fullmatch(name) and members.keys() == {"url"} and _is_url(members["url"]):
            urls[name] = members["url"]
        else:
            raise SettingError(
                f"{where}: [notify.{name}] must have {NOTIFY_EXAMPLE} and nothing else, and a name of letters, digits, "
                "- and _."
            )
    return Notify(commands, urls)


def _is_command(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and "\0" not in word for word in value)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and URL.fullmatch(value) is not None
