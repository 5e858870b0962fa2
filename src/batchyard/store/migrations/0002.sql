-- Small named things of several kinds: scheduling policies, instances, secrets.

CREATE TABLE documents (
    kind $TEXT NOT NULL,
    name $TEXT NOT NULL,
    body $TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
