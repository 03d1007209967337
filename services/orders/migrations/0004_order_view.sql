-- Orders for lists: the fold of the log up to the checkpoint `order_view` of `projections`. `stage`
-- is the order's state; `state` what it shows, which a parked order's is not.
CREATE TABLE order_view (
    order_id    uuid        PRIMARY KEY,
    customer_id uuid        NOT NULL,
    stage       text        NOT NULL,
    parked      bool        NOT NULL,
    state       text        NOT NULL
                GENERATED ALWAYS AS (CASE WHEN parked THEN 'NEEDS_ATTENTION' ELSE stage END) STORED,
    currency    text        NOT NULL,
    total_minor bigint      NOT NULL,
    line_count  int         NOT NULL,
    placed_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     int         NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX order_view_placed ON order_view (placed_at, order_id);
CREATE INDEX order_view_customer ON order_view (customer_id, placed_at, order_id);
CREATE INDEX order_view_state ON order_view (state, placed_at, order_id);

CREATE VIEW audit_order_view AS
SELECT order_id, state, currency, total_minor, line_count, version FROM order_view;
