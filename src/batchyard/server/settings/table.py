"""The table of settings: name, flag, kind, default, help and bounds of each, in the order of the reference."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from batchyard.core.tasks.requirements import MIN_MEMORY_MIB

MAX_PORT = 65535
MAX_VCPUS = 1_000_000  # a typing mistake, not a machine: keeps all sums of milli-vCPUs far below 64 bits
MAX_MEMORY_MIB = 1 << 40  # likewise
MAX_GPUS = 4096  # likewise: device ids are listed one by one
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
    """The type of a setting's value."""

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
        """Returns the allowed values, in words."""
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
        "tls_cert",
        Kind.PATH,
        "The TLS certificate of the port (PEM: its own first, then its issuers'); renewed files are read again.",
        default_help="none: plain HTTP",
    ),
    Setting("tls_key", Kind.PATH, "The key of tls_cert (PEM, without a password).", default_help="none: plain HTTP"),
    Setting(
        "public_url",
        Kind.TEXT,
        "The address of this service as receivers of topics reach it: in SubscribeURL, UnsubscribeURL, SigningCertURL "
        "and the links of mail.",
        default_help="the address it listens on",
        pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?",
        allowed="a URL such as https://batch.example.org",
    ),
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
        "How many GPUs this machine offers to jobs: the first of those found, and no more than there are.",
        default_help="the GPUs found",
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
        "otel_endpoint",
        Kind.TEXT,
        "An OpenTelemetry collector (OTLP over HTTP) that gets a trace of each job and the metrics of each minute; "
        "needs the extra `otel`.",
        default_help="none: nothing is sent",
        pattern=r"https?://[^\s/?#@]+(/[^\s?#]*)?",
        allowed="a URL such as http://127.0.0.1:4318",
        toml_key="otel.endpoint",
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
        "accept_unknown_integrations",
        Kind.SWITCH,
        "Accept state machines that call AWS services which do not run here: such a task fails when it is reached.",
        False,
        toml_key="workflows.accept_unknown_integrations",
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
        "metrics_open", Kind.SWITCH, "Answer /metrics without an access key too, where keys are configured.", False
    ),
    Setting(
        "trusted_proxy",
        Kind.TEXT,
        "The address of a proxy with TLS before the console: its header X-Forwarded-Proto is believed.",
        default_help="none",
        pattern=r"[0-9A-Fa-f.:]{2,45}",
        allowed="an IP address",
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
        "hosts_port",
        Kind.INTEGER,
        "The port where other machines join as hosts (batchyard join), over TLS; 0: none can.",
        0,
        maximum=65_535,
    ),
    Setting(
        "hosts_address",
        Kind.TEXT,
        "The address of this machine at which that port is.",
        "0.0.0.0",
    ),
    Setting(
        "host_lease_seconds",
        Kind.NUMBER,
        "How long a joined host runs on without a word from the server. A host that is lost is given up so much "
        "later; a server that is away for longer costs the jobs on its hosts.",
        300.0,
        minimum=1,
        maximum=MAX_SECONDS,
    ),
    Setting(
        "host_heartbeat_seconds",
        Kind.NUMBER,
        "How often a joined host asks for a longer lease; without an answer to three, it connects anew.",
        5.0,
        minimum=0.1,
        maximum=60,
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
        "How long finished jobs and their logs, and closed executions, are kept; 0 keeps them for ever.",
        0.0,
        maximum=MAX_DAYS,
    ),
    Setting(
        "log_disk_mib",
        Kind.INTEGER,
        "The disk that all logs together may take, in MiB: past it the oldest go, and say so; 0: no limit.",
        0,
        maximum=MAX_MIB,
    ),
    Setting(
        "max_request_kib",
        Kind.INTEGER,
        "The largest request body that is read, in KiB. PutLogEvents has up to 1 MiB of text, which JSON makes longer.",
        2048,
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
