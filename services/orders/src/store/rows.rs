//! Rows that change with an order's stream, in the statement that commits the change.

use mesh_log::Companion;
use sqlx::{Arguments as _, postgres::PgArguments};
use uuid::Uuid;

use super::{Private, state::word};
use crate::{domain::Order, metrics::End};

/// What else a change of an order writes.
#[derive(Debug, Default)]
pub struct OrderRows {
    /// The cart that is ordered; the change is refused (CART_CHANGED) unless it can be taken.
    pub take: Option<CartTake>,
    /// What becomes of that cart when the order ends.
    pub cart: Option<CartEnd>,
    /// The request that made the change; it is refused (REQUEST_SEEN) if that was seen before.
    pub request: Option<RequestSeen>,
    /// The order as auditors see it, where that changed.
    pub audit: Option<AuditRow>,
    /// Personal data to keep until it is forgotten.
    pub private: Option<Private>,
    /// Personal data that is needed no more.
    pub forget: Option<Forget>,
    /// The end that the order comes to, which is counted and not written.
    pub end: Option<End>,
}

/// Takes a customer's cart at a version.
#[derive(Debug)]
pub struct CartTake {
    pub customer: Uuid,
    pub version: i64,
}

/// Gives a taken cart back, or clears it if it still has that version.
#[derive(Debug)]
pub struct CartEnd {
    pub customer: Uuid,
    pub version: i64,
    pub clear: bool,
}

/// A request and what it changed.
#[derive(Debug)]
pub struct RequestSeen {
    pub key: Uuid,
    pub digest: [u8; 16],
    pub version: i32,
}

/// Which personal data is needed no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    CardToken,
    All,
}

/// An order as auditors see it.
#[derive(Debug)]
pub struct AuditRow {
    customer: Uuid,
    state: &'static str,
    currency: &'static str,
    total: i64,
    refund_due: i64,
}

impl AuditRow {
    pub fn of(order: &Order) -> Self {
        Self {
            customer: order.placement.customer,
            state: word(order.standing()),
            currency: order.placement.total.currency.as_str(),
            total: order.placement.total.minor,
            refund_due: order.refund_due().minor,
        }
    }
}

impl Companion for OrderRows {
    const GUARD: &'static str = "
      take AS MATERIALIZED (
        SELECT * FROM unnest($15::bigint[], $16::uuid[], $17::bigint[]) AS t(n, customer, version)
      ), cart AS MATERIALIZED (
        SELECT c.customer_id, c.version, c.taken_by
        FROM carts c JOIN take t ON t.customer = c.customer_id
        ORDER BY c.customer_id FOR UPDATE OF c
      ), request AS MATERIALIZED (
        SELECT * FROM unnest($18::bigint[], $19::uuid[], $20::bytea[], $21::int[])
                      AS r(n, key, digest, version)
      ), refused AS MATERIALIZED (
        SELECT t.n, 'CART_CHANGED' AS reason
        FROM take t JOIN change ch ON ch.n = t.n
        WHERE NOT EXISTS (SELECT FROM cart c
                          WHERE c.customer_id = t.customer AND c.version = t.version
                            AND coalesce(c.taken_by, ch.key) = ch.key)
        UNION ALL
        SELECT r.n, 'REQUEST_SEEN' FROM request r JOIN requests q ON q.key = r.key
      )";

    const EFFECT: &'static str = "
      taken AS (
        UPDATE carts c SET taken_by = a.key
        FROM take t JOIN accepted a ON a.n = t.n WHERE c.customer_id = t.customer
      ), cart_end AS MATERIALIZED (
        SELECT * FROM unnest($22::bigint[], $23::uuid[], $24::bigint[], $25::bool[])
                      AS e(n, customer, version, clear)
      ), cart_ended AS (
        UPDATE carts c
        SET taken_by = NULL, updated_at = now(),
            version = CASE WHEN e.clear THEN c.version + 1 ELSE c.version END,
            lines = CASE WHEN e.clear THEN '' ELSE c.lines END
        FROM cart_end e JOIN accepted a ON a.n = e.n
        WHERE c.customer_id = e.customer AND c.version = e.version AND c.taken_by = a.key
      ), requested AS (
        INSERT INTO requests (key, digest, thing, version)
        SELECT r.key, r.digest, a.key, r.version FROM request r JOIN accepted a ON a.n = r.n
      ), audited AS (
        INSERT INTO orders (order_id, customer_id, state, currency, total_minor, refund_due_minor)
        SELECT a.key, o.customer, o.state, o.currency, o.total, o.refund_due
        FROM unnest($26::bigint[], $27::uuid[], $28::text[], $29::text[], $30::bigint[],
                    $31::bigint[]) AS o(n, customer, state, currency, total, refund_due)
             JOIN accepted a ON a.n = o.n
        ON CONFLICT (order_id) DO UPDATE
        SET state = excluded.state, refund_due_minor = excluded.refund_due_minor
      ), kept AS (
        INSERT INTO order_private (order_id, address, card_token)
        SELECT a.key, p.address, p.token
        FROM unnest($32::bigint[], $33::bytea[], $34::text[]) AS p(n, address, token)
             JOIN accepted a ON a.n = p.n
      ), forget AS MATERIALIZED (
        SELECT a.key, f.everything
        FROM unnest($35::bigint[], $36::bool[]) AS f(n, everything) JOIN accepted a ON a.n = f.n
      ), token_forgotten AS (
        UPDATE order_private p SET card_token = NULL
        FROM forget f WHERE p.order_id = f.key AND NOT f.everything
      ), forgotten AS (
        DELETE FROM order_private p USING forget f WHERE p.order_id = f.key AND f.everything
      )";

    fn exclusive(&self) -> Vec<Uuid> {
        let take = self.take.iter().map(|take| take.customer);
        let end = self.cart.iter().map(|end| end.customer);
        take.chain(end).chain(self.request.iter().map(|request| request.key)).collect()
    }

    fn bind(rows: &[(i64, &Self)], arguments: &mut PgArguments) -> sqlx::Result<()> {
        let mut bind = Bind { arguments };
        let take = pick(rows, |row| row.take.as_ref());
        bind.numbers(&take)?;
        bind.column(&take, |take| take.customer)?;
        bind.column(&take, |take| take.version)?;
        let request = pick(rows, |row| row.request.as_ref());
        bind.numbers(&request)?;
        bind.column(&request, |request| request.key)?;
        bind.column(&request, |request| request.digest.to_vec())?;
        bind.column(&request, |request| request.version)?;
        let cart = pick(rows, |row| row.cart.as_ref());
        bind.numbers(&cart)?;
        bind.column(&cart, |end| end.customer)?;
        bind.column(&cart, |end| end.version)?;
        bind.column(&cart, |end| end.clear)?;
        let audit = pick(rows, |row| row.audit.as_ref());
        bind.numbers(&audit)?;
        bind.column(&audit, |row| row.customer)?;
        bind.column(&audit, |row| row.state)?;
        bind.column(&audit, |row| row.currency)?;
        bind.column(&audit, |row| row.total)?;
        bind.column(&audit, |row| row.refund_due)?;
        let private = pick(rows, |row| row.private.as_ref());
        bind.numbers(&private)?;
        bind.column(&private, |private| private.address.clone())?;
        bind.column(&private, |private| private.card_token.clone())?;
        let forget = pick(rows, |row| row.forget.as_ref());
        bind.numbers(&forget)?;
        bind.column(&forget, |forget| *forget == Forget::All)
    }

    fn committed(&self) {
        if let Some(end) = self.end {
            end.count();
        }
    }
}

/// The rows of one kind, each with its change's number.
fn pick<'r, T>(
    rows: &[(i64, &'r OrderRows)],
    part: impl Fn(&'r OrderRows) -> Option<&'r T>,
) -> Vec<(i64, &'r T)> {
    rows.iter().filter_map(|(n, row)| Some((*n, part(row)?))).collect()
}

struct Bind<'a> {
    arguments: &'a mut PgArguments,
}

impl Bind<'_> {
    fn numbers<R>(&mut self, rows: &[(i64, R)]) -> sqlx::Result<()> {
        let numbers: Vec<i64> = rows.iter().map(|(n, _)| *n).collect();
        self.arguments.add(numbers).map_err(sqlx::Error::Encode)
    }

    fn column<'q, R, T>(&mut self, rows: &[(i64, &R)], value: impl Fn(&R) -> T) -> sqlx::Result<()>
    where
        T: 'q,
        Vec<T>: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let values: Vec<T> = rows.iter().map(|(_, row)| value(row)).collect();
        self.arguments.add(values).map_err(sqlx::Error::Encode)
    }
}
