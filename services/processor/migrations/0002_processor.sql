-- The sandbox card processor: cards by token, and what was charged to them.

-- Keys the digests below, so that a card number cannot be guessed from them without this row.
CREATE TABLE card_key (
    one bool  PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL
);
INSERT INTO card_key (key)
VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- A card's number is not kept, not even as a plain hash.
CREATE TABLE cards (
    token       text        PRIMARY KEY,
    request_id  uuid        NOT NULL UNIQUE,
    digest      bytea       NOT NULL,  -- keyed, of number and expiry
    last_digits text        NOT NULL,
    behaviour   text        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- 'NEW' is a placeholder that is locked while its fate is decided; it is never committed.
-- A charge without amount was voided before it arrived.
CREATE TABLE charges (
    charge_id        uuid        PRIMARY KEY,
    state            text        NOT NULL
                     CHECK (state IN ('NEW', 'AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED')),
    digest           bytea,
    card_token       text,
    currency         text,
    amount_minor     bigint,
    authorized_minor bigint      NOT NULL DEFAULT 0 CHECK (authorized_minor >= 0),
    captured_minor   bigint      NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    refunded_minor   bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    decline_reason   text,
    refund_refused   bool        NOT NULL DEFAULT false,
    create_time      timestamptz NOT NULL DEFAULT now(),
    CHECK ((currency IS NULL) = (amount_minor IS NULL)),
    CHECK (authorized_minor + captured_minor <= coalesce(amount_minor, 0))
) WITH (fillfactor = 60);

CREATE TABLE refunds (
    refund_id    uuid        PRIMARY KEY,  -- the request's id
    charge_id    uuid        NOT NULL REFERENCES charges (charge_id),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    create_time  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refunds_charge ON refunds (charge_id);

-- Requests that the sandbox pretended to lose, so that it loses each only once.
CREATE TABLE lost_answers (
    key         uuid        PRIMARY KEY,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- For auditors; stable as a contract. `authorized_minor` is what is still open.
CREATE VIEW audit_charges AS
SELECT charge_id AS key, currency, authorized_minor, captured_minor, refunded_minor
FROM charges
WHERE currency IS NOT NULL;
