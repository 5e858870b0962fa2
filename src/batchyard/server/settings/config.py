"""Settings of the service: one table, and the rule flag > environment > file > default.

The file is TOML, `$XDG_CONFIG_HOME/batchyard/config.toml` unless `--config` (or BATCHYARD_CONFIG) names another one.
A setting that stands there twice or is unknown, and a value that is not allowed, raise SettingError with a sentence.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from batchyard.server.settings.default_paths import SettingError as SettingError
from batchyard.server.settings.default_paths import absolute as absolute
from batchyard.server.settings.default_paths import config_home as config_home
from batchyard.server.settings.default_paths import data_home as data_home
from batchyard.server.settings.default_paths import is_inside as is_inside
from batchyard.server.settings.efs_directories import EFS_TABLE, file_systems

MAX_PORT = 65535
MAX_VCPUS = 1_000_000  # a typing mistake, not a machine: keeps all sums of milli-vCPUs far below 64 bits
MAX_MEMORY_MIB = 1 << 40  # likewise
MAX_GPUS = 4096  # likewise: device ids are listed one by one
MIN_MEMORY_MIB = 4  # the least memory a job may ask (Batch API model, ResourceRequirement)
MIN_REQUEST_KIB = 32  # SubmitJob takes 30 KiB (AWS Batch quotas): a smaller limit would refuse what AWS accepts
MAX_REQUEST_KIB = 64 * 1024  # a request is held in memory whole
MIN_CONNECTIONS = 16  # fewer would lock out the owner's own commands
MAX_CONNECTIONS = 1_000_000  # a typing mistake: each takes a file and some KiB
MAX_SECONDS = 366 * 24 * 3600  # a year: longer waits are typing mistakes
MAX_INTERRUPTIONS_PER_HOUR = 3600.0  # one a second: no instance would ever be ready
MAX_DAYS = 36_500  # a century: likewise
MAX_MIB = 1 << 30  # a pebibyte: likewise

VARIABLE_PREFIX = "BATCHYARD_"
CONFIG_VARIABLE = "BATCHYARD_CONFIG"
DOCUMENTATION = "docs/quickstart.md"
DOCUMENTATION_OF_CONTAINERS = "docs/how-to/containers.md"
SECRETS_KEY = "secrets.key"  # in the configuration directory


class Kind(StrEnum):
    """How a setting's value is written."""

    TEXT = "text"
    PATH = "path"
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    ASSIGNMENTS = "assignments"


class Setting(Struct, frozen=True):
    """One line of the table. `default` is the value itself, or None with `default_help` saying where it comes from."""

    name: str
    kind: Kind
    help: str
    default: Any = None
    default_help: str = ""
    minimum: float = 0
    maximum: float = 0
    choices: tuple[str, ...] = ()
    pattern: str = ""
    allowed: str = ""  # in words, for texts with a pattern
    toml_key: str = ""  # where it is not the name

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return VARIABLE_PREFIX + self.name.upper()

    @property
    def key(self) -> str:
        return self.toml_key or self.name

    @property
    def allowed_values(self) -> str:
        """What may stand there, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind in (Kind.INTEGER, Kind.NUMBER):
            noun = "an integer" if self.kind is Kind.INTEGER else "a number"
            return f"{noun} from {self.minimum:.0f} to {self.maximum:.0f}"
        if self.kind is Kind.SWITCH:
            return "true or false"
        if self.kind is Kind.ASSIGNMENTS:
            return "NAME=VALUE, where NAME is made of letters, digits and _ and starts with no digit"
        return self.allowed or ("a path" if self.kind is Kind.PATH else "a text")


TABLE: tuple[Setting, ...] = (
    Setting(
        "data_dir",
        Kind.PATH,
        "Where the service keeps everything: state, logs, keys.",
        default_help="$XDG_DATA_HOME/batchyard",
    ),
    Setting("host", Kind.TEXT, "The address to listen on.", "127.0.0.1"),
    Setting("port", Kind.INTEGER, "The port to listen on; 0 takes a free one.", 8470, maximum=MAX_PORT),
    Setting(
        "engine",
        Kind.TEXT,
        "What runs the jobs of `local`, made at the first start, and of environments that callers make: auto takes "
        "Docker where it answers.",
        "auto",
        choices=("auto", "process", "docker"),
    ),
    Setting(
        "enforce",
        Kind.TEXT,
        "How processes are held to their memory and vCPUs: watched (none), or by the kernel in cgroups of their own.",
        "none",
        choices=("none", "cgroup"),
    ),
    Setting(
        "account_id",
        Kind.TEXT,
        "The AWS account id in ARNs; fixed at the first start.",
        "123456789012",
        pattern=r"[0-9]{12}",
        allowed="12 digits (in a file in quotes)",
    ),
    Setting(
        "region",
        Kind.TEXT,
        "The region in ARNs; fixed at the first start. Requests signed for any region are served.",
        "us-east-1",
        pattern=r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}",
        allowed="a region's name such as us-east-1",
    ),
    Setting(
        "vcpus",
        Kind.INTEGER,
        "How many vCPUs this machine offers to jobs.",
        default_help="the processors this process may use",
        minimum=1,
        maximum=MAX_VCPUS,
    ),
    Setting(
        "memory",
        Kind.INTEGER,
        "How much memory this machine offers to jobs, in MiB.",
        default_help="this machine's memory less a reserve for the system",
        minimum=MIN_MEMORY_MIB,
        maximum=MAX_MEMORY_MIB,
    ),
    Setting(
        "gpus",
        Kind.INTEGER,
        "How many GPUs this machine offers to jobs.",
        default_help="the NVIDIA devices found",
        maximum=MAX_GPUS,
    ),
    Setting(
        "prices",
        Kind.PATH,
        "A TOML file that says what instance types cost per hour; the allocation strategies go by it.",
        default_help="nominal prices",
    ),
    Setting(
        "boot_seconds",
        Kind.NUMBER,
        "How long an instance of a MANAGED compute environment takes from its launch to its first job.",
        1.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "scale_down_seconds",
        Kind.NUMBER,
        "How long an instance without work stays; minScaleDownDelayMinutes of an environment wins.",
        30.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "blocked_seconds",
        Kind.NUMBER,
        "How long the first job of a queue waits for room before it is called blocked.",
        60.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "settle_seconds",
        Kind.NUMBER,
        "How long environments and queues are CREATING, UPDATING or DELETING, as on AWS; 0: changes are done when they "
        "are answered.",
        0.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "spot_interruptions_per_hour",
        Kind.NUMBER,
        "How often each Spot instance is taken away, on average; 0: never by itself.",
        0.0,
        maximum=MAX_INTERRUPTIONS_PER_HOUR,
    ),
    Setting(
        "spot_notice_seconds",
        Kind.NUMBER,
        "The notice of those interruptions: between SIGTERM and the loss.",
        120.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "work_dir", Kind.PATH, "Where jobs get their scratch directories.", default_help="work in the data directory"
    ),
    Setting(
        "secrets_key_file",
        Kind.PATH,
        "The key that secrets are encrypted with: made at the first secret, mode 0600, outside the data directory.",
        default_help="$XDG_CONFIG_HOME/batchyard/secrets.key",
    ),
    Setting(
        "job_env",
        Kind.ASSIGNMENTS,
        "A variable given to every job, below the job definition's own (repeatable).",
        (),
        toml_key="jobs.environment",
    ),
    Setting(
        "job_credentials",
        Kind.SWITCH,
        "Give each job credentials for this service, as SDKs find them in an ECS task.",
        True,
    ),
    Setting(
        "s3_endpoint",
        Kind.TEXT,
        "An S3 of your own (MinIO, Ceph, ...): every job is told of it as AWS_ENDPOINT_URL_S3.",
        default_help="none: jobs find AWS's",
        pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?",
        allowed="a URL such as http://10.0.0.5:9000",
        toml_key="s3.endpoint",
    ),
    Setting(
        "s3_keys_file",
        Kind.PATH,
        "The keys for it that jobs are given: a file like ~/.aws/credentials, mode 0600, section [default].",
        default_help="none: jobs sign with the credentials they have",
        toml_key="s3.keys_file",
    ),
    Setting(
        "allow_root_jobs",
        Kind.SWITCH,
        "Let jobs on the process engine name root, or root's group, as their `user`; of a service that root runs.",
        False,
    ),
    Setting(
        "aws_error_texts",
        Kind.SWITCH,
        "Put refusals of Batch operations within the words that AWS has around them: for clients that match texts.",
        False,
    ),
    Setting(
        "stop_grace_seconds",
        Kind.NUMBER,
        "How long a terminated job has between SIGTERM and SIGKILL.",
        30.0,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "log_limit_mib",
        Kind.INTEGER,
        "How much of one attempt's output is kept, in MiB: past it, its beginning and its end.",
        64,
        minimum=1,
        maximum=MAX_MIB,
    ),
    Setting(
        "allow_other_users",
        Kind.SWITCH,
        "While no keys are configured, serve the other users of this machine too.",
        False,
    ),
    Setting(
        "insecure", Kind.SWITCH, "Listen beyond this machine without keys: whoever reaches the port may call.", False
    ),
    Setting(
        "min_timeout_seconds",
        Kind.INTEGER,
        "The least attemptDurationSeconds a job may ask; AWS's is 60.",
        60,
        minimum=1,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "max_array_size",
        Kind.INTEGER,
        "The largest array job; AWS's limit is 10000. Tried with 1000000.",
        10_000,
        minimum=2,
        maximum=10_000_000,
    ),
    Setting(
        "max_job_kib",
        Kind.INTEGER,
        "The largest SubmitJob request in KiB; AWS's limit is 30.",
        30,
        minimum=1,
        maximum=1024,
    ),
    Setting(
        "max_overrides_characters",
        Kind.INTEGER,
        "Longer containerOverrides are accepted and fail when the job's turn comes, as on AWS.",
        8192,
        minimum=1,
        maximum=1_048_576,
    ),
    Setting(
        "scratch_keep_days",
        Kind.NUMBER,
        "How long the scratch directory of a failed attempt is kept.",
        7.0,
        maximum=MAX_SECONDS // (24 * 3600),
    ),
    Setting(
        "supervisor_idle_seconds",
        Kind.NUMBER,
        "How long the supervisor stays without a server and without attempts.",
        60.0,
        minimum=1,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "min_free_mib",
        Kind.INTEGER,
        "SubmitJob is refused while the data directory's disk has less free space, in MiB.",
        128,
        maximum=MAX_MIB,
    ),
    Setting(
        "check_on_start",
        Kind.SWITCH,
        "Check every invariant of what was loaded before serving; a broken one ends the start with its name.",
        False,
    ),
    Setting(
        "finished_days",
        Kind.NUMBER,
        "How long finished jobs and their logs are kept; 0 keeps them for ever.",
        0.0,
        maximum=MAX_DAYS,
    ),
    Setting(
        "max_request_kib",
        Kind.INTEGER,
        "The largest request body that is read, in KiB.",
        1024,
        minimum=MIN_REQUEST_KIB,
        maximum=MAX_REQUEST_KIB,
    ),
    Setting(
        "max_connections",
        Kind.INTEGER,
        "How many connections are open at once; fewer where the limit of open files is low.",
        4096,
        minimum=MIN_CONNECTIONS,
        maximum=MAX_CONNECTIONS,
    ),
    Setting(
        "max_connections_per_caller",
        Kind.INTEGER,
        "How many of them one user of this machine, or one address, may have; at most three quarters.",
        1024,
        minimum=1,
        maximum=MAX_CONNECTIONS,
    ),
)

BY_NAME = {setting.name: setting for setting in TABLE}
BY_KEY = {setting.key: setting for setting in TABLE}


class Settings(Struct, frozen=True):
    """What the service runs by. Paths are absolute; None means: detect (vcpus, memory in MiB, gpus)."""

    data_dir: Path
    work_dir: Path
    secrets_key_file: Path
    host: str = "127.0.0.1"
    port: int = 8470
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
    allow_root_jobs: bool = False
    stop_grace_seconds: float = 30.0
    log_limit_mib: int = 64
    allow_other_users: bool = False
    insecure: bool = False
    aws_error_texts: bool = False
    efs: tuple[tuple[str, str], ...] = ()  # of the configuration file's table [efs] alone
    min_timeout_seconds: int = 60
    max_array_size: int = 10_000
    max_job_kib: int = 30
    max_overrides_characters: int = 8192
    scratch_keep_days: float = 7.0
    supervisor_idle_seconds: float = 60.0
    min_free_mib: int = 128
    check_on_start: bool = False
    finished_days: float = 0.0
    max_request_kib: int = 1024
    max_connections: int = 4096
    max_connections_per_caller: int = 1024


def load(
    flags: Mapping[str, Any],
    variables: Mapping[str, str],
    config_file: Path | None = None,
    current_directory: Path | None = None,
) -> Settings:
    """The settings in force. `flags` by setting name, None where not given (texts, numbers and booleans alike, lists of
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
        # Variables for jobs add up by name: a flag for one job variable does not take away those of the file.
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
        if text:  # an empty variable is how a shell says: not set
            layer[setting.name] = _from_text(setting, text, setting.variable, here)
            _check(setting, layer[setting.name], setting.variable)
    return layer


def _from_text(setting: Setting, text: str, where: str, base: Path) -> Any:
    """The value of a flag or variable."""
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
    for key, value in _flatten(document):
        setting = BY_KEY.get(key)
        if setting is None:
            raise SettingError(f"{path}: there is no setting {key}. There are: {', '.join(sorted(BY_KEY))}.")
        layer[setting.name] = _from_toml(setting, value, f"{path}: {key}", path.parent)
    return layer


def _flatten(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Keys with their tables' names before them; a table that is itself a setting stays whole."""
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
