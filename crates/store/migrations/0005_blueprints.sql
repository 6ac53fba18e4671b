CREATE TABLE blueprints (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    sponsor    TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    purpose    TEXT   NOT NULL,
    lifetime   BIGINT NOT NULL,
    manifest   TEXT,
    state      TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Until now an agent could name any blueprint. Those that are named exist from now on, with the people of the first
-- agent that names them and 90 days for an instance.
INSERT INTO blueprints (id, name, sponsor, owner, purpose, lifetime, manifest, state, epoch, created_at)
SELECT 'bpt_' || lower(hex(randomblob(13))), blueprint, sponsor, owner, purpose, 7776000000000, NULL, 'active', 1,
       MIN(created_at)
FROM agents WHERE blueprint IS NOT NULL GROUP BY blueprint;

ALTER TABLE agents ADD COLUMN manifest TEXT;
-- The digest of the manifest that the agent stated when it opened the session.
ALTER TABLE sessions ADD COLUMN manifest TEXT;

-- What was stated of a manifest, of an agent or a blueprint (`holder` is its id): the approved one in full, where
-- somebody stated it in full, and the last that is not the approved one.
CREATE TABLE manifests (
    holder      TEXT   NOT NULL PRIMARY KEY,
    approved    TEXT,
    seen_digest TEXT,
    seen        TEXT,
    seen_by     TEXT,
    seen_at     BIGINT
);

-- A new code voids the earlier ones of its agent; with thousands of agents that must not look at every code.
CREATE INDEX enrolments_by_agent ON enrolments (agent);
