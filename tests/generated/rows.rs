//! How many rows the services' tables have.

use std::collections::BTreeMap;

use mesh_testkit::eventually;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use crate::{
    evidence::RESTLESS,
    shop::{SERVICES, Shop},
};

pub type Rows = BTreeMap<String, i64>;

/// The tables of all services, counted over connections that stay.
pub struct Tables {
    counts: Vec<(&'static str, PgPool, String)>,
    orders: PgPool,
}

impl Tables {
    pub async fn of(shop: &Shop) -> Self {
        let mut counts = Vec::new();
        for service in SERVICES {
            let pool = pool(shop.platform.database_url(service)).await;
            let tables: Vec<String> = sqlx::query_scalar(
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
            )
            .fetch_all(&pool)
            .await
            .unwrap();
            let count = |table: &String| format!("SELECT '{table}', count(*) FROM {table}");
            // Parcels of orders that nobody placed end as dead letters, in their own time.
            let restless = |table: &str| RESTLESS.contains(&table) || table == "dead_letters";
            let all = tables.iter().filter(|table| !restless(table));
            let sql = all.map(count).collect::<Vec<_>>().join(" UNION ALL ");
            counts.push((*service, pool, sql));
        }
        Self { counts, orders: pool(shop.platform.database_url("orders")).await }
    }

    /// How many rows every table has once nothing moves any more.
    pub async fn at_rest(&self) -> Rows {
        eventually("all orders to rest or to be parked", async || {
            let busy: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM streams s JOIN orders o ON o.order_id = s.id
                 WHERE s.awake_since IS NOT NULL AND o.state <> 'NEEDS_ATTENTION'",
            )
            .fetch_one(&self.orders)
            .await
            .ok()?;
            (busy == 0).then_some(())
        })
        .await;
        let mut last = self.count().await;
        eventually("the tables to rest", async || {
            let now = self.count().await;
            let rests = now == last;
            last = now;
            rests.then(|| last.clone())
        })
        .await
    }

    async fn count(&self) -> Rows {
        let counts = self.counts.iter().map(|(service, pool, sql)| async move {
            let rows: Vec<(String, i64)> =
                sqlx::query_as(AssertSqlSafe(sql.clone())).fetch_all(pool).await.unwrap();
            rows.into_iter().map(move |(table, count)| (format!("{service}.{table}"), count))
        });
        futures::future::join_all(counts).await.into_iter().flatten().collect()
    }
}

/// How many rows were added, by table.
pub fn growth(before: &Rows, after: &Rows) -> Rows {
    let more = |(table, rows): (&String, &i64)| {
        let more = rows - before.get(table).copied().unwrap_or_default();
        (more != 0).then(|| (table.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}
