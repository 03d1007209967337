//! The charges, and what was given back of them.

use std::collections::HashMap;

use mesh_log::Pool;
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Authorization, Charge, State};

/// A row under lock: a charge, or the placeholder of one that is yet to be decided.
pub struct Locked {
    pub charges: HashMap<Uuid, Option<Charge>>,
    /// The transaction's time.
    pub now: OffsetDateTime,
}

/// Inserts a placeholder for each of these ids that has no row: an absent row cannot be locked.
pub async fn insert_placeholders(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO charges (charge_id, state)
         SELECT id, 'NEW' FROM unnest($1::uuid[]) AS id ORDER BY id
         ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .execute(tx)
    .await
    .map(drop)
}

/// Locks the rows of these ids, in their order.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "SELECT *, now() AS now FROM charges WHERE charge_id = ANY($1) ORDER BY charge_id
         FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut locked = Locked { charges: HashMap::new(), now: OffsetDateTime::UNIX_EPOCH };
    for row in &rows {
        locked.now = row.try_get("now")?;
        locked.charges.insert(row.try_get("charge_id")?, charge(row)?);
    }
    Ok(locked)
}

/// The charge, if there is one.
pub async fn get(db: &Pool, id: Uuid) -> sqlx::Result<Option<Charge>> {
    let row = sqlx::query("SELECT * FROM charges WHERE charge_id = $1").bind(id);
    row.fetch_optional(db).await?.as_ref().map_or(Ok(None), charge)
}

/// Saves charges that are under lock.
pub async fn update(tx: &mut PgConnection, charges: &[&Charge]) -> sqlx::Result<()> {
    if charges.is_empty() {
        return Ok(());
    }
    let asked = || charges.iter().map(|it| it.asked.as_ref());
    sqlx::query(
        "UPDATE charges SET state = c.state, digest = c.digest, card_token = c.card_token,
             currency = c.currency, amount_minor = c.amount, authorized_minor = c.authorized,
             captured_minor = c.captured, refunded_minor = c.refunded,
             decline_reason = c.decline_reason, refund_refused = c.refund_refused
         FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::bool[])
              AS c(id, state, digest, card_token, currency, amount, authorized, captured, refunded,
                   decline_reason, refund_refused)
         WHERE charge_id = c.id",
    )
    .bind(charges.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| state_name(it.state)).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.digest.to_vec())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.card_token.as_str())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.amount.currency.as_str())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.amount.minor)).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.authorized).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.captured).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.refunded).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.decline_reason.as_deref()).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.refund_refused).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// Removes placeholders that came to nothing.
pub async fn delete_placeholders(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM charges WHERE charge_id = ANY($1) AND state = 'NEW'")
        .bind(ids)
        .execute(tx)
        .await
        .map(drop)
}

/// Notes what was given back: the refund's id, the charge's id, minor units.
pub async fn insert_refunds(
    tx: &mut PgConnection,
    refunds: &[(Uuid, Uuid, i64)],
) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO refunds (refund_id, charge_id, amount_minor)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])",
    )
    .bind(refunds.iter().map(|it| it.0).collect::<Vec<_>>())
    .bind(refunds.iter().map(|it| it.1).collect::<Vec<_>>())
    .bind(refunds.iter().map(|it| it.2).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

/// Reads a row; `None` if it is a placeholder.
fn charge(row: &PgRow) -> sqlx::Result<Option<Charge>> {
    let state = match row.try_get("state")? {
        "NEW" => return Ok(None),
        "AUTHORIZED" => State::Authorized,
        "DECLINED" => State::Declined,
        "CAPTURED" => State::Captured,
        "VOIDED" => State::Voided,
        _ => return Err(undecodable("state")),
    };
    Ok(Some(Charge {
        id: row.try_get("charge_id")?,
        state,
        asked: asked(row)?,
        authorized: row.try_get("authorized_minor")?,
        captured: row.try_get("captured_minor")?,
        refunded: row.try_get("refunded_minor")?,
        decline_reason: row.try_get("decline_reason")?,
        refund_refused: row.try_get("refund_refused")?,
        create_time: row.try_get("create_time")?,
    }))
}

fn asked(row: &PgRow) -> sqlx::Result<Option<Authorization>> {
    let Some(currency) = row.try_get::<Option<&str>, _>("currency")? else { return Ok(None) };
    let currency = Currency::parse(currency).ok_or_else(|| undecodable("currency"))?;
    let digest: &[u8] = row.try_get("digest")?;
    Ok(Some(Authorization {
        digest: digest.try_into().map_err(|_| undecodable("digest"))?,
        card_token: row.try_get("card_token")?,
        amount: Money::new(currency, row.try_get("amount_minor")?),
    }))
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Authorized => "AUTHORIZED",
        State::Declined => "DECLINED",
        State::Captured => "CAPTURED",
        State::Voided => "VOIDED",
    }
}

fn undecodable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("charges.{column} holds what was never written").into())
}
