-- Whom a platform vouches for. Everything is compared letter by letter. `claims` is a JSON object of texts.
CREATE TABLE trust_sources (
    name       TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    jwks_uri   TEXT,
    jwks       TEXT,
    audience   TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    claims     TEXT   NOT NULL,
    agent      TEXT   NOT NULL REFERENCES agents (id),
    created_at BIGINT NOT NULL
);
CREATE INDEX trust_sources_by_agent ON trust_sources (agent);

-- Clients of the authorization endpoint. `redirect_uris` is a JSON array; empty where a document states them.
CREATE TABLE clients (
    id            TEXT   NOT NULL PRIMARY KEY,
    agent         TEXT   NOT NULL REFERENCES agents (id),
    kind          TEXT   NOT NULL,
    redirect_uris TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE INDEX clients_by_agent ON clients (agent);
