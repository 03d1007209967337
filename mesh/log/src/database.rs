//! A service's database: reachable, migrated, joined.

use std::{
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use mesh_runtime::{Errand, Service, ServiceConfig};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use crate::{
    Pool, Replica, Wake, limits,
    pool::{self, CONNECT_LIMIT},
    streams::{STREAMS, Watchers},
};

/// Pause between attempts to reach a database that does not answer.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How long the errand waits for a database that does not answer.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a transaction may wait for its next statement: a stopped process holds its locks no
/// longer, and less than what a batch that waits for them has ([`crate::Gather`]).
const IDLE_IN_TRANSACTION_LIMIT_MS: &str = "5000";
/// How often the server looks, while it works on a statement, whether anybody still wants it: whoever
/// gives one up closes the connection. And when it takes a client that keeps silent for gone; ours is
/// not told by the kernel (sqlx sets no socket options), so it has limits on everything it waits for.
const CLIENT_CHECKS: [(&str, &str); 5] = [
    ("client_connection_check_interval", "500ms"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "20s"),
];

/// A service's database, its pool, and this process's place in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Pool,
    options: Arc<PgConnectOptions>,
    wake: Wake,
    watchers: Watchers,
    replica: Arc<Replica>,
}

/// Reaches the database, however long that takes, migrates it, and joins it as a replica.
///
/// Several replicas may do this at once: migrations run under a lock, each in a transaction, so one
/// that was interrupted is run again. Sets the condition `database` of the service's health.
pub async fn connect(
    service: &Service,
    config: &ServiceConfig,
    migrations: &Migrator,
) -> anyhow::Result<Database> {
    let options = options(service.name(), config)?;
    let pool = Pool::new(options.clone(), config.database_pool);
    pool::measure(service, &pool);
    let stop = service.draining();
    let condition = service.health().condition("database");
    let migrated = async {
        while let Err(error) = migrate(&options, migrations).await {
            if !is_unreachable(&error) {
                return Err(error).context("the database cannot be migrated");
            }
            condition.down(format!("unreachable: {error}"));
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        Ok(())
    };
    tokio::select! {
        result = migrated => result?,
        () = stop.cancelled() => anyhow::bail!("stopped before the database was reachable"),
    }
    let replica = Replica::join(service, options.clone(), pool.clone(), condition).await;
    let watchers = Watchers::start(service, pool.clone(), STREAMS);
    let (options, replica) = (Arc::new(options), Arc::new(replica));
    Ok(Database { pool, options, wake: Wake::default(), watchers, replica })
}

/// How connections to the database of `config` are made.
fn options(service: &str, config: &ServiceConfig) -> anyhow::Result<PgConnectOptions> {
    let url = config.database_url.as_ref().context("DATABASE_URL is not set")?;
    Ok(PgConnectOptions::from_str(url.expose())
        .context("DATABASE_URL is not a PostgreSQL address")?
        .application_name(service)
        .options([
            ("statement_timeout", limits::STATEMENT_LIMIT.as_millis().to_string().as_str()),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_LIMIT_MS),
            // Every statement finds its rows by a key. Planned once per connection, without these
            // PostgreSQL plans many of them again each time (a quarter of its work per order),
            // and keeps scanning a table that was empty when the plan was made.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            // A scan that is needed after all costs so much on paper that it would be compiled.
            ("jit", "off"),
        ])
        .options(CLIENT_CHECKS))
}

/// The errand `migrate`: brings the database to the newest of these migrations, and ends. A service
/// does the same when it starts; where many start at once, or its role may not, this comes before.
pub fn migrate_errand(migrations: &'static Migrator) -> Errand {
    let about = "Brings the service's database to its newest migration, and ends";
    Errand::new("migrate", about, move |service, config, Migrate {}| {
        Box::pin(async move {
            let options = options(service, &config)?;
            let begun = Instant::now();
            while let Err(error) = migrate(&options, migrations).await {
                let is_late = begun.elapsed() > MIGRATE_PATIENCE;
                if is_late || !is_unreachable(&error) {
                    return Err(error).context("the database cannot be migrated");
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
            let newest = migrations.iter().map(|migration| migration.version).max();
            Ok(format!("the database is at migration {}", newest.unwrap_or_default()))
        })
    })
}

/// It has no options.
#[derive(clap::Args)]
struct Migrate {}

impl Database {
    /// The connections for reads and for [`transact`](crate::transact).
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Wakes readers of the log in this process.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// This process among those that work on the database.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Tells when streams change.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// A connection of its own, which carries the replica's id so that a successor can end it.
    pub(crate) async fn dedicated(&self) -> sqlx::Result<PgConnection> {
        let name = self.replica.id().map(|id| id.to_string());
        let options = PgConnectOptions::clone(&self.options);
        let options = match &name {
            Some(name) => options.application_name(name),
            None => options,
        };
        let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
        connecting.await.unwrap_or_else(|_| Err(limits::silent()))
    }
}

/// On a connection of its own: a migration, and the wait for another replica's, may take longer than
/// any statement of the service.
///
/// A database that a newer release has migrated is left as it is: while that is rolled out, or after it
/// was taken back, the release before starts on its tables, and its migrations let it
/// (`cargo mesh migrations`).
async fn migrate(options: &PgConnectOptions, migrations: &Migrator) -> Result<(), MigrateError> {
    let options = options.clone().options([("statement_timeout", "0")]);
    let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
    let mut connection = connecting.await.unwrap_or_else(|_| Err(limits::silent()))?;
    let mut own = Migrator::with_migrations(migrations.iter().cloned().collect());
    match own.run(&mut connection).await {
        // Found before anything is done.
        Err(MigrateError::VersionMissing(unknown)) => {
            let known = migrations.iter().map(|migration| migration.version).max();
            tracing::info!(unknown, ?known, "a newer release has migrated the database");
            own.set_ignore_missing(true).run(&mut connection).await?;
        }
        done => done?,
    }
    Ok(connection.close().await?)
}

fn is_unreachable(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            is_connection_lost(error)
        }
        _ => false,
    }
}

/// True if the database was not reachable, went away, or is starting or stopping.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        _ if limits::deadline_passed(error).is_some() => false,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Class 57P: the server ends sessions or refuses new ones; class 08: connection exceptions.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}
