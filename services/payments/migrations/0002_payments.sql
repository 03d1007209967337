-- Payments, what is being given back of them, and the ledger.

-- 'NEW' is a placeholder that is locked while its fate is decided; it is never committed.
-- A payment without order was undone before it arrived.
CREATE TABLE payments (
    payment_id       uuid        PRIMARY KEY,
    state            text        NOT NULL
                     CHECK (state IN ('NEW', 'AUTHORIZING', 'AUTHORIZED', 'DECLINED', 'CAPTURING',
                                      'CAPTURED', 'UNDOING', 'UNDONE')),
    order_id         uuid,
    digest           bytea,
    currency         text,
    amount_minor     bigint,
    authorized_minor bigint      NOT NULL DEFAULT 0 CHECK (authorized_minor >= 0),
    captured_minor   bigint      NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    refunded_minor   bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    card_token       text,        -- only until the authorization's outcome is known
    capture_key      uuid,        -- the capture's request, and its key at the processor
    decline_reason   text,
    version          int         NOT NULL DEFAULT 0,
    settle_after     timestamptz, -- when a sweeper asks the processor, if nobody else did
    create_time      timestamptz NOT NULL DEFAULT now(),
    update_time      timestamptz NOT NULL DEFAULT now(),
    CHECK ((order_id IS NULL) = (currency IS NULL)),
    CHECK ((order_id IS NULL) = (amount_minor IS NULL)),
    CHECK (authorized_minor + captured_minor <= coalesce(amount_minor, 0)),
    CHECK (card_token IS NULL OR state IN ('AUTHORIZING'))
) WITH (fillfactor = 50);
CREATE INDEX payments_unsettled ON payments (settle_after) WHERE settle_after IS NOT NULL;
CREATE INDEX payments_order ON payments (order_id);

CREATE TABLE refunds (
    refund_id    uuid        PRIMARY KEY,  -- the request's id, or derived from the payment's
    payment_id   uuid        NOT NULL REFERENCES payments (payment_id),
    amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
    done         bool        NOT NULL DEFAULT false,
    create_time  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refunds_pending ON refunds (payment_id) WHERE NOT done;

-- Double entry: the rows of one (payment_id, version) are one transaction and sum to zero.
CREATE TABLE ledger_entries (
    payment_id   uuid        NOT NULL,
    version      int         NOT NULL,
    account      text        NOT NULL CHECK (account IN ('customer', 'held', 'shop')),
    currency     text        NOT NULL,
    amount_minor bigint      NOT NULL CHECK (amount_minor <> 0),
    create_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, version, account)
);

-- For auditors; stable as a contract. `authorized_minor` is what is still open.
CREATE VIEW audit_payments AS
SELECT order_id, payment_id AS key, currency, authorized_minor, captured_minor, refunded_minor
FROM payments
WHERE order_id IS NOT NULL;

-- Sums to zero per currency.
CREATE VIEW audit_ledger AS
SELECT currency, account, sum(amount_minor)::bigint AS amount_minor
FROM ledger_entries
GROUP BY currency, account;
