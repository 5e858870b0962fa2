"""The owner's S3 for jobs: its address, its keys, and whether it answers.

The service itself keeps nothing there: it gives every job the address and the keys, and distributed Maps read their
items from it and write their results to it.
"""

from __future__ import annotations

import configparser
import hashlib
import http.client
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from batchyard.clock import wall_clock_ms
from batchyard.server.settings.config import SettingError, Settings
from batchyard.wire.sigv4 import sign

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_S3"
PROFILE = "default"  # the section that SDKs read where no other is named
KEY_ID, SECRET, TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
EXAMPLE = f"[{PROFILE}], {KEY_ID} = ... and {SECRET} = ..."
TIMEOUT_SECONDS = 5.0  # a healthy one answers in milliseconds; the caller waits
MAX_ANSWER_BYTES = 64 * 1024  # of a list of buckets: its beginning is enough to recognise it
FORBIDDEN = 403
# S3's answer to keys that it knows, whose owner may just not list buckets.
MAY_NOT_LIST = "AccessDenied"

_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class S3(Struct, frozen=True):
    """`keys`: access key id and secret access key; None: jobs sign with what they have."""

    endpoint: str
    keys: tuple[str, str] | None = None

    def __repr__(self) -> str:
        """Leaves out the keys: this may end up in a log."""
        return f"S3({self.endpoint!r})"


def s3_of(settings: Settings) -> S3 | None:
    """Returns the S3 of the settings; None where they name none. Raises SettingError with a sentence about the keys'
    file."""
    if settings.s3_endpoint is None:
        if settings.s3_keys_file is not None:
            raise SettingError("s3_keys_file holds keys for an S3 that is not named: say where it is with s3_endpoint.")
        return None
    keys = _read_keys(settings.s3_keys_file) if settings.s3_keys_file is not None else None
    return S3(settings.s3_endpoint.rstrip("/"), keys)


def _read_keys(path: Path) -> tuple[str, str]:
    where = f"The file of S3 keys {path}"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        with path.open(encoding="utf-8") as file:
            mode = path.stat().st_mode
            parser.read_file(file)
    except FileNotFoundError as error:
        raise SettingError(f"There is no file of S3 keys {path}: write {EXAMPLE} to it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{where} cannot be read: {error}.") from error
    except configparser.Error as error:
        # Not the parser's own text: it quotes lines, and one of them may be a key.
        raise SettingError(f"{where} is not in the form of ~/.aws/credentials: {EXAMPLE}.") from error
    if mode & 0o077:
        raise SettingError(f"{where} can be read by other users: run chmod 600 {path}.")
    if not parser.has_section(PROFILE):
        raise SettingError(f"{where} has no section [{PROFILE}]: {EXAMPLE}.")
    key_id, secret = (parser.get(PROFILE, name, fallback="") for name in (KEY_ID, SECRET))
    if not key_id or not secret:
        raise SettingError(f"{where} needs both {KEY_ID} and {SECRET} in its section [{PROFILE}].")
    if parser.get(PROFILE, TOKEN, fallback=""):
        raise SettingError(f"{where} holds a session token, which would expire under running jobs: use lasting keys.")
    return key_id, secret


def problem_of(s3: S3, region: str) -> str:
    """Lists its buckets as a job could. Returns empty when it answers and accepts the keys, else a clause with the
    reason."""
    try:
        status, body = _get(s3, region)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({str(error) or type(error).__name__})"
    found = _CODE.search(body)
    code = found[1].decode() if found else ""
    if s3.keys is None or status == http.client.OK or (status, code) == (FORBIDDEN, MAY_NOT_LIST):
        return ""
    if status == FORBIDDEN:
        return f"the keys are refused ({code or status})"
    return f"it does not answer as an S3 does (status {status}{f', {code}' if code else ''})"


def _get(s3: S3, region: str) -> tuple[int, bytes]:
    url = f"{s3.endpoint}/"
    headers = {"x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
    if s3.keys is not None:
        key_id, secret = s3.keys
        headers = sign(
            "GET",
            url,
            headers,
            b"",
            access_key=key_id,
            secret_key=secret,
            session_token=None,
            region=region,
            service="s3",
            now_ms=wall_clock_ms(),
        )
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()
