-- What identity providers call people. One account is one person's.
CREATE TABLE accounts (
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    person     TEXT   NOT NULL REFERENCES persons (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX accounts_by_person ON accounts (person);
