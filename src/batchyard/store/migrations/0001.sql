-- The first schema. What each index is for stands in tables.py.

CREATE TABLE meta (
    id $KEY NOT NULL,
    schema_version BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    last_time_ms BIGINT NOT NULL,
    next_key BIGINT NOT NULL,
    account_id $TEXT NOT NULL,
    region $TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT meta_one_row CHECK (id = 1)
);

CREATE TABLE environments (
    name $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE queues (
    name $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE definitions (
    name $TEXT NOT NULL,
    revision BIGINT NOT NULL,
    status $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (name, revision)
);

CREATE TABLE revisions (
    name $TEXT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE log_groups (
    name $TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE job_specs (
    key $KEY NOT NULL,
    last_key BIGINT NOT NULL,
    job_id $TEXT NOT NULL,
    name $TEXT NOT NULL,
    name_lower $TEXT NOT NULL,
    queue $TEXT NOT NULL,
    definition $TEXT NOT NULL,
    share_identifier $TEXT,
    log_group $TEXT NOT NULL,
    stream_head $TEXT NOT NULL,
    idempotency_key $TEXT,
    created_at_ms BIGINT NOT NULL,
    tags $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (key)
);

CREATE UNIQUE INDEX job_specs_job_id ON job_specs (job_id);
CREATE INDEX job_specs_by_name ON job_specs (queue, name_lower, key DESC);
CREATE INDEX job_specs_by_definition ON job_specs (queue, definition, key);
CREATE INDEX job_specs_by_time ON job_specs (queue, created_at_ms, key);
CREATE INDEX job_specs_by_stream ON job_specs (log_group, stream_head, key);
CREATE INDEX job_specs_idempotency ON job_specs (created_at_ms) WHERE idempotency_key IS NOT NULL;

CREATE TABLE jobs (
    key $KEY NOT NULL,
    queue $TEXT,
    status $TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    stopped_at_ms BIGINT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (key)
);

CREATE INDEX jobs_by_queue ON jobs (queue, status, key) WHERE queue IS NOT NULL;
CREATE INDEX jobs_unfinished ON jobs (status, key) WHERE status IN ('SUBMITTED', 'PENDING', 'RUNNABLE', 'STARTING', 'RUNNING');
CREATE INDEX jobs_by_start ON jobs (started_at_ms, key) WHERE started_at_ms > 0;
