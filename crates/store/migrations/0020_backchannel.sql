-- Questions of agents to people who are somewhere else (OpenID CIBA). `consent` is there once the answer was yes; `limits`
-- is a JSON array.
CREATE TABLE backchannel (
    id          TEXT   NOT NULL PRIMARY KEY,
    hash        BLOB   NOT NULL UNIQUE,
    client      TEXT   NOT NULL,
    agent       TEXT   NOT NULL REFERENCES agents (id),
    person      TEXT   NOT NULL REFERENCES persons (id),
    resource    TEXT   NOT NULL,
    limits      TEXT   NOT NULL,
    message     TEXT,
    key         BLOB,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    answered_at BIGINT,
    consent     TEXT,
    session     TEXT
);
CREATE INDEX backchannel_by_person ON backchannel (person, expires_at);
CREATE INDEX backchannel_by_end ON backchannel (expires_at);
