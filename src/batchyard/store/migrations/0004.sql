-- Tasks of several containers have a log stream for each: where the names of the streams start.

CREATE TABLE container_logs (
    log_group $TEXT NOT NULL,
    stream_head $TEXT NOT NULL,
    key $KEY NOT NULL,
    PRIMARY KEY (log_group, stream_head, key)
);

CREATE INDEX container_logs_by_key ON container_logs (key);
