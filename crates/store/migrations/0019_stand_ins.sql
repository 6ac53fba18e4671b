-- Who decides in whose place, from when until when.
CREATE TABLE stand_ins (
    id          TEXT   NOT NULL PRIMARY KEY,
    person      TEXT   NOT NULL REFERENCES persons (id),
    name        TEXT   NOT NULL,
    deputy      TEXT   NOT NULL REFERENCES persons (id),
    deputy_name TEXT   NOT NULL,
    reason      TEXT   NOT NULL,
    made_by     TEXT   NOT NULL,
    made_at     BIGINT NOT NULL,
    starts_at   BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    ended_at    BIGINT
);
CREATE INDEX stand_ins_by_deputy ON stand_ins (deputy, ends_at);
