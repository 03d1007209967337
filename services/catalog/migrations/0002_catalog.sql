-- What the shop sells. SKUs compare byte by byte, so that pages come in the same order everywhere.
CREATE TABLE products (
    sku         text        COLLATE "C" PRIMARY KEY CHECK (sku ~ '^[A-Z0-9-]{1,40}$'),
    product_id  uuid        NOT NULL UNIQUE,
    name        text        NOT NULL,
    description text        NOT NULL,
    currency    text        NOT NULL,
    price_minor bigint      NOT NULL CHECK (price_minor > 0),  -- in the currency's minor units
    created_at  timestamptz NOT NULL DEFAULT now()
);
