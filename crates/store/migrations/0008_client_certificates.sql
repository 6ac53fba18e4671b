-- The certificate an agent authenticates with in TLS (RFC 8705): `exact` its SHA-256 in hexadecimal digits, or the `dns`
-- name or `uri` of one that leads to a root of the configuration. One certificate is one agent's.
CREATE TABLE client_certificates (
    agent      TEXT   NOT NULL PRIMARY KEY REFERENCES agents (id),
    kind       TEXT   NOT NULL,
    value      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (kind, value)
);
