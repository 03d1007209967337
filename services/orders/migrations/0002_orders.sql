-- One cart per customer. `lines` is "SKU:quantity" joined by commas; `taken_by` names the order that
-- was placed with this version.
CREATE TABLE carts (
    customer_id uuid        PRIMARY KEY,
    version     bigint      NOT NULL DEFAULT 0,
    lines       text        NOT NULL DEFAULT '',
    taken_by    uuid,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Personal data of orders in motion, in no event and in no stream's state. The token is deleted once
-- the authorization is known, the address once the shipment exists or the order ends.
CREATE TABLE order_private (
    order_id   uuid  PRIMARY KEY,
    address    bytea,
    card_token text
);

-- What auditors may know of every order; changes with its stream, in the same statement.
CREATE TABLE orders (
    order_id         uuid   PRIMARY KEY,
    customer_id      uuid   NOT NULL,
    state            text   NOT NULL,
    currency         text   NOT NULL,
    total_minor      bigint NOT NULL CHECK (total_minor >= 0),
    refund_due_minor bigint NOT NULL CHECK (refund_due_minor >= 0)
) WITH (fillfactor = 80);

CREATE VIEW audit_orders AS
SELECT order_id, state, currency, total_minor, refund_due_minor FROM orders;
