-- Where each follower of the log stands: for each writer the sequence number that comes next.
CREATE TABLE followers (
    name   TEXT   NOT NULL,
    writer BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (name, writer)
);

-- What is told to whom, one row for each channel and entry. Derived from entries; the attempts are its own.
CREATE TABLE deliveries (
    channel      TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    event        TEXT   NOT NULL,
    thread       TEXT   NOT NULL,
    payload      TEXT   NOT NULL,
    committed_at BIGINT NOT NULL,
    writer       BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    attempts     BIGINT NOT NULL,
    answer       TEXT   NOT NULL,
    posted       TEXT,
    next_at      BIGINT NOT NULL,
    ended_at     BIGINT,
    PRIMARY KEY (channel, id)
);
CREATE INDEX deliveries_waiting ON deliveries (channel, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_by_thread ON deliveries (channel, thread);
CREATE INDEX deliveries_ended ON deliveries (ended_at);

-- Channels that said that they are gone: nothing is sent to them until somebody asks for it.
CREATE TABLE gone_channels (
    name   TEXT   NOT NULL PRIMARY KEY,
    since  BIGINT NOT NULL,
    answer TEXT   NOT NULL
);

-- When each agent last used each tool, to the hour: what is new for it.
CREATE TABLE tool_uses (
    agent   TEXT   NOT NULL,
    server  TEXT   NOT NULL,
    tool    TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (agent, server, tool)
);
