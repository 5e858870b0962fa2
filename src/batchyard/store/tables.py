"""The tables, defined once for every database: the queries are built from them, and the migrations must result in them.

Three kinds of rows. Documents (environments, queues, definitions): few, small, whole in `body`. `job_specs`: one wide
row per submission, never changed but for its tags. `jobs`: narrow rows that change, one per single job, array parent
and begun child; the children of an array are a range of keys, right after their parent's (names.child_key).

Executions are of both kinds: a wide row each, whose long texts come last so that listings do not read them, and rows of
frames and events beside it.

Every index serves a query named beside it; each costs about a microsecond of every write to its table.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, Table, Text, text

# SQLite makes only INTEGER PRIMARY KEY the row's own address; PostgreSQL's INTEGER has 32 bits.
KEY = BigInteger().with_variant(Integer(), "sqlite")
# Ranges over text (prefix searches, paging by name) must compare bytes, whatever locale the database was made with.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# Without parameters: an index over part of a table is used only by a query that shows the same condition.
UNFINISHED = "status IN ('SUBMITTED', 'PENDING', 'RUNNABLE', 'STARTING', 'RUNNING')"
STARTED = "started_at_ms > 0"
OPEN_EXECUTION = "status IN ('RUNNING', 'PENDING_REDRIVE')"
OPEN_MAP_RUN = "status = 'RUNNING'"
REDRIVEN = "redrive_count > 0"

# Sorts after every text that starts with what stands before it, in bytes of UTF-8.
TEXT_END = "\U0010ffff"

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),  # always 1
    Column("schema_version", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # counts the opens for writing: the fence
    Column("last_time_ms", BigInteger, nullable=False),
    Column("next_key", BigInteger, nullable=False),
    Column("account_id", TEXT, nullable=False),
    Column("region", TEXT, nullable=False),
    CheckConstraint("id = 1", name="meta_one_row"),
)

environments = Table(
    "environments",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

queues = Table(
    "queues",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

documents = Table(  # scheduling policies, instances and other small named things, by kind
    "documents",
    metadata,
    Column("kind", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

definitions = Table(
    "definitions",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("status", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # the highest ever given
)

log_groups = Table(
    "log_groups",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),  # of the first job submitted with it
)

job_specs = Table(
    "job_specs",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("last_key", BigInteger, nullable=False),  # of the last child; `key` itself for a single job
    Column("job_id", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("name_lower", TEXT, nullable=False),
    Column("queue", TEXT, nullable=False),
    Column("definition", TEXT, nullable=False),  # name:revision
    Column("share_identifier", TEXT),
    # Of its one container; both empty for a task of several, whose logs `container_logs` has.
    Column("log_group", TEXT, nullable=False),
    Column("stream_head", TEXT, nullable=False),  # what the names of its log streams start with, up to the task id
    Column("idempotency_key", TEXT),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("tags", TEXT, nullable=False),  # JSON; the only column that changes, and the only place of the tags
    Column("body", TEXT, nullable=False),
    Index("job_specs_job_id", "job_id", unique=True),
    Index("job_specs_by_name", "queue", "name_lower", text("key DESC")),  # ListJobs, JOB_NAME: grouped, newest first
    Index("job_specs_by_definition", "queue", "definition", "key"),  # ListJobs, JOB_DEFINITION
    Index("job_specs_by_time", "queue", "created_at_ms", "key"),  # ListJobs, *_CREATED_AT
    Index(  # ListJobs, SHARE_IDENTIFIER
        "job_specs_by_share",
        "queue",
        "share_identifier",
        "key",
        sqlite_where=text("share_identifier IS NOT NULL"),
        postgresql_where=text("share_identifier IS NOT NULL"),
    ),
    Index("job_specs_by_stream", "log_group", "stream_head", "key"),  # DescribeLogStreams
    Index(  # load: the keys of the last hour
        "job_specs_idempotency",
        "created_at_ms",
        sqlite_where=text("idempotency_key IS NOT NULL"),
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)

container_logs = Table(  # of tasks of several containers: a row for each
    "container_logs",
    metadata,
    Column("log_group", TEXT, primary_key=True),  # DescribeLogStreams, by name
    Column("stream_head", TEXT, primary_key=True),
    Column("key", KEY, primary_key=True, autoincrement=False),  # of the submission
    Index("container_logs_by_key", "key"),  # DescribeLogStreams, by time; pruning
)

facts = Table(  # facts that consumers ask for: one row for each transaction, until all consumers have them
    "facts",
    metadata,
    Column("sequence", KEY, primary_key=True, autoincrement=False),
    Column("body", TEXT, nullable=False),
)

fact_cursors = Table(  # the position of each consumer of facts
    "fact_cursors",
    metadata,
    Column("consumer", TEXT, primary_key=True),
    Column("body", TEXT, nullable=False),
)

deliveries = Table(  # messages on their way to targets outside
    "deliveries",
    metadata,
    Column("sequence", KEY, primary_key=True, autoincrement=False),
    Column("state", TEXT, nullable=False),  # all of it is loaded; it changes with each attempt
    Column("message", TEXT, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("queue", TEXT),  # NULL for children: listings of queues do not show them
    Column("status", TEXT, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),  # of the latest attempt that ran; 0: none ever did
    Column("stopped_at_ms", BigInteger, nullable=False),
    Column("body", TEXT, nullable=False),
    Index(  # ListJobs of a queue by status; counts
        "jobs_by_queue",
        "queue",
        "status",
        "key",
        sqlite_where=text("queue IS NOT NULL"),
        postgresql_where=text("queue IS NOT NULL"),
    ),
    Index(  # load; ListJobs of an array's unfinished children
        "jobs_unfinished", "status", "key", sqlite_where=text(UNFINISHED), postgresql_where=text(UNFINISHED)
    ),
    Index(  # DescribeLogStreams, newest first
        "jobs_by_start",
        "started_at_ms",
        "key",
        sqlite_where=text(STARTED),
        postgresql_where=text(STARTED),
    ),
)


def _partial(name: str, condition: str, *columns: str) -> Index:
    """Returns an index over the part of a table that fulfils a condition."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


executions = Table(
    "executions",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("arn", TEXT, nullable=False),
    Column("listed_under", TEXT, nullable=False),  # the ARN of its state machine; of a child that of its map run
    Column("version_arn", TEXT),
    Column("alias_arn", TEXT),
    Column("status", TEXT, nullable=False),
    Column("redrive_count", BigInteger, nullable=False),
    Column("body", TEXT, nullable=False),  # without `input`, `output` and `cause`
    Column("input", TEXT, nullable=False),
    Column("output", TEXT),
    Column("cause", TEXT),
    Index("executions_arn", "arn", unique=True),
    Index("executions_by_machine", "listed_under", "key"),  # ListExecutions, newest first
    Index("executions_by_status", "listed_under", "status", "key"),  # with a status filter
    _partial("executions_by_version", "version_arn IS NOT NULL", "version_arn", "key"),
    _partial("executions_by_alias", "alias_arn IS NOT NULL", "alias_arn", "key"),
    _partial("executions_redriven", REDRIVEN, "listed_under", "key"),  # with a redrive filter
    _partial("executions_open", OPEN_EXECUTION, "key"),  # load
)

execution_frames = Table(  # the threads of control of executions: one row for each
    "execution_frames",
    metadata,
    Column("execution_key", KEY, primary_key=True, autoincrement=False),
    Column("id", KEY, primary_key=True, autoincrement=False),
    Column("body", TEXT, nullable=False),
)

execution_events = Table(  # histories, appended: a row for some events in a row that were committed together
    "execution_events",
    metadata,
    Column("execution_key", KEY, primary_key=True, autoincrement=False),
    Column("first_id", KEY, primary_key=True, autoincrement=False),
    Column("last_id", KEY, nullable=False),
    Column("body", TEXT, nullable=False),
)

map_runs = Table(
    "map_runs",
    metadata,
    Column("arn", TEXT, primary_key=True),
    Column("execution_key", KEY, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Index("map_runs_by_execution", "execution_key", "started_at_ms", "arn"),  # ListMapRuns
    _partial("map_runs_open", OPEN_MAP_RUN, "arn"),  # load
)
