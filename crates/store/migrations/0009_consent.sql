-- What people allow, until it is redeemed for a session. Of codes and tokens only hashes are kept.

-- Authorization requests that clients pushed (RFC 9126). `form` is a JSON array of pairs.
CREATE TABLE pushed_requests (
    hash       BLOB   NOT NULL PRIMARY KEY,
    client     TEXT   NOT NULL,
    form       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX pushed_requests_by_end ON pushed_requests (expires_at);

-- Authorization codes. `consent` is a JSON object.
CREATE TABLE codes (
    hash         BLOB   NOT NULL PRIMARY KEY,
    consent      TEXT   NOT NULL,
    redirect_uri TEXT   NOT NULL,
    challenge    TEXT   NOT NULL,
    key          BLOB,
    expires_at   BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    used_at      BIGINT,
    session      TEXT
);
CREATE INDEX codes_by_end ON codes (expires_at);

-- Devices that wait for a person (RFC 8628). `consent` is there once the answer was yes; `limits` is a JSON array.
CREATE TABLE device_codes (
    hash        BLOB   NOT NULL PRIMARY KEY,
    user_code   BLOB   NOT NULL UNIQUE,
    client      TEXT   NOT NULL,
    agent       TEXT   NOT NULL REFERENCES agents (id),
    resource    TEXT   NOT NULL,
    limits      TEXT   NOT NULL,
    key         BLOB,
    expires_at  BIGINT NOT NULL,
    answered_at BIGINT,
    consent     TEXT,
    session     TEXT
);
CREATE INDEX device_codes_by_end ON device_codes (expires_at);

CREATE TABLE refresh_tokens (
    hash       BLOB   NOT NULL PRIMARY KEY,
    session    TEXT   NOT NULL REFERENCES sessions (id),
    client     TEXT   NOT NULL,
    binding    TEXT   NOT NULL,
    resource   TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);
