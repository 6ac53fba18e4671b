-- Several processes on one database. `number` is the writer's number in positions; it is never given twice.
-- `confirmed` is the last change of the feed that the node has applied, `lease_until` when it stops by itself.
CREATE TABLE nodes (
    number      BIGINT NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    address     TEXT   NOT NULL,
    role        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    joined_at   BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    confirmed   BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    left_at     BIGINT
);

-- With which a node joins, once. Only their hashes.
CREATE TABLE node_tokens (
    hash       BLOB   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

-- What changed, in the order of the commits, for the other nodes: `changes` is a JSON array of the nouns.
CREATE TABLE feed (
    number  BIGINT NOT NULL PRIMARY KEY,
    node    BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    changes TEXT   NOT NULL
);

-- Which node does what only one may do.
CREATE TABLE leases (
    name  TEXT   NOT NULL PRIMARY KEY,
    node  BIGINT NOT NULL,
    until BIGINT NOT NULL
);

-- What may be shown once, wherever it is shown, until it is worth nothing anyway.
CREATE TABLE shown_once (
    name BLOB   NOT NULL PRIMARY KEY,
    dies BIGINT NOT NULL
);
CREATE INDEX shown_once_by_end ON shown_once (dies);
