"""`batchyard secrets`: stores values, and never prints one. No value is an argument, since `ps` shows arguments to
all users."""

from __future__ import annotations

import sys
import uuid
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from batchyard.cli.options import Json, Url, connect, reports_errors
from batchyard.cli.usage import Application

MAX_VALUE_BYTES = 65_536  # of a secret (API: SecretStringType)

secrets_app = Application(help="Passwords and the like for jobs: encrypted, and named by them.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name; its ARN will do too.")]


@secrets_app.command("set")
@reports_errors
def set_secret(
    name: Name,
    from_file: Annotated[
        str | None, typer.Option("--from-file", metavar="PATH", help="Take the value from this file as it is.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a secret, or give it a new value. The value comes from standard input, or from a prompt that hides it.

    One newline at the end of standard input is not part of the value."""
    from batchyard.cli.client import SECRETS, ServiceError
    from batchyard.cli.terminal_output import print_json, say, shown

    request: dict[str, Any] = {"SecretString": read_value(from_file), "ClientRequestToken": str(uuid.uuid4())}
    if description is not None:
        request["Description"] = description
    with connect(url) as client:
        try:
            answer = client.call("UpdateSecret", {"SecretId": name} | request, SECRETS)
        except ServiceError as refusal:
            if refusal.code != "ResourceNotFoundException":
                raise
            answer = client.call("CreateSecret", {"Name": name} | request, SECRETS)
    if as_json:
        print_json(answer)
    else:
        say(shown(f"Set {answer['Name']}. Jobs name it as {answer['ARN']}"))


@secrets_app.command("list")
@reports_errors
def list_secrets(url: Url = None, as_json: Json = False) -> None:
    """List the secrets, without their values."""
    from batchyard.cli.client import SECRETS
    from batchyard.cli.formats import clock, table
    from batchyard.cli.terminal_output import print_json, say, shown, tell

    found: list[dict[str, Any]] = []
    request: dict[str, Any] = {"IncludePlannedDeletion": True}
    with connect(url) as client:
        while True:
            page = client.call("ListSecrets", request, SECRETS)
            found += page["SecretList"]
            if "NextToken" not in page:
                break
            request["NextToken"] = page["NextToken"]
    if as_json:
        print_json(found)
        return
    if not found:
        tell("No secrets. Make one with: batchyard secrets set NAME")
        return
    rows = [
        (
            shown(secret["Name"]),
            clock(round(secret["LastChangedDate"] * 1000)),
            "deleted" if "DeletedDate" in secret else "" if "SecretVersionsToStages" in secret else "no value",
            secret["ARN"],
            shown(secret.get("Description", "")),
        )
        for secret in found
    ]
    say(table(("NAME", "CHANGED", "STATE", "ARN", "DESCRIPTION"), rows))


@secrets_app.command("rm")
@reports_errors
def rm_secret(
    name: Name,
    now: Annotated[bool, typer.Option("--now", help="At once and for good, also one that was deleted before.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Delete a secret. For 30 days it is out of reach, and RestoreSecret brings it back; with --now it is gone."""
    from batchyard.cli.client import SECRETS
    from batchyard.cli.formats import clock
    from batchyard.cli.terminal_output import print_json, say, shown

    with connect(url) as client:
        request: dict[str, Any] = {"SecretId": name} | ({"ForceDeleteWithoutRecovery": True} if now else {})
        answer = client.call("DeleteSecret", request, SECRETS)
    if as_json:
        print_json(answer)
    elif now:
        say(shown(f"Removed {answer['Name']}."))
    else:
        gone = clock(round(answer["DeletionDate"] * 1000))
        say(shown(f"Deleted {answer['Name']}: it goes for good at {gone}."))


def read_value(path: str | None) -> str:
    """Reads the value: from the file as it is, else from standard input, else from the user at the terminal."""
    from batchyard.cli.client import ClientError

    if path is not None:
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_VALUE_BYTES + 1)
        except OSError as error:
            raise ClientError(f"{path} cannot be read: {error.strerror}.") from error
    elif sys.stdin.isatty():
        try:
            return _checked(getpass("Value: ").encode())
        except EOFError:
            raise ClientError("No value was given.") from None
    else:
        content = sys.stdin.buffer.read(MAX_VALUE_BYTES + 2).removesuffix(b"\n")
    return _checked(content)


def _checked(content: bytes) -> str:
    from batchyard.cli.client import ClientError

    if not 1 <= len(content) <= MAX_VALUE_BYTES:
        raise ClientError(f"A secret's value must have 1 to {MAX_VALUE_BYTES} bytes.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ClientError(
            "The value is no UTF-8 text, and jobs are given texts only: encode it first, with base64 for one."
        ) from None
