-- How people sign in: links that are good once, and logins. Of what browsers hold only hashes are kept.
CREATE TABLE sign_in_links (
    hash       BLOB   NOT NULL PRIMARY KEY,
    person     TEXT   NOT NULL REFERENCES persons (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX sign_in_links_by_person ON sign_in_links (person);

CREATE TABLE logins (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       BLOB   NOT NULL UNIQUE,
    person     TEXT   NOT NULL REFERENCES persons (id),
    epoch      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    ended_at   BIGINT
);
CREATE INDEX logins_by_person ON logins (person);
