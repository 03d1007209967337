-- What every service's database holds beside its own tables. The same file in every service.

-- Event-sourced streams: `state` is the fold of the stream's log rows at `version`.
-- A stream with a saga at work is awake; `owner` is the replica that drives it.
CREATE TABLE streams (
    id          uuid        PRIMARY KEY,
    version     int         NOT NULL,
    state       bytea,
    awake_since timestamptz,
    owner       uuid,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 60);
CREATE INDEX streams_awake ON streams (owner, awake_since) WHERE awake_since IS NOT NULL;

-- Event store and outbox in one: append only. An event is durable when it is here.
CREATE TABLE log (
    seq     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key     uuid        NOT NULL,
    version int         NOT NULL,
    id      uuid        NOT NULL,
    type    text        NOT NULL,
    public  bool        NOT NULL,
    body    bytea       NOT NULL,
    meta    bytea       NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (key, version)
);

-- Keys of requests that change a thing without creating it under the key.
CREATE TABLE requests (
    key     uuid        PRIMARY KEY,  -- UUIDv5 of method, subject and request_id
    digest  bytea       NOT NULL,     -- of the request as sent
    thing   uuid        NOT NULL,
    version int         NOT NULL,     -- of the thing after the request
    at      timestamptz NOT NULL DEFAULT now()
);

-- Events that took effect here, or that became dead letters: claimed in the effect's transaction.
CREATE TABLE inbox (
    consumer text        NOT NULL,  -- the source stream
    event_id uuid        NOT NULL,
    dead     bool        NOT NULL DEFAULT false,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, consumer)
);
CREATE INDEX inbox_at ON inbox (at);

-- Events that could not be applied, and those that wait behind them.
CREATE TABLE dead_letters (
    position   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- order of arrival
    consumer   text        NOT NULL,  -- the source stream
    sequence   bigint      NOT NULL,  -- starts again when the stream is made anew
    event_id   uuid        NOT NULL,
    subject    text        NOT NULL,
    key        text        NOT NULL,
    reason     text        NOT NULL,
    error      text        NOT NULL,
    attempts   int         NOT NULL,
    headers    bytea       NOT NULL,
    body       bytea       NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer, event_id)
);
CREATE INDEX dead_letters_key ON dead_letters (consumer, key, position);

-- How far the relay had come, for a stream whose messages have all expired.
CREATE TABLE relay_notes (
    stream          text        PRIMARY KEY,
    created         text        NOT NULL,  -- the stream's creation time, as its broker gives it
    stream_sequence bigint      NOT NULL,
    log_position    bigint      NOT NULL,
    at              timestamptz NOT NULL DEFAULT now()
);

-- Who is at work on this database. Each holds a session lock made from its id.
CREATE TABLE replicas (
    id    uuid        PRIMARY KEY,
    seen  timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL DEFAULT now()
);
