//! The charges, and what was given back of them.

use std::collections::HashMap;

use mesh_log::{Pool, Traced as _};
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Authorization, CardToken, Charge, State};

/// Rows under lock. An id without one is not held: see [`save`].
pub struct Locked {
    pub charges: HashMap<Uuid, Charge>,
    /// The transaction's time.
    pub now: OffsetDateTime,
}

/// Locks the rows of these ids, in their order.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Locked> {
    let rows = sqlx::query(
        "WITH locked AS (
             SELECT * FROM charges WHERE charge_id = ANY($1) ORDER BY charge_id FOR UPDATE)
         SELECT locked.*, now() AS now FROM (VALUES (1)) AS always LEFT JOIN locked ON true",
    )
    .bind(ids)
    .fetch_all(tx)
    .traced("SELECT charges")
    .await?;
    let mut locked = Locked { charges: HashMap::new(), now: OffsetDateTime::UNIX_EPOCH };
    for row in &rows {
        locked.now = row.try_get("now")?;
        if let Some(id) = row.try_get::<Option<Uuid>, _>("charge_id")? {
            locked.charges.insert(id, charge(row)?);
        }
    }
    Ok(locked)
}

/// The charge, if there is one.
pub async fn get(db: &Pool, id: Uuid) -> sqlx::Result<Option<Charge>> {
    let row = sqlx::query("SELECT * FROM charges WHERE charge_id = $1").bind(id);
    row.fetch_optional(db).await?.as_ref().map(charge).transpose()
}

/// Saves charges in one round trip. `is_new` tells those that had no row to lock from those that are
/// under lock.
///
/// Fails with a unique violation if another transaction made one of the new ones meanwhile; whoever
/// tries again finds it.
pub async fn save(
    tx: &mut PgConnection,
    charges: &[&Charge],
    is_new: impl Fn(&Charge) -> bool,
) -> sqlx::Result<()> {
    if charges.is_empty() {
        return Ok(());
    }
    let asked = || charges.iter().map(|it| it.asked.as_ref());
    sqlx::query(
        "WITH c AS MATERIALIZED (
             SELECT *
             FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bigint[],
                         $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::bool[],
                         $12::bool[])
                  AS c(id, state, digest, card_token, currency, amount, authorized, captured,
                       refunded, decline_reason, refund_refused, new)
         ), made AS (
             INSERT INTO charges (charge_id, state, digest, card_token, currency, amount_minor,
                 authorized_minor, captured_minor, refunded_minor, decline_reason, refund_refused)
             SELECT id, state, digest, card_token, currency, amount, authorized, captured, refunded,
                 decline_reason, refund_refused
             FROM c WHERE new ORDER BY id)
         UPDATE charges SET state = c.state, digest = c.digest, card_token = c.card_token,
             currency = c.currency, amount_minor = c.amount, authorized_minor = c.authorized,
             captured_minor = c.captured, refunded_minor = c.refunded,
             decline_reason = c.decline_reason, refund_refused = c.refund_refused
         FROM c WHERE charge_id = c.id AND NOT c.new",
    )
    .bind(charges.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| state_name(it.state)).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.digest.to_vec())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.card_token.expose())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.amount.currency.as_str())).collect::<Vec<_>>())
    .bind(asked().map(|it| it.map(|it| it.amount.minor)).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.authorized).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.captured).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.refunded).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.decline_reason.as_deref()).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| it.refund_refused).collect::<Vec<_>>())
    .bind(charges.iter().map(|it| is_new(it)).collect::<Vec<_>>())
    .execute(tx)
    .traced("UPDATE charges")
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
    .traced("INSERT refunds")
    .await
    .map(drop)
}

fn charge(row: &PgRow) -> sqlx::Result<Charge> {
    let state = match row.try_get("state")? {
        "AUTHORIZED" => State::Authorized,
        "DECLINED" => State::Declined,
        "CAPTURED" => State::Captured,
        "VOIDED" => State::Voided,
        _ => return Err(undecodable("state")),
    };
    Ok(Charge {
        id: row.try_get("charge_id")?,
        state,
        asked: asked(row)?,
        authorized: row.try_get("authorized_minor")?,
        captured: row.try_get("captured_minor")?,
        refunded: row.try_get("refunded_minor")?,
        decline_reason: row.try_get("decline_reason")?,
        refund_refused: row.try_get("refund_refused")?,
        create_time: row.try_get("create_time")?,
    })
}

fn asked(row: &PgRow) -> sqlx::Result<Option<Authorization>> {
    let Some(currency) = row.try_get::<Option<&str>, _>("currency")? else { return Ok(None) };
    let currency = Currency::parse(currency).ok_or_else(|| undecodable("currency"))?;
    let digest: &[u8] = row.try_get("digest")?;
    Ok(Some(Authorization {
        digest: digest.try_into().map_err(|_| undecodable("digest"))?,
        card_token: CardToken::new(row.try_get::<String, _>("card_token")?),
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
