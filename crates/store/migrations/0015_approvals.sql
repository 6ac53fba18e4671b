-- Calls that wait for people. `request` holds what never changes and what people are shown; `votes` what they said.
CREATE TABLE approvals (
    id         TEXT   NOT NULL PRIMARY KEY,
    call       BLOB   NOT NULL,
    agent      TEXT   NOT NULL REFERENCES agents (id),
    session    TEXT   NOT NULL,
    server     TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    request    TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    votes      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    used_at    BIGINT
);
CREATE INDEX approvals_by_call ON approvals (call, created_at);
CREATE INDEX approvals_by_agent ON approvals (agent, created_at);
-- At most one of a call waits or may be used.
CREATE UNIQUE INDEX approvals_open ON approvals (call) WHERE state IN ('pending', 'approved');
