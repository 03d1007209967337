-- Where the pieces of each SKU are. The buckets of a row sum to zero: whoever delivers is in the
-- red. That is deliberately no constraint: an auditor must be able to find a row that broke it.
CREATE TABLE stock (
    sku       text COLLATE "C" PRIMARY KEY,
    supplier  bigint NOT NULL DEFAULT 0 CHECK (supplier <= 0),
    on_hand   bigint NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    reserved  bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    committed bigint NOT NULL DEFAULT 0 CHECK (committed >= 0),
    shipped   bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    lost      bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
    version   int    NOT NULL DEFAULT 0  -- 0: kept free for a first delivery, never committed
) WITH (fillfactor = 50);

-- What suppliers brought, and the stock right after it: what a repeated request is answered with.
CREATE TABLE deliveries (
    id          uuid        PRIMARY KEY,  -- the request_id
    digest      bytea       NOT NULL,     -- of the request as sent
    sku         text COLLATE "C" NOT NULL,
    quantity    bigint      NOT NULL CHECK (quantity > 0),
    supplier    bigint      NOT NULL,
    on_hand     bigint      NOT NULL,
    reserved    bigint      NOT NULL,
    committed   bigint      NOT NULL,
    shipped     bigint      NOT NULL,
    lost        bigint      NOT NULL,
    version     int         NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

-- Pieces held for orders. A row without an order is the mark of a reservation that was given up
-- before it arrived. A row without states is kept free for one, and never committed.
CREATE TABLE reservations (
    id          uuid        PRIMARY KEY,  -- the request_id
    order_id    uuid,
    digest      bytea,                    -- of the request as sent
    skus        text[]      NOT NULL DEFAULT '{}',
    quantities  bigint[]    NOT NULL DEFAULT '{}' CHECK (cardinality(quantities) = cardinality(skus)),
    states      text[]      NOT NULL DEFAULT '{}'  -- all it ever had, in order
                CHECK (states <@ ARRAY['reserved', 'expired', 'committed', 'released', 'restocked',
                                       'shipped', 'lost']),
    state       text        GENERATED ALWAYS AS (states[cardinality(states)]) STORED,
    version     int         GENERATED ALWAYS AS (cardinality(states)) STORED,
    expire_time timestamptz,
    create_time timestamptz NOT NULL DEFAULT now(),
    CHECK ((order_id IS NULL) = (digest IS NULL) AND (order_id IS NULL) = (expire_time IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX reservations_order_id ON reservations (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX reservations_due ON reservations (expire_time) WHERE state = 'reserved';

-- Every change of a bucket: what one loses, another gains.
CREATE TABLE movements (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku            text COLLATE "C" NOT NULL,
    from_bucket    text        NOT NULL,
    to_bucket      text        NOT NULL,
    quantity       bigint      NOT NULL CHECK (quantity > 0),
    reservation_id uuid,
    order_id       uuid,
    at             timestamptz NOT NULL DEFAULT now(),
    CHECK (from_bucket <> to_bucket),
    CHECK (ARRAY[from_bucket, to_bucket]
           <@ ARRAY['supplier', 'on_hand', 'reserved', 'committed', 'shipped', 'lost'])
);

-- For auditors; stable as a contract.

-- The balances: six rows per SKU, `supplier` not above zero.
CREATE VIEW audit_stock (sku, bucket, quantity) AS
SELECT stock.sku, b.bucket, b.quantity
FROM stock,
     LATERAL (VALUES ('supplier', supplier), ('on_hand', on_hand), ('reserved', reserved),
                     ('committed', committed), ('shipped', shipped), ('lost', lost)
             ) AS b (bucket, quantity);

-- The same, summed from the movements; a row per row of audit_stock.
CREATE VIEW audit_movements (sku, bucket, quantity) AS
SELECT sku, bucket, sum(quantity)::bigint
FROM (SELECT sku, to_bucket AS bucket, quantity FROM movements
      UNION ALL
      SELECT sku, from_bucket, -quantity FROM movements
      UNION ALL
      SELECT sku, bucket, 0 FROM audit_stock) AS entries
GROUP BY sku, bucket;

-- Which order holds which pieces, and where they are.
CREATE VIEW audit_reservations (order_id, sku, bucket, quantity) AS
SELECT r.order_id, line.sku, r.state, line.quantity
FROM reservations AS r, unnest(r.skus, r.quantities) AS line (sku, quantity)
WHERE r.state IN ('reserved', 'committed', 'shipped', 'lost');
