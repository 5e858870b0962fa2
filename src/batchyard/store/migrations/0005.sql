-- Facts that consumers ask for, one row for those of a transaction, and how far each consumer has come.

CREATE TABLE facts (
    sequence $KEY NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (sequence)
);

CREATE TABLE fact_cursors (
    consumer $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (consumer)
);
