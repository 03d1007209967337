-- What is sent, how, and for how much. All are set, or none: in a mark, in a placeholder, and where
-- nobody has said.
ALTER TABLE shipments
    ADD COLUMN speed        text CHECK (speed IN ('STANDARD', 'EXPRESS')),
    ADD COLUMN weight_grams int,
    ADD COLUMN zone         text CHECK (zone IN ('NEAR', 'UNION', 'EUROPE', 'OVERSEAS')),
    ADD COLUMN currency     text,
    ADD COLUMN price_minor  bigint,
    -- How many positions there are. A position's place on the parcel's way follows from its number.
    ADD COLUMN positions    int NOT NULL DEFAULT 0,
    ADD CHECK (num_nulls(speed, weight_grams, zone, currency, price_minor) IN (0, 5));

-- Lists, the oldest first. Neither marks nor placeholders are shipments.
CREATE INDEX shipments_of_order ON shipments (order_id, created_at, id) WHERE order_id IS NOT NULL;
CREATE INDEX shipments_in_state ON shipments (state, created_at, id) WHERE order_id IS NOT NULL;

-- Where a parcel was. Written under the lock of its shipment, which numbers them from 1.
CREATE TABLE shipment_positions (
    shipment_id uuid             REFERENCES shipments (id),
    number      int,
    position_id uuid             NOT NULL,  -- the carrier's
    digest      bytea            NOT NULL,  -- of the position as sent
    at          timestamptz      NOT NULL,  -- by the carrier's clock
    latitude    double precision,
    longitude   double precision,
    place       text,
    PRIMARY KEY (shipment_id, number),
    UNIQUE (shipment_id, position_id),
    CHECK ((latitude IS NULL) = (longitude IS NULL)),
    CHECK ((latitude IS NULL) != (place IS NULL))
);
