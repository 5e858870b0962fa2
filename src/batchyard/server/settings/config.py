"""Settings of the service: one table, and the rule flag > environment > file > default.

The file is TOML, `$XDG_CONFIG_HOME/batchyard/config.toml` unless `--config` (or BATCHYARD_CONFIG) names another one.
A setting that is there twice or is unknown, and a value that is not allowed, raise SettingError with a sentence.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard.server.settings.allowed_targets import TARGETS_TABLE, allowed_targets
from batchyard.server.settings.default_paths import SettingError as SettingError
from batchyard.server.settings.default_paths import absolute as absolute
from batchyard.server.settings.default_paths import config_home as config_home
from batchyard.server.settings.default_paths import data_home as data_home
from batchyard.server.settings.default_paths import is_inside as is_inside
from batchyard.server.settings.efs_directories import EFS_TABLE, file_systems
from batchyard.server.settings.image_names import IMAGES_TABLE, ImageLine, image_lines
from batchyard.server.settings.notify import NOTIFY_TABLE, SMTP_TABLE, Notify, Smtp, notify_of, smtp_of
from batchyard.server.settings.table import BY_KEY, BY_NAME, CONFIG_VARIABLE, SECRETS_KEY, TABLE, Kind, Setting

ENGINES = frozenset(BY_NAME["engine"].choices) - {"auto"}


class Settings(Struct, frozen=True):
    """The settings in force. Paths are absolute; None means: detect (vcpus, memory in MiB, gpus)."""

    data_dir: Path
    work_dir: Path
    secrets_key_file: Path
    host: str = "127.0.0.1"
    port: int = 8470
    public_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    engine: str = "auto"
    enforce: str = "none"
    account_id: str = "123456789012"
    region: str = "us-east-1"
    vcpus: int | None = None
    memory: int | None = None
    gpus: int | None = None
    prices: Path | None = None
    boot_seconds: float = 1.0
    scale_down_seconds: float = 30.0
    blocked_seconds: float = 60.0
    settle_seconds: float = 0.0
    spot_interruptions_per_hour: float = 0.0
    spot_notice_seconds: float = 120.0
    job_env: tuple[tuple[str, str], ...] = ()
    job_credentials: bool = True
    s3_endpoint: str | None = None
    s3_keys_file: Path | None = None
    otel_endpoint: str | None = None
    allow_root_jobs: bool = False
    stop_grace_seconds: float = 30.0
    log_limit_mib: int = 64
    allow_other_users: bool = False
    insecure: bool = False
    metrics_open: bool = False
    trusted_proxy: str | None = None
    aws_error_texts: bool = False
    accept_unknown_integrations: bool = False
    efs: tuple[tuple[str, str], ...] = ()  # of the configuration file's table [efs] alone
    images: tuple[ImageLine, ...] = ()  # of its table [images] alone
    allowed_targets: tuple[str, ...] = ()  # of its table [targets] alone
    smtp: Smtp | None = None  # of its table [smtp] alone
    notify: Notify = Notify()  # of its tables [notify.NAME] alone
    min_timeout_seconds: int = 60
    max_array_size: int = 10_000
    max_job_kib: int = 30
    max_overrides_characters: int = 8192
    scratch_keep_days: float = 7.0
    supervisor_idle_seconds: float = 60.0
    hosts_port: int = 0
    hosts_address: str = "0.0.0.0"
    host_lease_seconds: float = 300.0
    host_heartbeat_seconds: float = 5.0
    min_free_mib: int = 128
    check_on_start: bool = False
    finished_days: float = 0.0
    log_disk_mib: int = 0
    max_request_kib: int = 2048
    max_connections: int = 4096
    max_connections_per_caller: int = 1024


def load(
    flags: Mapping[str, Any],
    variables: Mapping[str, str],
    config_file: Path | None = None,
    current_directory: Path | None = None,
) -> Settings:
    """Loads the settings. `flags` by setting name, None where not given (texts, numbers and booleans alike, lists of
    NAME=VALUE for job_env). Raises SettingError."""
    here = current_directory or Path.cwd()
    named = config_file or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
    file = absolute(named, here) if named else config_home(variables) / "config.toml"
    layers = [
        _from_file(file, must_exist=named is not None),
        _from_variables(variables, here),
        _from_flags(flags, here),
    ]
    values: dict[str, Any] = {s.name: s.default for s in TABLE}
    assignments: dict[str, str] = {}
    for layer in layers:
        values.update(layer)
        # Variables for jobs are merged by name: a flag for one variable does not remove those of the file.
        assignments.update(layer.get("job_env", ()))
    values["job_env"] = tuple(assignments.items())
    values["data_dir"] = values["data_dir"] or data_home(variables)
    values["work_dir"] = values["work_dir"] or values["data_dir"] / "work"
    key_file = values["secrets_key_file"]
    if key_file is not None and is_inside(key_file, values["data_dir"]):
        raise SettingError(
            f"secrets_key_file must lie outside the data directory {values['data_dir']}, so that no copy of that holds "
            f"what opens its secrets; not {key_file}."
        )
    values["secrets_key_file"] = key_file or config_home(variables) / SECRETS_KEY
    return Settings(**values)


def parse_assignment(text: str, where: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not _is_variable(name) or "\0" in value:
        raise SettingError(f"{where} must be {BY_NAME['job_env'].allowed_values}; not {text!r}.")
    return name, value


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def _from_flags(flags: Mapping[str, Any], here: Path) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    for name, value in flags.items():
        setting = BY_NAME[name]
        if value is None or (setting.kind is Kind.ASSIGNMENTS and not value):
            continue
        if setting.kind is Kind.ASSIGNMENTS:
            layer[name] = tuple(parse_assignment(text, setting.flag) for text in value)
        else:
            layer[name] = _from_text(setting, value, setting.flag, here) if isinstance(value, str) else value
            _check(setting, layer[name], setting.flag)
    return layer


def _from_variables(variables: Mapping[str, str], here: Path) -> dict[str, Any]:
    layer: dict[str, Any] = {}
    for setting in TABLE:
        text = variables.get(setting.variable, "")
        if text:  # an empty variable is a shell's way to leave it unset
            layer[setting.name] = _from_text(setting, text, setting.variable, here)
            _check(setting, layer[setting.name], setting.variable)
    return layer


def _from_text(setting: Setting, text: str, where: str, base: Path) -> Any:
    """Returns the value of a flag or variable."""
    readers: dict[Kind, Callable[[], Any]] = {
        Kind.TEXT: lambda: text,
        Kind.PATH: lambda: absolute(Path(text), base),
        Kind.INTEGER: lambda: int(text),
        Kind.NUMBER: lambda: float(text),
        Kind.SWITCH: lambda: {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
            text.lower()
        ],
        # As a shell would split it, so that values may hold spaces: A=1 B='two words'.
        Kind.ASSIGNMENTS: lambda: tuple(parse_assignment(word, where) for word in shlex.split(text)),
    }
    try:
        return readers[setting.kind]()
    except (ValueError, KeyError) as error:
        raise SettingError(f"{where} must be {setting.allowed_values}; not {text!r}.") from error


def _from_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise SettingError(f"There is no configuration file {path}.") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"The configuration file {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"The configuration file {path} is not TOML: {error}.") from error
    layer: dict[str, Any] = {}
    if EFS_TABLE in document:
        layer["efs"] = file_systems(document.pop(EFS_TABLE), f"{path}: [{EFS_TABLE}]", path.parent)
    if IMAGES_TABLE in document:
        layer["images"] = image_lines(document.pop(IMAGES_TABLE), f"{path}: [{IMAGES_TABLE}]", ENGINES)
    if TARGETS_TABLE in document:
        layer["allowed_targets"] = allowed_targets(document.pop(TARGETS_TABLE), f"{path}: [{TARGETS_TABLE}]")
    if SMTP_TABLE in document:
        layer["smtp"] = smtp_of(document.pop(SMTP_TABLE), f"{path}: [{SMTP_TABLE}]")
    if NOTIFY_TABLE in document:
        layer["notify"] = notify_of(document.pop(NOTIFY_TABLE), str(path))
    for key, value in _flatten(document):
        setting = BY_KEY.get(key)
        if setting is None:
            raise SettingError(f"{path}: there is no setting {key}. There are: {', '.join(sorted(BY_KEY))}.")
        layer[setting.name] = _from_toml(setting, value, f"{path}: {key}", path.parent)
    return layer


def _flatten(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns keys prefixed with their tables' names; a table that is itself a setting stays whole."""
    found: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, dict) and name not in BY_KEY:
            found += [(f"{name}.{inner}", inner_value) for inner, inner_value in value.items()] or [(name, value)]
        else:
            found.append((name, value))
    return found


def _from_toml(setting: Setting, value: Any, where: str, base: Path) -> Any:
    shapes: dict[Kind, type | tuple[type, ...]] = {
        Kind.TEXT: str,
        Kind.PATH: str,
        Kind.INTEGER: int,
        Kind.NUMBER: (int, float),
        Kind.SWITCH: bool,
        Kind.ASSIGNMENTS: dict,
    }
    fits = isinstance(value, shapes[setting.kind])
    if not fits or (isinstance(value, bool) and setting.kind is not Kind.SWITCH):
        allowed = "a table of texts" if setting.kind is Kind.ASSIGNMENTS else setting.allowed_values
        raise SettingError(f"{where} must be {allowed}; not {value!r}.")
    if setting.kind is Kind.ASSIGNMENTS:
        for name, text in value.items():
            if not isinstance(text, str):
                raise SettingError(f"{where}.{name} must be a text in quotes; not {text!r}.")
        return tuple(parse_assignment(f"{name}={text}", where) for name, text in value.items())
    if setting.kind is Kind.PATH:
        return absolute(Path(value), base)
    value = float(value) if setting.kind is Kind.NUMBER else value
    _check(setting, value, where)
    return value


def _check(setting: Setting, value: Any, where: str) -> None:
    """Raises SettingError unless `value`, of the right type, is allowed."""
    fine = True
    if setting.choices:
        fine = value in setting.choices
    elif setting.kind in (Kind.INTEGER, Kind.NUMBER):
        fine = setting.minimum <= value <= setting.maximum  # false for NaN too
    elif setting.pattern:
        fine = re.fullmatch(setting.pattern, value) is not None
    elif setting.kind is Kind.TEXT:
        fine = bool(value) and "\0" not in value
    if not fine:
        raise SettingError(f"{where} must be {setting.allowed_values}; not {value!r}.")
