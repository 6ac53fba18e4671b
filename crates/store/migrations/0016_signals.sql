-- Streams of security events to others. What a push needs is sealed; empty where it needs nothing.
CREATE TABLE signal_streams (
    id            TEXT   NOT NULL PRIMARY KEY,
    receiver      TEXT   NOT NULL UNIQUE REFERENCES agents (id),
    audience      TEXT   NOT NULL,
    endpoint      TEXT,
    sealed        BLOB   NOT NULL,
    events        TEXT   NOT NULL,
    description   TEXT,
    status        TEXT   NOT NULL,
    reason        TEXT,
    created_at    BIGINT NOT NULL,
    verified_at   BIGINT
);

-- What a receiver said of subjects: 1 it added them, 0 it removed them. Subjects are canonical JSON.
CREATE TABLE signal_subjects (
    stream  TEXT   NOT NULL REFERENCES signal_streams (id),
    subject TEXT   NOT NULL,
    wanted  BIGINT NOT NULL,
    PRIMARY KEY (stream, subject)
);

-- Events that wait for their delivery, in order. They are signed when they are sent.
CREATE TABLE signals (
    stream  TEXT   NOT NULL REFERENCES signal_streams (id),
    number  BIGINT NOT NULL,
    jti     TEXT   NOT NULL,
    made_at BIGINT NOT NULL,
    claims  TEXT   NOT NULL,
    control BIGINT NOT NULL,
    PRIMARY KEY (stream, number)
);
CREATE UNIQUE INDEX signals_by_name ON signals (stream, jti);

-- What others sent: each of their events is taken once. `person` is who it ended something for.
CREATE TABLE signals_received (
    transmitter TEXT   NOT NULL,
    jti         TEXT   NOT NULL,
    digest      BLOB   NOT NULL,
    received_at BIGINT NOT NULL,
    person      TEXT,
    PRIMARY KEY (transmitter, jti)
);
CREATE INDEX signals_received_by_time ON signals_received (transmitter, received_at);

-- What others sent too much of at once waits for a human.
CREATE TABLE signals_held (
    id          TEXT   NOT NULL PRIMARY KEY,
    transmitter TEXT   NOT NULL,
    event       TEXT   NOT NULL,
    person      TEXT   NOT NULL,
    action      TEXT   NOT NULL,
    reason      TEXT,
    received_at BIGINT NOT NULL,
    decided_at  BIGINT,
    decided_by  TEXT,
    applied     BIGINT
);
CREATE INDEX signals_held_waiting ON signals_held (decided_at, received_at);
