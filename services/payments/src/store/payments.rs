//! The payments' rows.

use std::{collections::HashMap, time::Duration};

use shop::money::{Currency, Money};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Payment, State, Terms};

/// Rows under lock; a placeholder is `None`.
pub struct Locked {
    pub payments: HashMap<Uuid, Option<Payment>>,
    /// The transaction's time.
    pub now: OffsetDateTime,
}

/// Inserts a placeholder for each of these ids that has no row: an absent row cannot be locked.
pub async fn insert_placeholders(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO payments (payment_id, state)
         SELECT id, 'NEW' FROM unnest($1::uuid[]) AS id ORDER BY id
         ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .execute(tx)
    .await
    .map(drop)
}

/// Locks the rows of these ids, in their order. Pending refunds are left out.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "SELECT *, now() AS now FROM payments WHERE payment_id = ANY($1) ORDER BY payment_id
         FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut locked = Locked { payments: HashMap::new(), now: OffsetDateTime::UNIX_EPOCH };
    for row in &rows {
        locked.now = row.try_get("now")?;
        locked.payments.insert(row.try_get("payment_id")?, payment(row)?);
    }
    Ok(locked)
}

/// The payment, if there is one. Pending refunds are left out.
pub async fn get(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Payment>> {
    let row = sqlx::query("SELECT * FROM payments WHERE payment_id = $1").bind(id);
    row.fetch_optional(tx).await?.as_ref().map_or(Ok(None), payment)
}

/// Saves payments that are under lock. Those that wait for the processor are settled by a sweeper
/// if that takes longer than `settle_after`.
pub async fn update(
    tx: &mut PgConnection,
    payments: &[&Payment],
    settle_after: Duration,
) -> sqlx::Result<()> {
    if payments.is_empty() {
        return Ok(());
    }
    let terms = || payments.iter().map(|it| it.terms.as_ref());
    sqlx::query(
        "UPDATE payments SET state = p.state, order_id = p.order_id, digest = p.digest,
             currency = p.currency, amount_minor = p.amount, authorized_minor = p.authorized,
             captured_minor = p.captured, refunded_minor = p.refunded, card_token = p.card_token,
             capture_key = p.capture_key, decline_reason = p.decline_reason, version = p.version,
             settle_after = CASE WHEN p.open THEN now() + $15 * interval '1 second' END,
             update_time = now()
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::text[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::uuid[],
                     $12::text[], $13::int[], $14::bool[])
              AS p(id, state, order_id, digest, currency, amount, authorized, captured, refunded,
                   card_token, capture_key, decline_reason, version, open)
         WHERE payment_id = p.id",
    )
    .bind(payments.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| state_name(it.state)).collect::<Vec<_>>())
    .bind(terms().map(|it| it.map(|it| it.order_id)).collect::<Vec<_>>())
    .bind(terms().map(|it| it.map(|it| it.digest.to_vec())).collect::<Vec<_>>())
    .bind(terms().map(|it| it.map(|it| it.amount.currency.as_str())).collect::<Vec<_>>())
    .bind(terms().map(|it| it.map(|it| it.amount.minor)).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.authorized).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.captured).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.refunded).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.card_token.as_deref()).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.capture_key).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.decline_reason.as_deref()).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.version).collect::<Vec<_>>())
    .bind(payments.iter().map(|it| it.is_open()).collect::<Vec<_>>())
    .bind(settle_after.as_secs_f64())
    .execute(tx)
    .await
    .map(drop)
}

/// Takes up to `limit` payments that have waited too long, for one round of settling.
///
/// Each comes up again later, the later the older it is: at first after `settle_after`, at most
/// after a minute. Several replicas may do this at once.
pub async fn take_overdue(
    db: &PgPool,
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

/// Reads a row; `None` if it is a placeholder.
fn payment(row: &PgRow) -> sqlx::Result<Option<Payment>> {
    let name: &str = row.try_get("state")?;
    if name == "NEW" {
        return Ok(None);
    }
    let named = |(_, known): &&(State, &str)| *known == name;
    let (state, _) = STATES.iter().find(named).ok_or_else(|| undecodable("state"))?;
    Ok(Some(Payment {
        id: row.try_get("payment_id")?,
        state: *state,
        terms: terms(row)?,
        authorized: row.try_get("authorized_minor")?,
        captured: row.try_get("captured_minor")?,
        refunded: row.try_get("refunded_minor")?,
        card_token: row.try_get("card_token")?,
        capture_key: row.try_get("capture_key")?,
        decline_reason: row.try_get("decline_reason")?,
        pending: Vec::new(),
        version: row.try_get("version")?,
        create_time: row.try_get("create_time")?,
        update_time: row.try_get("update_time")?,
    }))
}

fn terms(row: &PgRow) -> sqlx::Result<Option<Terms>> {
    let Some(order_id) = row.try_get("order_id")? else { return Ok(None) };
    let currency = Currency::parse(row.try_get("currency")?);
    let currency = currency.ok_or_else(|| undecodable("currency"))?;
    let digest: &[u8] = row.try_get("digest")?;
    let digest = digest.try_into().map_err(|_| undecodable("digest"))?;
    let amount = Money::new(currency, row.try_get("amount_minor")?);
    Ok(Some(Terms { order_id, digest, amount }))
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

fn undecodable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("payments.{column} holds what was never written").into())
}
