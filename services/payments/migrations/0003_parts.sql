-- Captures of a part, several refunds of one payment, and lists.

-- How much `capture_key` asks for; all if a capture was begun before this column was.
ALTER TABLE payments
    ADD COLUMN capture_minor bigint CHECK (capture_minor > 0),
    ADD COLUMN refund_count  int    NOT NULL DEFAULT 0;

UPDATE payments SET refund_count = refunds.count
FROM (SELECT payment_id, count(*) FROM refunds GROUP BY payment_id) AS refunds
WHERE refunds.payment_id = payments.payment_id;

-- When it was known to be with the customer.
ALTER TABLE refunds ADD COLUMN complete_time timestamptz;
UPDATE refunds SET complete_time = create_time WHERE done;
CREATE INDEX refunds_payment ON refunds (payment_id, create_time, refund_id);

-- Lists read one state after the other, the newest first, and merge.
CREATE INDEX payments_listed ON payments (state, create_time DESC, payment_id DESC);

-- Placeholders that a refused request left behind.
DELETE FROM payments WHERE state = 'NEW';
