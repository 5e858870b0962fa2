-- Messages on their way to targets outside, until they have arrived or are given up.

CREATE TABLE deliveries (
    sequence $KEY NOT NULL,
    state $TEXT NOT NULL,
    message $TEXT NOT NULL,
    PRIMARY KEY (sequence)
);
