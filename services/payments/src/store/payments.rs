//! The payments' rows.

use std::{collections::HashMap, time::Duration};

use mesh_log::{Pool, Traced as _};
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ledger::account_name, refunds, undecodable};
use crate::domain::{Capture, CardToken, Entry, Given, Payment, PaymentsPage, State, Terms};

const SAVE: &str = "
WITH entered AS (
    INSERT INTO ledger_entries (payment_id, version, account, currency, amount_minor)
    SELECT * FROM unnest($19::uuid[], $20::int[], $21::text[], $22::text[], $23::bigint[])
), p AS MATERIALIZED (
    SELECT *, CASE WHEN open THEN now() + $18 * interval '1 second' END AS settle_after
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::text[], $6::bigint[],
                $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::uuid[],
                $12::bigint[], $13::text[], $14::int[], $15::int[], $16::bool[],
                $17::bool[])
         AS p(id, state, order_id, digest, currency, amount, authorized, captured,
              refunded, card_token, capture_key, capture_minor, decline_reason, refunds,
              version, open, new)
), made AS (
    INSERT INTO payments (payment_id, state, order_id, digest, currency, amount_minor,
        authorized_minor, captured_minor, refunded_minor, card_token, capture_key,
        capture_minor, decline_reason, refund_count, version, settle_after)
    SELECT id, state, order_id, digest, currency, amount, authorized, captured, refunded,
        card_token, capture_key, capture_minor, decline_reason, refunds, version,
        settle_after
    FROM p WHERE new ORDER BY id)
UPDATE payments SET state = p.state, order_id = p.order_id, digest = p.digest,
    currency = p.currency, amount_minor = p.amount, authorized_minor = p.authorized,
    captured_minor = p.captured, refunded_minor = p.refunded, card_token = p.card_token,
    capture_key = p.capture_key, capture_minor = p.capture_minor,
    decline_reason = p.decline_reason, refund_count = p.refunds, version = p.version,
    settle_after = p.settle_after, update_time = now()
FROM p WHERE payment_id = p.id AND NOT p.new";

/// Rows under lock. An id without one is not held: see [`save`].
pub struct Locked {
    pub payments: HashMap<Uuid, Payment>,
    /// The transaction's time.
    pub now: OffsetDateTime,
}

/// Locks the rows of these ids, in their order. Pending refunds are left out.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "WITH locked AS (
             SELECT * FROM payments WHERE payment_id = ANY($1) ORDER BY payment_id FOR UPDATE)
         SELECT locked.*, now() AS now FROM (VALUES (1)) AS always LEFT JOIN locked ON true",
    )
    .bind(ids)
    .fetch_all(tx)
    .traced("SELECT payments")
    .await?;
    let mut locked = Locked { payments: HashMap::new(), now: OffsetDateTime::UNIX_EPOCH };
    for row in &rows {
        locked.now = row.try_get("now")?;
        if let Some(id) = row.try_get::<Option<Uuid>, _>("payment_id")? {
            locked.payments.insert(id, payment(row)?);
        }
    }
    Ok(locked)
}

/// The payment and its refunds, the oldest first, at one moment.
pub async fn get(db: &Pool, id: Uuid) -> sqlx::Result<Option<(Payment, Vec<Given>)>> {
    let rows = sqlx::query(
        "SELECT payments.*, refund_id, refunds.amount_minor AS refund_minor, done,
             refunds.create_time AS refund_time, complete_time
         FROM payments LEFT JOIN refunds USING (payment_id)
         WHERE payment_id = $1
         ORDER BY refunds.create_time, refund_id",
    )
    .bind(id)
    .fetch_all(db)
    .await?;
    let Some(mut payment) = rows.first().map(payment).transpose()? else { return Ok(None) };
    let mut given = Vec::new();
    if let Some(terms) = &payment.terms {
        for row in &rows {
            given.extend(refunds::given(row, terms.amount.currency)?);
        }
    }
    payment.pending = given.iter().filter_map(Given::pending).collect();
    Ok(Some((payment, given)))
}

/// The payments of a page, and one more if the list goes on behind it. Pending refunds are left
/// out.
pub async fn list(db: &Pool, page: &PaymentsPage) -> sqlx::Result<Vec<Payment>> {
    // An index holds each state apart: the newest of each are merged.
    const BY_STATE: &str = "SELECT listed.* FROM unnest($1::text[]) AS wanted (state)
         CROSS JOIN LATERAL (
             SELECT * FROM payments
             WHERE state = wanted.state
               AND (create_time, payment_id) < (coalesce($2, timestamptz 'infinity'), $3)
             ORDER BY create_time DESC, payment_id DESC LIMIT $4) AS listed
         ORDER BY create_time DESC, payment_id DESC LIMIT $4";
    const BY_ORDER: &str = "SELECT * FROM payments
         WHERE order_id = $5 AND state = ANY($1)
           AND (create_time, payment_id) < (coalesce($2, timestamptz 'infinity'), $3)
         ORDER BY create_time DESC, payment_id DESC LIMIT $4";
    let states = STATES.iter().filter(|(it, _)| page.state.is_none_or(|state| state == *it));
    let sql = if page.order_id.is_some() { BY_ORDER } else { BY_STATE };
    let mut query = sqlx::query(sql)
        .bind(states.map(|(_, name)| *name).collect::<Vec<_>>())
        .bind(page.after.map(|(time, _)| time))
        .bind(page.after.map_or(Uuid::max(), |(_, id)| id))
        .bind(i64::try_from(page.size + 1).unwrap_or(i64::MAX));
    if let Some(order_id) = page.order_id {
        query = query.bind(order_id);
    }
    let rows = query.fetch_all(&mut *db.read().await?).traced("SELECT payments").await?;
    rows.iter().map(payment).collect()
}

/// Saves payments, and what their changes moved, in one round trip. `is_new` tells those that had
/// no row to lock from those that are under lock. Those that wait for the processor are settled by a
/// sweeper if that takes longer than `settle_after`.
///
/// Fails with a unique violation if another transaction made one of the new ones meanwhile; whoever
/// tries again finds it.
pub async fn save(
    tx: &mut PgConnection,
    payments: &[&Payment],
    is_new: impl Fn(&Payment) -> bool,
    entries: &[Entry],
    settle_after: Duration,
) -> sqlx::Result<()> {
    if payments.is_empty() {
        return Ok(());
    }
    let amounts = || entries.iter().map(|it| it.posting.amount);
    let terms = || payments.iter().map(|it| it.terms.as_ref());
    sqlx::query(SAVE)
        .bind(payments.iter().map(|it| it.id).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| state_name(it.state)).collect::<Vec<_>>())
        .bind(terms().map(|it| it.map(|it| it.order_id)).collect::<Vec<_>>())
        .bind(terms().map(|it| it.map(|it| it.digest.to_vec())).collect::<Vec<_>>())
        .bind(terms().map(|it| it.map(|it| it.amount.currency.as_str())).collect::<Vec<_>>())
        .bind(terms().map(|it| it.map(|it| it.amount.minor)).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.authorized).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.captured).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.refunded).collect::<Vec<_>>())
        .bind(
            payments
                .iter()
                .map(|it| it.card_token.as_ref().map(CardToken::expose))
                .collect::<Vec<_>>(),
        )
        .bind(payments.iter().map(|it| it.capture.map(|it| it.key)).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.capture.map(|it| it.minor)).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.decline_reason.as_deref()).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.refunds).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.version).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| it.is_open()).collect::<Vec<_>>())
        .bind(payments.iter().map(|it| is_new(it)).collect::<Vec<_>>())
        .bind(settle_after.as_secs_f64())
        .bind(entries.iter().map(|it| it.payment_id).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.version).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| account_name(it.posting.account)).collect::<Vec<_>>())
        .bind(amounts().map(|it| it.currency.as_str()).collect::<Vec<_>>())
        .bind(amounts().map(|it| it.minor).collect::<Vec<_>>())
        .execute(tx)
        .traced("UPDATE payments")
        .await
        .map(drop)
}

/// Takes up to `limit` payments that have waited too long, for one round of settling.
///
/// Each comes up again later, the later the older it is: at first after `settle_after`, at most
/// after a minute. Several replicas may do this at once.
pub async fn take_overdue(
    db: &Pool,
    limit: i64,
    settle_after: Duration,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "UPDATE payments SET settle_after = now()
             + least(greatest(now() - update_time, $2 * interval '1 second'), interval '1 minute')
         WHERE payment_id IN (SELECT payment_id FROM payments WHERE settle_after < now()
                              ORDER BY settle_after LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING payment_id",
    )
    .bind(limit)
    .bind(settle_after.as_secs_f64())
    .fetch_all(db)
    .await
}

fn payment(row: &PgRow) -> sqlx::Result<Payment> {
    let name: &str = row.try_get("state")?;
    let named = |(_, known): &&(State, &str)| *known == name;
    let (state, _) = STATES.iter().find(named).ok_or_else(|| undecodable("payments.state"))?;
    let terms = terms(row)?;
    Ok(Payment {
        id: row.try_get("payment_id")?,
        state: *state,
        capture: capture(row, terms.as_ref())?,
        terms,
        authorized: row.try_get("authorized_minor")?,
        captured: row.try_get("captured_minor")?,
        refunded: row.try_get("refunded_minor")?,
        card_token: row.try_get::<Option<String>, _>("card_token")?.map(CardToken::new),
        decline_reason: row.try_get("decline_reason")?,
        pending: Vec::new(),
        refunds: row.try_get("refund_count")?,
        version: row.try_get("version")?,
        create_time: row.try_get("create_time")?,
        update_time: row.try_get("update_time")?,
    })
}

fn terms(row: &PgRow) -> sqlx::Result<Option<Terms>> {
    let Some(order_id) = row.try_get("order_id")? else { return Ok(None) };
    let currency = Currency::parse(row.try_get("currency")?);
    let currency = currency.ok_or_else(|| undecodable("payments.currency"))?;
    let digest: &[u8] = row.try_get("digest")?;
    let digest = digest.try_into().map_err(|_| undecodable("payments.digest"))?;
    let amount = Money::new(currency, row.try_get("amount_minor")?);
    Ok(Some(Terms { order_id, digest, amount }))
}

/// A capture without an amount is one of all that was asked for.
fn capture(row: &PgRow, terms: Option<&Terms>) -> sqlx::Result<Option<Capture>> {
    let Some(key) = row.try_get("capture_key")? else { return Ok(None) };
    let minor: Option<i64> = row.try_get("capture_minor")?;
    let all = terms.map(|terms| terms.amount.minor);
    let minor = minor.or(all).ok_or_else(|| undecodable("payments.capture_key"))?;
    Ok(Some(Capture { key, minor }))
}

const STATES: [(State, &str); 7] = [
    (State::Authorizing, "AUTHORIZING"),
    (State::Authorized, "AUTHORIZED"),
    (State::Declined, "DECLINED"),
    (State::Capturing, "CAPTURING"),
    (State::Captured, "CAPTURED"),
    (State::Undoing, "UNDOING"),
    (State::Undone, "UNDONE"),
];

fn state_name(state: State) -> &'static str {
    let (_, name) = STATES.iter().find(|(it, _)| *it == state).expect("every state is named");
    name
}
