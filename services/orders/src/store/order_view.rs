//! Orders for lists: a view that follows the log.

use mesh_log::{Pool, Traced as _};
use shop::money::{Currency, Money};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::state::{standing_of, state_word, word};
use crate::domain::{Placement, Standing, State};

/// What a part of the log tells of one order.
#[derive(Debug, PartialEq)]
pub struct Turn {
    pub order: Uuid,
    /// How and when it was placed, if this part tells.
    pub placed: Option<(Placement, OffsetDateTime)>,
    /// The state that it came to, if that changed.
    pub state: Option<State>,
    /// Whether it waits for an operator, if that changed.
    pub parked: Option<bool>,
    /// Version of the order before the first and after the last event of this part.
    pub versions: (i32, i32),
    /// When the last event happened.
    pub updated: OffsetDateTime,
}

/// Which orders are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub customer: Option<Uuid>,
    pub standing: Option<Standing>,
}

/// Where a list goes on: behind an order that was placed at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub placed: OffsetDateTime,
    pub order: Uuid,
}

/// An order as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub order: Uuid,
    pub customer: Uuid,
    pub standing: Standing,
    pub total: Money,
    pub lines: i32,
    pub placed: OffsetDateTime,
    pub updated: OffsetDateTime,
    pub version: i32,
}

/// Adds what happened; returns how many orders were not at the version that it happened to. Costs
/// a round trip for orders that were placed, and one for others.
pub async fn add(tx: &mut PgConnection, turns: &[Turn]) -> sqlx::Result<u64> {
    let (placed, moved): (Vec<_>, Vec<_>) = turns.iter().partition(|turn| turn.placed.is_some());
    insert(tx, &placed).await?;
    update(tx, &moved).await
}

async fn insert(tx: &mut PgConnection, turns: &[&Turn]) -> sqlx::Result<()> {
    if turns.is_empty() {
        return Ok(());
    }
    let placed: Vec<_> = turns.iter().filter_map(|turn| turn.placed.as_ref()).collect();
    // What is there already stands there since before the view was begun anew.
    sqlx::query(
        "INSERT INTO order_view (order_id, customer_id, stage, parked, currency, total_minor,
                                 line_count, placed_at, updated_at, version)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bool[], $5::text[],
                              $6::bigint[], $7::int[], $8::timestamptz[], $9::timestamptz[],
                              $10::int[])
         ON CONFLICT (order_id) DO UPDATE
         SET stage = excluded.stage, parked = excluded.parked, updated_at = excluded.updated_at,
             version = excluded.version",
    )
    .bind(turns.iter().map(|turn| turn.order).collect::<Vec<_>>())
    .bind(placed.iter().map(|(it, _)| it.customer).collect::<Vec<_>>())
    .bind(turns.iter().map(|it| state_word(it.state.unwrap_or(State::Pending))).collect::<Vec<_>>())
    .bind(turns.iter().map(|it| it.parked.unwrap_or(false)).collect::<Vec<_>>())
    .bind(placed.iter().map(|(it, _)| it.total.currency.as_str()).collect::<Vec<_>>())
    .bind(placed.iter().map(|(it, _)| it.total.minor).collect::<Vec<_>>())
    .bind(placed.iter().map(|(it, _)| count(it)).collect::<Vec<_>>())
    .bind(placed.iter().map(|(_, at)| *at).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.updated).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.versions.1).collect::<Vec<_>>())
    .execute(tx)
    .await
    .map(drop)
}

fn count(placement: &Placement) -> i32 {
    i32::try_from(placement.lines.len()).unwrap_or(i32::MAX)
}

async fn update(tx: &mut PgConnection, turns: &[&Turn]) -> sqlx::Result<u64> {
    if turns.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(
        "UPDATE order_view v
         SET stage = coalesce(t.stage, v.stage), parked = coalesce(t.parked, v.parked),
             updated_at = t.updated_at, version = t.after
         FROM unnest($1::uuid[], $2::text[], $3::bool[], $4::timestamptz[], $5::int[], $6::int[])
              AS t(order_id, stage, parked, updated_at, before, after)
         WHERE v.order_id = t.order_id AND v.version = t.before",
    )
    .bind(turns.iter().map(|turn| turn.order).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.state.map(state_word)).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.parked).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.updated).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.versions.0).collect::<Vec<_>>())
    .bind(turns.iter().map(|turn| turn.versions.1).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok((turns.len() as u64).saturating_sub(done.rows_affected()))
}

const ALL: &str = "SELECT * FROM order_view WHERE (placed_at, order_id) < ($1, $2)
    AND $3::uuid IS NULL AND $4::text IS NULL ORDER BY placed_at DESC, order_id DESC LIMIT $5";
const OF_A_CUSTOMER: &str = "SELECT * FROM order_view WHERE (placed_at, order_id) < ($1, $2)
    AND customer_id = $3 AND ($4::text IS NULL OR state = $4)
    ORDER BY placed_at DESC, order_id DESC LIMIT $5";
const IN_A_STATE: &str = "SELECT * FROM order_view WHERE (placed_at, order_id) < ($1, $2)
    AND $3::uuid IS NULL AND state = $4 ORDER BY placed_at DESC, order_id DESC LIMIT $5";

/// Orders behind a place in the list, newest first, at most so many.
pub async fn list(
    pool: &Pool,
    filter: Filter,
    after: Option<Place>,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    // Each statement has an index that holds its orders in their order.
    let statement = match filter {
        Filter { customer: Some(_), .. } => OF_A_CUSTOMER,
        Filter { standing: Some(_), .. } => IN_A_STATE,
        Filter { .. } => ALL,
    };
    let end = OffsetDateTime::from_unix_timestamp(253_402_300_799).expect("the year 9999");
    let after = after.unwrap_or(Place { placed: end, order: Uuid::max() });
    let mut reading = pool.read().await?;
    let rows = sqlx::query(statement)
        .bind(after.placed)
        .bind(after.order)
        .bind(filter.customer)
        .bind(filter.standing.map(word))
        .bind(limit)
        .fetch_all(&mut *reading)
        .traced("SELECT order_view")
        .await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &PgRow) -> sqlx::Result<Listed> {
    let unreadable = |what: &str| sqlx::Error::Decode(format!("{what} in order_view").into());
    let currency = Currency::parse(row.try_get("currency")?);
    let standing = standing_of(row.try_get("stage")?, row.try_get("parked")?);
    Ok(Listed {
        order: row.try_get("order_id")?,
        customer: row.try_get("customer_id")?,
        standing: standing.ok_or_else(|| unreadable("a state"))?,
        total: Money::new(
            currency.ok_or_else(|| unreadable("a currency"))?,
            row.try_get("total_minor")?,
        ),
        lines: row.try_get("line_count")?,
        placed: row.try_get("placed_at")?,
        updated: row.try_get("updated_at")?,
        version: row.try_get("version")?,
    })
}
