-- One text for SQLite and PostgreSQL: TEXT ids, BIGINT microseconds and counters, BIGINT 0/1 booleans.
-- On SQLite a BIGINT column holds 64 bits; hashes and sealed values are BLOB there and BYTEA in the other's own file.

CREATE TABLE agents (
    id             TEXT   NOT NULL PRIMARY KEY,
    name           TEXT   NOT NULL UNIQUE,
    kind           TEXT   NOT NULL,
    sponsor        TEXT   NOT NULL,
    owner          TEXT   NOT NULL,
    purpose        TEXT   NOT NULL,
    blueprint      TEXT,
    state          TEXT   NOT NULL,
    epoch          BIGINT NOT NULL,
    bearer         TEXT   NOT NULL,
    key_thumbprint TEXT,
    public_jwk     TEXT,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL
);

-- One-time codes with which an agent proves its key. The code itself is nowhere: only its hash.
CREATE TABLE enrolments (
    code_hash  BLOB   NOT NULL PRIMARY KEY,
    agent      TEXT   NOT NULL REFERENCES agents (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

-- Private keys of this server, sealed.
CREATE TABLE keys (
    id          TEXT   NOT NULL PRIMARY KEY,
    purpose     TEXT   NOT NULL,
    public      TEXT   NOT NULL,
    sealed      BLOB   NOT NULL,
    kek_version BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    retired_at  BIGINT
);
CREATE INDEX keys_by_purpose ON keys (purpose, created_at);

CREATE TABLE sessions (
    id        TEXT   NOT NULL PRIMARY KEY,
    agent     TEXT   NOT NULL REFERENCES agents (id),
    instance  TEXT,
    epoch     BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    opened_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    idle      BIGINT NOT NULL,
    used_at   BIGINT NOT NULL
);
CREATE INDEX sessions_by_agent ON sessions (agent, opened_at);
CREATE INDEX sessions_open ON sessions (ends_at) WHERE state = 'open';

CREATE TABLE grants (
    id            TEXT   NOT NULL PRIMARY KEY,
    template      TEXT   NOT NULL,
    principal     TEXT   NOT NULL,
    resource      TEXT   NOT NULL,
    mode          TEXT   NOT NULL,
    justification TEXT   NOT NULL,
    granted_by    TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT
);
CREATE INDEX grants_by_principal ON grants (principal);

CREATE TABLE servers (
    name       TEXT   NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL
);

CREATE TABLE tools (
    server          TEXT   NOT NULL REFERENCES servers (name),
    name            TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    digest          BLOB   NOT NULL,
    definition      TEXT   NOT NULL,
    seen_digest     BLOB,
    seen_definition TEXT,
    since           BIGINT NOT NULL,
    PRIMARY KEY (server, name)
);

-- Upstream credentials, sealed.
CREATE TABLE secrets (
    name        TEXT   NOT NULL PRIMARY KEY,
    version     BIGINT NOT NULL,
    sealed      BLOB   NOT NULL,
    kek_version BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE findings (
    rule      TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    severity  TEXT   NOT NULL,
    evidence  TEXT   NOT NULL,
    owasp     TEXT   NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    PRIMARY KEY (rule, subject, opened_at)
);
CREATE UNIQUE INDEX findings_open ON findings (rule, subject) WHERE closed_at IS NULL;

-- Every policy set that was ever in force: decisions are explained with the policies as they were.
CREATE TABLE policy_sets (
    version   TEXT   NOT NULL PRIMARY KEY,
    files     TEXT   NOT NULL,
    loaded_at BIGINT NOT NULL
);

CREATE TABLE log_writers (
    writer     BIGINT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

-- One row per commit. `leaves` holds 32 bytes an entry, `entries` a big-endian 32-bit length and the bytes of each.
-- `bodies` stands last: who reads entries does not read it, and what is erased from it moves nothing else.
-- Without a rowid the row is in its index: a commit touches one B-tree, not two.
CREATE TABLE log_segments (
    writer       BIGINT NOT NULL REFERENCES log_writers (writer),
    first_seq    BIGINT NOT NULL,
    count        BIGINT NOT NULL,
    committed_at BIGINT NOT NULL,
    leaves       BLOB   NOT NULL,
    entries      BLOB   NOT NULL,
    bodies       BLOB,
    PRIMARY KEY (writer, first_seq)
) WITHOUT ROWID;

-- Derived from the segments: the order of the tree, its tiles, its signed checkpoints.
CREATE TABLE log_sequence (
    first_index BIGINT NOT NULL PRIMARY KEY,
    writer      BIGINT NOT NULL,
    first_seq   BIGINT NOT NULL,
    count       BIGINT NOT NULL,
    UNIQUE (writer, first_seq)
);
CREATE TABLE log_tiles (
    level  BIGINT NOT NULL,
    idx    BIGINT NOT NULL,
    width  BIGINT NOT NULL,
    hashes BLOB   NOT NULL,
    PRIMARY KEY (level, idx)
);
CREATE TABLE log_checkpoints (
    size      BIGINT NOT NULL PRIMARY KEY,
    note      TEXT   NOT NULL,
    signed_at BIGINT NOT NULL
);
