"""Finds the service and the keys to sign with: in flags, the environment, and the files of a server in its data
directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8470"
DEFAULT_REGION = "us-east-1"
CREDENTIALS_SECONDS = 5.0  # a service of this machine answers within milliseconds
URL_VARIABLES = ("BATCHYARD_URL", "AWS_ENDPOINT_URL_BATCH", "AWS_ENDPOINT_URL")


class Credentials(NamedTuple):
    access_key: str
    secret_key: str
    session_token: str | None = None


# Where no keys are configured the service requires only a well-formed signature.
PLACEHOLDER = Credentials("batchyard", "batchyard")


class Endpoint(NamedTuple):
    """The address of a service, and the `credentials` to sign with, best first. The client tries the next where the
    service does not know a key. `certificate`: the file of the service's TLS certificate, where it is that of our data
    directory."""

    url: str
    region: str
    credentials: tuple[Credentials, ...]
    certificate: str = ""


def find_endpoint(url: str | None, variables: Mapping[str, str]) -> Endpoint:
    """Returns the service to call: `url`, else BATCHYARD_URL, AWS_ENDPOINT_URL_BATCH, AWS_ENDPOINT_URL, else the
    address that a server wrote to the data directory, else the default port of this machine."""
    data_directory = find_data_directory(variables)
    chosen = url or next((variables[name] for name in URL_VARIABLES if variables.get(name)), None)
    served, certificate = _served_address(data_directory)
    chosen = (chosen or served or DEFAULT_URL).rstrip("/")
    region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    found = (
        _credentials_of_environment(variables),
        _credentials_of_profile(variables),
        _credentials_of_job(variables, chosen),
        _operator_key(data_directory),
    )
    known = certificate if chosen == served else ""
    return Endpoint(chosen, region, tuple(one for one in found if one) or (PLACEHOLDER,), known)


def find_data_directory(variables: Mapping[str, str]) -> Path:
    """Returns BATCHYARD_DATA_DIR, else the one in the configuration file, else $XDG_DATA_HOME/batchyard, as the
    server does."""
    named = variables.get("BATCHYARD_DATA_DIR")
    if named:
        return Path(named).expanduser()
    configured = _configured_directory(variables)
    if configured is not None:
        return configured
    root = variables.get("XDG_DATA_HOME", "")
    if root.startswith("/"):  # the XDG specification: a relative path there is to be ignored
        return Path(root) / "batchyard"
    return Path(variables.get("HOME") or Path.home()) / ".local" / "share" / "batchyard"


def _configured_directory(variables: Mapping[str, str]) -> Path | None:
    """Returns `data_dir` of the configuration file; None where none can be read: the server reports what is wrong
    with it."""
    root = variables.get("XDG_CONFIG_HOME", "")
    home = Path(root) if root.startswith("/") else Path(variables.get("HOME") or Path.home()) / ".config"
    file = Path(variables.get("BATCHYARD_CONFIG") or home / "batchyard" / "config.toml").expanduser()
    try:
        content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    import tomllib  # only where there is such a file: the command starts faster without it

    try:
        named = tomllib.loads(content).get("data_dir")
    except tomllib.TOMLDecodeError:
        return None
    return file.absolute().parent / Path(named).expanduser() if isinstance(named, str) and named else None


def _served_address(data_directory: Path) -> tuple[str | None, str]:
    """Returns the address of the server of a data directory, and the file of its certificate."""
    document = _read_json(data_directory / "server.json")
    address, certificate = document.get("address"), document.get("certificate")
    return (address if isinstance(address, str) else None), certificate if isinstance(certificate, str) else ""


def _operator_key(data_directory: Path) -> Credentials | None:
    """Returns the key that the owner of the data directory always has."""
    keys = _read_json(data_directory / "operator-key.json").get("keys")
    key = keys[0] if isinstance(keys, list) and keys and isinstance(keys[0], dict) else {}
    access_key, secret_key = key.get("accessKeyId"), key.get("secretAccessKey")
    if isinstance(access_key, str) and isinstance(secret_key, str):
        return Credentials(access_key, secret_key)
    return None


def _read_json(path: Path) -> dict[str, object]:
    """Returns the object in `path`; empty where there is none that this user may read: the search goes on elsewhere."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _credentials_of_environment(variables: Mapping[str, str]) -> Credentials | None:
    access_key, secret_key = variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        return Credentials(access_key, secret_key, variables.get("AWS_SESSION_TOKEN") or None)
    return None


def _credentials_of_profile(variables: Mapping[str, str]) -> Credentials | None:
    """Returns the profile's static keys in the shared credentials file, AWS_PROFILE's or the default's."""
    named = variables.get("AWS_SHARED_CREDENTIALS_FILE")
    home = Path(variables.get("HOME") or Path.home())
    path = Path(named).expanduser() if named else home / ".aws" / "credentials"
    if not path.is_file():
        return None
    import configparser  # only where there is such a file: the command starts faster without it

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return None
    profile = variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE") or "default"
    if not parser.has_section(profile):
        return None
    access_key = parser.get(profile, "aws_access_key_id", fallback="")
    secret_key = parser.get(profile, "aws_secret_access_key", fallback="")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, parser.get(profile, "aws_session_token", fallback="") or None)


def _credentials_of_job(variables: Mapping[str, str], url: str) -> Credentials | None:
    """Returns the credentials of the attempt that this command is part of, where the service at `url` issued them."""
    place = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    authorization = variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if not place or not authorization or urlsplit(place)[:2] != urlsplit(url)[:2]:
        return None
    import urllib.request  # only inside a job: the command starts faster without it

    try:
        request = urllib.request.Request(place, headers={"Authorization": authorization})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=CREDENTIALS_SECONDS) as response:
            found = json.load(response)
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    except (OSError, ValueError, KeyError, TypeError):  # refused or not reached: there is a next key to try
        return None
