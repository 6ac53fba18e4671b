-- Under whose authority: people, the tree of sessions, client secrets.

CREATE TABLE persons (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    display    TEXT,
    state      TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

ALTER TABLE sessions ADD COLUMN parent TEXT;
ALTER TABLE sessions ADD COLUMN human TEXT;
ALTER TABLE sessions ADD COLUMN human_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN purpose TEXT;
-- Granted authorization details (RFC 9396), a JSON array.
ALTER TABLE sessions ADD COLUMN limits TEXT;
ALTER TABLE sessions ADD COLUMN presence_at BIGINT;

-- Secrets with which an agent that cannot hold a key authenticates. Only their hashes.
CREATE TABLE client_secrets (
    hash       BLOB   NOT NULL PRIMARY KEY,
    agent      TEXT   NOT NULL REFERENCES agents (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX client_secrets_by_agent ON client_secrets (agent);
