-- Executions of Step Functions: what runs, their threads of control, their histories, and the map runs of distributed Maps.

CREATE TABLE executions (
    key $KEY NOT NULL,
    arn $TEXT NOT NULL,
    listed_under $TEXT NOT NULL,
    version_arn $TEXT,
    alias_arn $TEXT,
    status $TEXT NOT NULL,
    redrive_count BIGINT NOT NULL,
    body $TEXT NOT NULL,
    input $TEXT NOT NULL,
    output $TEXT,
    cause $TEXT,
    PRIMARY KEY (key)
);

CREATE UNIQUE INDEX executions_arn ON executions (arn);
CREATE INDEX executions_by_machine ON executions (listed_under, key);
CREATE INDEX executions_by_status ON executions (listed_under, status, key);
CREATE INDEX executions_by_version ON executions (version_arn, key) WHERE version_arn IS NOT NULL;
CREATE INDEX executions_by_alias ON executions (alias_arn, key) WHERE alias_arn IS NOT NULL;
CREATE INDEX executions_redriven ON executions (listed_under, key) WHERE redrive_count > 0;
CREATE INDEX executions_open ON executions (key) WHERE status IN ('RUNNING', 'PENDING_REDRIVE');

CREATE TABLE execution_frames (
    execution_key $KEY NOT NULL,
    id $KEY NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (execution_key, id)
);

CREATE TABLE execution_events (
    execution_key $KEY NOT NULL,
    first_id $KEY NOT NULL,
    last_id $KEY NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (execution_key, first_id)
);

CREATE TABLE map_runs (
    arn $TEXT NOT NULL,
    execution_key $KEY NOT NULL,
    started_at_ms BIGINT NOT NULL,
    status $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (arn)
);

CREATE INDEX map_runs_by_execution ON map_runs (execution_key, started_at_ms, arn);
CREATE INDEX map_runs_open ON map_runs (arn) WHERE status = 'RUNNING';
