-- A ledger's sum is wider than any amount in it: two payments may already be more than 64 bits hold.
DROP VIEW audit_ledger;

-- Sums to zero per currency.
CREATE VIEW audit_ledger AS
SELECT currency, account, sum(amount_minor) AS amount_minor
FROM ledger_entries
GROUP BY currency, account;
