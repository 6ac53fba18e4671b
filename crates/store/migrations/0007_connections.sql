-- Connections to upstream servers: the credentials that are obtained and renewed by OAuth.
-- `id` is the server's name, or server and person where a connection is one person's.
CREATE TABLE connections (
    id           TEXT   NOT NULL PRIMARY KEY,
    server       TEXT   NOT NULL,
    person       TEXT,
    open         BIGINT NOT NULL,
    issuer       TEXT   NOT NULL,
    client_id    TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    version      BIGINT NOT NULL,
    sealed       BLOB   NOT NULL,
    kek_version  BIGINT NOT NULL,
    connected_at BIGINT NOT NULL,
    expires_at   BIGINT
);
