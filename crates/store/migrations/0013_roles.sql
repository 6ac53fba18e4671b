-- What people may do here, and how they prove that they are there.
ALTER TABLE persons ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';

CREATE TABLE groups (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups (id),
    person   TEXT NOT NULL REFERENCES persons (id),
    PRIMARY KEY (group_id, person)
);

-- Passkeys (WebAuthn Level 3): the public key, and what the authenticator counts.
CREATE TABLE passkeys (
    id         TEXT   NOT NULL PRIMARY KEY,
    credential BLOB   NOT NULL UNIQUE,
    person     TEXT   NOT NULL REFERENCES persons (id),
    rp_id      TEXT   NOT NULL,
    public_key BLOB   NOT NULL,
    sign_count BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT,
    removed_at BIGINT
);
CREATE INDEX passkeys_by_person ON passkeys (person);

-- Challenges that were answered. They are made without a trace; an answer counts once.
CREATE TABLE answered_challenges (
    hash       BLOB   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- When a passkey was last shown in a login.
ALTER TABLE logins ADD COLUMN proved_at BIGINT;

-- Changes that wait for a second person. What is to run is sealed.
CREATE TABLE proposals (
    id          TEXT   NOT NULL PRIMARY KEY,
    verb        TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    uri         TEXT   NOT NULL,
    body        BLOB   NOT NULL,
    digest      BLOB   NOT NULL,
    person      TEXT   NOT NULL REFERENCES persons (id),
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    decided_by  TEXT,
    decided_at  BIGINT,
    status      BIGINT
);
CREATE INDEX proposals_by_state ON proposals (state, expires_at);
