-- Which discovered object a person took for which registered identity.
CREATE TABLE adoptions (
    object     BIGINT NOT NULL PRIMARY KEY REFERENCES objects (id),
    agent      TEXT   NOT NULL REFERENCES agents (id),
    adopted_by TEXT   NOT NULL,
    adopted_at BIGINT NOT NULL
);
CREATE INDEX adoptions_by_agent ON adoptions (agent);
