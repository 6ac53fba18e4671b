-- Looks at other systems, and what each saw.
CREATE TABLE sweeps (
    id          TEXT   NOT NULL PRIMARY KEY,
    source      TEXT   NOT NULL,
    scope       TEXT   NOT NULL,
    swept_by    TEXT   NOT NULL,
    observed_at BIGINT NOT NULL,
    begun_at    BIGINT NOT NULL,
    touched_at  BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    why         TEXT,
    coverage    TEXT   NOT NULL,
    gaps        TEXT   NOT NULL,
    answered_by TEXT,
    answered_at BIGINT
);
CREATE INDEX sweeps_by_scope ON sweeps (source, scope, observed_at);
-- Of one part of a system one sweep runs at the most.
CREATE UNIQUE INDEX sweeps_running ON sweeps (source, scope) WHERE status = 'running';

-- What there is, as it is known now. Nothing is deleted: what went is `gone`. `observation` is the one with the body.
CREATE TABLE objects (
    id          BIGINT NOT NULL PRIMARY KEY,
    urn         TEXT   NOT NULL,
    source      TEXT   NOT NULL,
    scope       TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    within      TEXT,
    state       TEXT   NOT NULL,
    digest      TEXT   NOT NULL,
    misses      BIGINT NOT NULL,
    first_seen  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    observation BIGINT NOT NULL
);
CREATE UNIQUE INDEX objects_by_urn ON objects (urn);
CREATE INDEX objects_by_scope ON objects (source, scope);

-- What was known when: only what differs from before. `observed_at` is when it held, `recorded_at` when it was written
-- down. Without a body, what was known before still is.
CREATE TABLE observations (
    id          BIGINT NOT NULL PRIMARY KEY,
    object      BIGINT NOT NULL REFERENCES objects (id),
    urn         TEXT   NOT NULL,
    sweep       TEXT   NOT NULL REFERENCES sweeps (id),
    state       TEXT   NOT NULL,
    observed_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    body        TEXT
);
CREATE INDEX observations_by_object ON observations (object, id);

-- What a sweep did not see and did not call missing, because it was so much.
CREATE TABLE held_objects (
    sweep  TEXT   NOT NULL REFERENCES sweeps (id),
    object BIGINT NOT NULL REFERENCES objects (id),
    PRIMARY KEY (sweep, object)
);
