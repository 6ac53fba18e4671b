-- Through which client a session was allowed: only that one may give its tokens back without authenticating.
ALTER TABLE sessions ADD COLUMN client TEXT;

-- One-time codes with which a client registers itself for an agent (RFC 7591, section 3). Only their hashes.
CREATE TABLE registration_codes (
    hash       BLOB   NOT NULL PRIMARY KEY,
    agent      TEXT   NOT NULL REFERENCES agents (id),
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX registration_codes_by_agent ON registration_codes (agent);
