-- A parcel for one order. Version 0 is a placeholder: it is locked, decided about, and either
-- filled or deleted before its transaction commits. Without an order it is the mark that a cancel
-- left before the shipment arrived.
CREATE TABLE shipments (
    id            uuid        PRIMARY KEY,  -- the request_id that created it
    digest        bytea,                    -- of that request as sent; none in a mark
    order_id      uuid,
    state         text        CHECK (state IN ('HELD', 'RELEASED', 'DISPATCHED', 'DELIVERED', 'LOST', 'CANCELLED')),
    version       int         NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    released_at   timestamptz,
    dispatched_at timestamptz,
    ended_at      timestamptz,
    CHECK (version = 0 OR state IS NOT NULL),
    CHECK (version = 0 OR state = 'CANCELLED' OR order_id IS NOT NULL),
    CHECK ((digest IS NULL) = (order_id IS NULL))
) WITH (fillfactor = 70);

-- Personal data, in a table of its own: gone as soon as the parcel has arrived, is lost or is
-- cancelled.
CREATE TABLE shipment_addresses (
    shipment_id  uuid PRIMARY KEY REFERENCES shipments (id),
    recipient    text NOT NULL,
    lines        text NOT NULL,  -- each ends at a line feed but the last
    city         text NOT NULL,
    postal_code  text NOT NULL,
    country_code text NOT NULL
);
