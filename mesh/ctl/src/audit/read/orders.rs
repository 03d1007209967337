//! Orders: as auditors see them, and as their log tells them.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::Unreadable;
use super::super::facts::{OrderRow, OrderView, Story, ViewRow};
use super::super::story::Teller;
use super::database::{Database, Snapshot, seconds};

/// What is read last, at one moment.
pub struct Last {
    pub rows: HashMap<Uuid, OrderRow>,
    pub stories: HashMap<Uuid, Story>,
    pub torn: Vec<Uuid>,
    pub view: OrderView,
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
    let stories = read_stories(&mut snapshot, i64::MAX).await?;
    let torn = sqlx::query_as::<_, (Uuid,)>(
        "SELECT s.id
         FROM streams s LEFT JOIN (SELECT key, max(version) AS last, count(*) AS events
                                   FROM log GROUP BY key) l ON l.key = s.id
         WHERE s.version IS DISTINCT FROM l.last OR s.version IS DISTINCT FROM l.events
         UNION ALL
         SELECT o.order_id FROM audit_orders o
         WHERE NOT EXISTS (SELECT FROM streams s WHERE s.id = o.order_id)",
    );
    let torn = snapshot.all("streams and log", torn).await?;
    let view = read_view(&mut snapshot).await?;
    snapshot.end().await;
    Ok(Last { rows, stories, torn: torn.into_iter().map(|(id,)| id).collect(), view })
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

/// What the log tells of each order, up to a position.
async fn read_stories(
    snapshot: &mut Snapshot<'_>,
    end: i64,
) -> Result<HashMap<Uuid, Story>, Unreadable> {
    let query = sqlx::query_as::<_, (Uuid, String, Option<Vec<u8>>)>(
        "SELECT key, type, CASE WHEN type IN ('shop.orders.v1.OrderPlaced',
                                              'shop.orders.v1.OrderLost') THEN body END
         FROM log WHERE public AND type LIKE 'shop.orders.v1.Order%' AND seq <= $1
         ORDER BY key, version",
    )
    .bind(end);
    let mut tellers: HashMap<Uuid, Teller> = HashMap::new();
    for (key, kind, body) in snapshot.all("log", query).await? {
        tellers.entry(key).or_default().tell(&kind, &body.unwrap_or_default());
    }
    Ok(tellers.into_iter().map(|(id, teller)| (id, teller.end())).collect())
}

/// The list of orders, and a replay of the log up to where it has come.
async fn read_view(snapshot: &mut Snapshot<'_>) -> Result<OrderView, Unreadable> {
    let query = sqlx::query_as::<_, (i64, i64, f64)>(
        "SELECT p.position, count(l.seq), coalesce(extract(epoch FROM now() - min(l.at)), 0)::float8
         FROM (SELECT coalesce(max(position), 0) AS position FROM projections
               WHERE name = 'order_view') p
              LEFT JOIN log l ON l.seq > p.position
         GROUP BY p.position",
    );
    let found = snapshot.all("projections", query).await?;
    let (position, behind, age) = found.into_iter().next().unwrap_or_default();
    let query = sqlx::query_as::<_, (Uuid, String, String, i64, i32, i32)>(
        "SELECT order_id, state, currency, total_minor, line_count, version FROM audit_order_view",
    );
    let row = |(id, state, currency, total, line_count, version)| {
        (id, ViewRow { state, currency, total, line_count, version })
    };
    let rows = snapshot.all("audit_order_view", query).await?.into_iter().map(row).collect();
    let versions = sqlx::query_as::<_, (Uuid, i32)>(
        "SELECT key, max(version) FROM log WHERE seq <= $1 GROUP BY key",
    )
    .bind(position);
    let versions: HashMap<_, _> = snapshot.all("log", versions).await?.into_iter().collect();
    let stories = read_stories(snapshot, position).await?;
    let replayed = |(id, story): (Uuid, Story)| {
        let version = versions.get(&id).copied().unwrap_or_default();
        (id, replayed(story, version))
    };
    let replayed = stories.into_iter().map(replayed).collect();
    Ok(OrderView { rows, replayed, behind: (behind, seconds(age)) })
}

fn replayed(story: Story, version: i32) -> Result<ViewRow, String> {
    if let Some(fault) = story.fault {
        return Err(fault);
    }
    Ok(ViewRow {
        state: story.state.to_owned(),
        currency: story.currency,
        total: story.total,
        line_count: i32::try_from(story.line_count).unwrap_or(i32::MAX),
        version,
    })
}
