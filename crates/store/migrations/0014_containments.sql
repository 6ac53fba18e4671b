-- The kill switch. Of a scope and subject one is in force at the most; one that was lifted stays as a watermark.
CREATE TABLE containments (
    id           TEXT   NOT NULL PRIMARY KEY,
    scope        TEXT   NOT NULL,
    subject      TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    contained_by TEXT   NOT NULL,
    contained_at BIGINT NOT NULL,
    lifted_at    BIGINT,
    lifted_by    TEXT,
    lift_reason  TEXT
);
CREATE UNIQUE INDEX containments_in_force ON containments (scope, subject) WHERE lifted_at IS NULL;

-- Whether somebody is owner or sponsor of anybody is asked when they are contained: it must not take a look at all agents.
CREATE INDEX agents_by_owner ON agents (owner);
CREATE INDEX agents_by_sponsor ON agents (sponsor);

-- A person as administrator for a while, and the review of what they did.
CREATE TABLE break_glass (
    id          TEXT   NOT NULL PRIMARY KEY,
    person      TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    opened_by   TEXT   NOT NULL,
    opened_at   BIGINT NOT NULL,
    until       BIGINT NOT NULL,
    ended_at    BIGINT,
    reviewed_by TEXT,
    reviewed_at BIGINT,
    review      TEXT
);
CREATE UNIQUE INDEX break_glass_unreviewed ON break_glass (person) WHERE reviewed_at IS NULL;
