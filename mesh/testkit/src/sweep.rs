//! Removes what tests left behind that were killed.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh_local::{Home, Identity, stop_leftovers};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

/// The most databases removed at once: a test should not wait long for old rubbish.
const AT_ONCE: i64 = 20;

/// A part of a name that no other test has, and that tells which process made it.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether the process that made a [`unique`] name is gone.
fn is_abandoned(unique: &str) -> bool {
    let pid = unique.split('_').next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| Identity::of(pid).is_none())
}

/// Stops servers and removes directories of tests that are gone.
pub(crate) async fn processes(home: &Home) -> anyhow::Result<()> {
    stop_leftovers(&home.run()?, Duration::from_secs(2)).await?;
    let Ok(entries) = fs::read_dir(home.path("isolated")) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_abandoned) {
            Home::at(&entry.path())?.remove()?;
        }
    }
    Ok(())
}

/// Drops databases of tests that are gone.
pub(crate) async fn databases(superuser: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(superuser).await?;
    let rows =
        sqlx::query("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%' LIMIT $1")
            .bind(AT_ONCE * 10)
            .fetch_all(&mut connection)
            .await?;
    let names = rows.iter().map(|row| row.get::<String, _>(0));
    let abandoned = names.filter(|name| name.strip_prefix("test_").is_some_and(is_abandoned));
    for name in abandoned.take(AT_ONCE as usize) {
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    connection.close().await
}
