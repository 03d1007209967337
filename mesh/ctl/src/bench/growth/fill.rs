//! Fills a shop with a history, in bulk and past its contracts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::rows::{Column, Table};
use super::{SAMPLES, Side};

/// What belongs to no order, or is made good afterwards.
const KEPT: [&str; 12] = [
    "_sqlx_migrations",
    "adjustments",
    "card_key",
    "cards",
    "dead_letters",
    "deliveries",
    "lost_answers",
    "products",
    "projections",
    "relay_notes",
    "replicas",
    "stock",
];
/// Whose database holds nothing of orders.
const PEOPLE: &str = "users";
/// More rows than one order leaves in any log.
const LOG_ROWS: u64 = 32;
/// How many rows one statement writes, about.
const BATCH: u64 = 40_000;
/// How many databases are filled at once.
const AT_ONCE: usize = 2;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Filled {
    /// How many orders the rows tell of.
    pub orders: u64,
    /// Rows by service and table.
    pub rows: BTreeMap<String, u64>,
    /// Bytes of all databases afterwards.
    pub bytes: i64,
    /// How long it took.
    pub seconds: f64,
}

/// Leaves place for a history at the beginning of every log. To be called before anything is
/// logged: relays then never see the history as new.
pub async fn make_room(side: &Side, orders: u64) -> Result<()> {
    for url in side.databases.values() {
        let mut database = PgConnection::connect(url).await?;
        let last = i64::try_from((orders + SAMPLES as u64) * LOG_ROWS)?;
        sqlx::query("SELECT setval(pg_get_serial_sequence('log', 'seq'), $1)")
            .bind(last)
            .execute(&mut database)
            .await?;
    }
    Ok(())
}

/// Writes everything that the samples left again until there are so many orders.
pub async fn fill(side: &Side, orders: u64, mut step: impl FnMut(&str)) -> Result<Filled> {
    let begun = tokio::time::Instant::now();
    let repeats = orders.div_ceil(SAMPLES as u64).max(1);
    let mut tables = Vec::new();
    let mut ids = BTreeSet::new();
    for (service, url) in side.databases.iter().filter(|(service, _)| *service != PEOPLE) {
        for table in read(url).await.with_context(|| format!("the database of {service}"))? {
            ids.extend(table.ids());
            tables.push((service.clone(), url.clone(), table));
        }
    }
    let ids: Vec<Uuid> = ids.into_iter().collect();
    settings(side, true).await?;
    step(&format!("writing {} rows past the contracts", total(&tables, repeats)));
    let filled = stream::iter(&tables)
        .map(|(_, url, table)| write(url, table, &ids, repeats))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await;
    settings(side, false).await?;
    filled?;
    step("stocktaking, vacuum and checkpoint");
    let bytes = tidy(side).await?;
    let rows = tables.iter().map(|(service, _, table)| {
        (format!("{service}.{}", table.name), table.rows.len() as u64 * repeats)
    });
    Ok(Filled {
        orders: repeats * SAMPLES as u64,
        rows: rows.collect(),
        bytes,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn total(tables: &[(String, String, Table)], repeats: u64) -> u64 {
    tables.iter().map(|(_, _, table)| table.rows.len() as u64 * repeats).sum()
}

/// The tables of a database that hold something of orders.
async fn read(url: &str) -> Result<Vec<Table>> {
    let mut database = PgConnection::connect(url).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname",
    )
    .fetch_all(&mut database)
    .await?;
    let mut tables = Vec::new();
    for name in names.into_iter().filter(|name| !KEPT.contains(&name.as_str())) {
        let table = read_table(&mut database, name).await?;
        tables.extend(Some(table).filter(|table| !table.rows.is_empty()));
    }
    Ok(tables)
}

async fn read_table(database: &mut PgConnection, name: String) -> Result<Table> {
    let columns: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, NULL), attidentity <> ''
         FROM pg_attribute
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         ORDER BY attnum",
    )
    .bind(&name)
    .fetch_all(&mut *database)
    .await?;
    let texts: Vec<_> = columns.iter().map(|(name, ..)| format!("{name}::text")).collect();
    // What suppliers brought is no order's.
    let filter = if name == "movements" { "WHERE order_id IS NOT NULL" } else { "" };
    let order = &columns[0].0;
    let query = format!("SELECT {} FROM {name} {filter} ORDER BY {order}", texts.join(", "));
    let found = sqlx::query(AssertSqlSafe(query)).fetch_all(database).await?;
    let mut rows = Vec::new();
    for row in &found {
        let values = (0..columns.len()).map(|index| row.try_get(index));
        rows.push(values.collect::<Result<Vec<Option<String>>, _>>()?);
    }
    let column = |(name, kind, identity)| Column { name, kind, identity };
    Ok(Table { name, columns: columns.into_iter().map(column).collect(), rows })
}

async fn write(url: &str, table: &Table, ids: &[Uuid], repeats: u64) -> Result<()> {
    let mut database = PgConnection::connect(url).await?;
    // References hold because whole orders are repeated; the log's last word is on disk later.
    for setting in ["session_replication_role = replica", "synchronous_commit = off", "jit = off"] {
        sqlx::query(AssertSqlSafe(format!("SET {setting}"))).execute(&mut database).await?;
    }
    let statement = table.statement(ids, repeats);
    let batch = (BATCH / table.rows.len() as u64).max(1);
    let mut from = 0;
    while from < repeats {
        let to = repeats.min(from + batch);
        sqlx::query(AssertSqlSafe(statement.clone()))
            .bind(i64::try_from(from)?)
            .bind(i64::try_from(to)? - 1)
            .execute(&mut database)
            .await
            .with_context(|| format!("cannot fill {}", table.name))?;
        from = to;
    }
    Ok(database.close().await?)
}

/// While rows are written: no checkpoint every few seconds.
async fn settings(side: &Side, filling: bool) -> Result<()> {
    let mut database = PgConnection::connect(&side.subject.postgres_url).await?;
    for (name, value) in [("max_wal_size", "'2GB'"), ("autovacuum", "off")] {
        let change =
            if filling { format!("SET {name} = {value}") } else { format!("RESET {name}") };
        sqlx::query(AssertSqlSafe(format!("ALTER SYSTEM {change}"))).execute(&mut database).await?;
    }
    sqlx::query("SELECT pg_reload_conf()").execute(&mut database).await?;
    Ok(database.close().await?)
}

/// Leaves the databases as they would be after a quiet hour. Returns their size.
async fn tidy(side: &Side) -> Result<i64> {
    let inventory = side.databases.get("inventory").context("inventory is not up")?;
    let mut database = PgConnection::connect(inventory).await?;
    sqlx::query(
        "UPDATE stock s SET on_hand = m.on_hand, reserved = m.reserved, committed = m.committed,
                            shipped = m.shipped, lost = m.lost
         FROM (SELECT sku, sum(quantity) FILTER (WHERE bucket = 'on_hand') AS on_hand,
                      sum(quantity) FILTER (WHERE bucket = 'reserved') AS reserved,
                      sum(quantity) FILTER (WHERE bucket = 'committed') AS committed,
                      sum(quantity) FILTER (WHERE bucket = 'shipped') AS shipped,
                      sum(quantity) FILTER (WHERE bucket = 'lost') AS lost
               FROM audit_movements GROUP BY sku) m
         WHERE m.sku = s.sku",
    )
    .execute(&mut database)
    .await
    .context("the history sold more than there was")?;
    let mut bytes = 0;
    for url in side.databases.values() {
        let mut database = PgConnection::connect(url).await?;
        sqlx::query("VACUUM (FREEZE, ANALYZE)").execute(&mut database).await?;
        let size = sqlx::query_scalar::<_, i64>("SELECT pg_database_size(current_database())");
        bytes += size.fetch_one(&mut database).await?;
    }
    sqlx::query("CHECKPOINT").execute(&mut database).await?;
    Ok(bytes)
}
