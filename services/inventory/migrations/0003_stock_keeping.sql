-- From when on a SKU counts as low (0: nobody wants to be warned), how often that changed, and how
-- much others were told about the SKU.
ALTER TABLE stock
    ADD COLUMN threshold         bigint NOT NULL DEFAULT 0 CHECK (threshold >= 0),
    ADD COLUMN threshold_version int    NOT NULL DEFAULT 0,
    ADD COLUMN told              int    NOT NULL DEFAULT 0;
-- Not on the balances: an index that names one would make every movement dearer.
CREATE INDEX stock_watched ON stock (sku) WHERE threshold > 0;

-- The threshold is part of the stock that a repeated delivery is answered with.
ALTER TABLE deliveries
    ADD COLUMN threshold         bigint NOT NULL DEFAULT 0,
    ADD COLUMN threshold_version int    NOT NULL DEFAULT 0;

-- Corrections of the books, and the stock right after each.
CREATE TABLE adjustments (
    id                uuid        PRIMARY KEY,  -- the request_id
    digest            bytea       NOT NULL,     -- of the request as sent
    sku               text COLLATE "C" NOT NULL,
    quantity          bigint      NOT NULL CHECK (quantity <> 0),  -- to the shelf; from it if negative
    reason            text        NOT NULL
                      CHECK (reason IN ('counted', 'damaged', 'found', 'returned_to_supplier')),
    note              text        NOT NULL,
    supplier          bigint      NOT NULL,
    on_hand           bigint      NOT NULL,
    reserved          bigint      NOT NULL,
    committed         bigint      NOT NULL,
    shipped           bigint      NOT NULL,
    lost              bigint      NOT NULL,
    version           int         NOT NULL,
    threshold         bigint      NOT NULL,
    threshold_version int         NOT NULL,
    create_time       timestamptz NOT NULL DEFAULT now()
);

-- What made pieces move, beside orders; and the ways to look movements up. Those of one SKU are
-- numbered while its row is locked, so their numbers grow in the order of the commits.
ALTER TABLE movements
    ADD COLUMN delivery_id   uuid,
    ADD COLUMN adjustment_id uuid;
CREATE INDEX movements_sku ON movements (sku, id);
CREATE INDEX movements_order_id ON movements (order_id, id) WHERE order_id IS NOT NULL;

-- For auditors; stable as a contract: pieces that are lost without having belonged to an order.
CREATE VIEW audit_write_offs (sku, quantity) AS
SELECT sku, -sum(quantity)::bigint
FROM adjustments
WHERE quantity < 0 AND reason <> 'returned_to_supplier'
GROUP BY sku;
