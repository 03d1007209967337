//! Orders: as auditors see them, and as their log tells them.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::Unreadable;
use super::super::facts::{OrderRow, Story};
use super::super::story::Teller;
use super::database::{Database, Snapshot, seconds};

/// What is read last, at one moment.
pub struct Last {
    pub rows: HashMap<Uuid, OrderRow>,
    pub stories: HashMap<Uuid, Story>,
    pub torn: Vec<Uuid>,
}

/// The orders now.
pub async fn rows(database: &Database) -> Result<HashMap<Uuid, OrderRow>, Unreadable> {
    let mut snapshot = database.snapshot().await?;
    let rows = read_rows(&mut snapshot).await?;
    snapshot.end().await;
    Ok(rows)
}

/// The orders now, and their stories.
pub async fn last(database: &Database) -> Result<Last, Unreadable> {
    let mut snapshot = database.snapshot().await?;
    let rows = read_rows(&mut snapshot).await?;
    let stories = read_stories(&mut snapshot).await?;
    let torn = sqlx::query_as::<_, (Uuid,)>(
        "SELECT s.id
         FROM streams s LEFT JOIN (SELECT key, max(version) AS last, count(*) AS events
                                   FROM log GROUP BY key) l ON l.key = s.id
         WHERE s.version IS DISTINCT FROM l.last OR s.version IS DISTINCT FROM l.events",
    );
    let torn = snapshot.all("streams and log", torn).await?;
    snapshot.end().await;
    Ok(Last { rows, stories, torn: torn.into_iter().map(|(id,)| id).collect() })
}

async fn read_rows(snapshot: &mut Snapshot<'_>) -> Result<HashMap<Uuid, OrderRow>, Unreadable> {
    type Row = (Uuid, String, String, i64, i64, f64, Option<f64>);
    let query = sqlx::query_as::<_, Row>(
        "SELECT o.order_id, o.state, o.currency, o.total_minor, o.refund_due_minor,
                coalesce(extract(epoch FROM now() - s.created_at), 0)::float8,
                extract(epoch FROM now() - s.awake_since)::float8
         FROM audit_orders o LEFT JOIN streams s ON s.id = o.order_id",
    );
    let rows = snapshot.all("audit_orders", query).await?;
    let order = |(id, state, currency, total, refund_due, age, awake): Row| {
        let (age, awake_for) = (seconds(age), awake.map(seconds));
        (id, OrderRow { state, currency, total, refund_due, age, awake_for })
    };
    Ok(rows.into_iter().map(order).collect())
}

async fn read_stories(snapshot: &mut Snapshot<'_>) -> Result<HashMap<Uuid, Story>, Unreadable> {
    let query = sqlx::query_as::<_, (Uuid, String, Option<Vec<u8>>)>(
        "SELECT key, type, CASE WHEN type IN ('shop.orders.v1.OrderPlaced',
                                              'shop.orders.v1.OrderLost') THEN body END
         FROM log WHERE public AND type LIKE 'shop.orders.v1.Order%'
         ORDER BY key, version",
    );
    let mut tellers: HashMap<Uuid, Teller> = HashMap::new();
    for (key, kind, body) in snapshot.all("log", query).await? {
        tellers.entry(key).or_default().tell(&kind, &body.unwrap_or_default());
    }
    Ok(tellers.into_iter().map(|(id, teller)| (id, teller.end())).collect())
}
