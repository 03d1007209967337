//! Migrations that are interrupted, and replicas that migrate at once.

use mesh_testkit::{Database, Platform, PlatformOptions, eventually};
use sqlx::{Connection as _, PgConnection, PgPool};

use super::{blocked, connect};

/// A service that needs nothing but its database.
const SERVICE: &str = "processor";
/// The table that its second migration makes last but one, after others.
const LATE_TABLE: &str = "lost_answers";

/// A new database in which the second migration cannot end.
struct Held {
    database: Database,
    watcher: PgPool,
    /// Has made the late table, and not committed: whoever makes it too must wait.
    holder: PgConnection,
}

impl Held {
    async fn new() -> Self {
        let database = Database::blank(SERVICE).await;
        let watcher = PgPool::connect(&database.superuser_url()).await.unwrap();
        let mut holder = connect(&database.superuser_url()).await;
        let held = format!("BEGIN; CREATE TABLE {LATE_TABLE} (key uuid)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(held)).execute(&mut holder).await.unwrap();
        Self { database, watcher, holder }
    }

    /// Starts replicas on the database; none of them can become ready.
    async fn start(&self, replicas: u32) -> Platform {
        let options = PlatformOptions::new(&[SERVICE])
            .replicas(SERVICE, replicas)
            .env(SERVICE, "DATABASE_URL", self.database.url())
            .without_waiting();
        Platform::start(options).await
    }

    async fn let_go(&mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.holder).await.unwrap();
    }

    /// The versions of the migrations that are there, each once and whole.
    async fn applied(&self) -> Vec<i64> {
        let rows = sqlx::query_as("SELECT version, success FROM _sqlx_migrations ORDER BY version");
        let rows: Vec<(i64, bool)> = rows.fetch_all(&self.watcher).await.unwrap();
        assert!(rows.iter().all(|(_, success)| *success), "{rows:?}");
        rows.into_iter().map(|(version, _)| version).collect()
    }

    /// The sessions that wait for a lock.
    async fn waiting(&self) -> Vec<i32> {
        let waiting = "SELECT pid FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query_scalar(waiting).fetch_all(&self.watcher).await.unwrap()
    }

    async fn has_table(&self, name: &str) -> bool {
        let found = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(name);
        found.fetch_one(&self.watcher).await.unwrap()
    }

    /// Waits until the server has ended what a dead process left.
    async fn abandoned_sessions_end(&self) {
        eventually("the dead process's session to end", async || {
            sqlx::query_scalar::<_, bool>(
                "SELECT count(*) = 0 FROM pg_stat_activity
                 WHERE datname = current_database() AND usename = $1",
            )
            .bind(SERVICE)
            .fetch_one(&self.watcher)
            .await
            .unwrap()
        })
        .await;
    }
}

fn all_versions() -> Vec<i64> {
    processor::MIGRATIONS.iter().map(|migration| migration.version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_killed_midway_is_finished_by_the_next_start() {
    let mut held = Held::new().await;
    let platform = held.start(1).await;
    let service = platform.service(SERVICE);
    blocked(&held.watcher, 1).await;
    assert!(!service.is_ready().await, "ready before its tables are there");

    service.down().await;
    held.let_go().await;
    held.abandoned_sessions_end().await;

    assert_eq!(held.applied().await, all_versions()[..1], "the first stays, whole");
    assert!(!held.has_table("cards").await, "nothing of the second one stays");
    service.up();
    service.ready().await;
    assert_eq!(held.applied().await, all_versions());
    assert!(held.has_table("cards").await && held.has_table(LATE_TABLE).await);
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_outlives_a_migration_that_a_dead_process_left_hanging() {
    let mut held = Held::new().await;
    let platform = held.start(1).await;
    let service = platform.service(SERVICE);
    blocked(&held.watcher, 1).await;
    let first = held.waiting().await;

    // The server does not know that the process is gone: its session still waits, and still holds
    // the lock of those who migrate. The next start waits behind it, or where it was if it comes so late
    // that the server has noticed.
    service.kill().await;
    eventually("the next start to wait", async || {
        held.waiting().await.iter().any(|session| !first.contains(session))
    })
    .await;
    held.let_go().await;

    service.ready().await;
    assert_eq!(held.applied().await, all_versions());
    platform.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_migrate_at_once_both_become_ready() {
    let mut held = Held::new().await;
    let platform = held.start(2).await;
    // One is in the middle of it, the other waits for its turn.
    blocked(&held.watcher, 2).await;
    assert!(!platform.replica(SERVICE, 0).is_ready().await);
    assert!(!platform.replica(SERVICE, 1).is_ready().await);

    held.let_go().await;

    platform.ready().await;
    assert_eq!(held.applied().await, all_versions());
    let starts: Vec<_> = platform.services().iter().map(|process| process.starts()).collect();
    assert_eq!(starts, [1, 1], "nobody had to be started again");
    held.watcher.close().await;
    held.holder.close().await.unwrap();
    platform.shutdown().await;
}

/// While a release is rolled out, and after it was taken back.
#[tokio::test(flavor = "multi_thread")]
async fn the_release_before_starts_on_a_database_that_a_newer_one_has_migrated() {
    let database = Database::blank(SERVICE).await;
    let options = PlatformOptions::new(&[SERVICE]).env(SERVICE, "DATABASE_URL", database.url());
    let platform = Platform::start(options).await;
    let service = platform.service(SERVICE);
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a newer release', true, '\\x00', 1)";
    let watcher = PgPool::connect(&database.superuser_url()).await.unwrap();
    sqlx::query(newer).execute(&watcher).await.unwrap();

    service.down().await;
    service.up();

    service.ready().await;
    let versions = "SELECT version FROM _sqlx_migrations ORDER BY version";
    let versions: Vec<i64> = sqlx::query_scalar(versions).fetch_all(&watcher).await.unwrap();
    assert_eq!(versions, [all_versions(), vec![9999]].concat(), "nothing of it is taken back");
    watcher.close().await;
    platform.shutdown().await;
}
