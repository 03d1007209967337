//! One replica of a service, in a runtime of its own: killing the runtime is a crash.

use std::sync::LazyLock;

use mesh_events::Nats;
use mesh_log::{Database, Event};
use mesh_runtime::{Secret, Service, ServiceConfig};
use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let effects = "CREATE TABLE effects (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key uuid NOT NULL, version int NOT NULL, number int NOT NULL, node text NOT NULL)";
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "mesh", mesh_log::MIGRATION),
        migration(2, "effects", effects),
    ])
});

/// The tables of both services.
pub fn migrations() -> &'static Migrator {
    &MIGRATIONS
}

/// One running replica. Dropped like killed.
pub struct Node {
    runtime: Option<Runtime>,
    pub service: Service,
    pub db: Database,
    pub nats: Nats,
}

impl Node {
    pub async fn start(name: &'static str, database: &mesh_testkit::Database, nats: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = ServiceConfig {
            database_url: Some(Secret::new(database.url())),
            nats_url: Some(Secret::new(nats)),
            log_level: "error".to_owned(),
            ..ServiceConfig::default()
        };
        let starting = tokio::task::spawn_blocking(move || {
            let parts = runtime.block_on(async {
                let service = Service::begin(name, &config).await.unwrap();
                let db = mesh_log::connect(&service, &config, migrations()).await.unwrap();
                let nats = mesh_events::connect(&service, &config).await.unwrap();
                (service, db, nats)
            });
            (runtime, parts)
        });
        let (runtime, (service, db, nats)) = starting.await.unwrap();
        Self { runtime: Some(runtime), service, db, nats }
    }

    /// Runs what starts background tasks.
    pub fn run<T>(&self, start: impl FnOnce(&Self) -> T) -> T {
        let runtime = self.runtime.as_ref().unwrap();
        let _context = runtime.enter();
        start(self)
    }

    /// Commits `rows` to the log.
    pub async fn record(&self, rows: Vec<(Uuid, i32, Event)>) {
        let db = self.db.clone();
        let task = self.run(|_| {
            tokio::spawn(async move {
                mesh_log::transact(&db, "record", move |tx| {
                    Box::pin(async move { mesh_log::append_all(tx, &rows).await })
                })
                .await
            })
        });
        task.await.unwrap().unwrap();
    }

    /// Ends it as SIGTERM does.
    pub async fn stop(mut self) {
        let service = self.service.clone();
        let runtime = self.runtime.take().unwrap();
        runtime
            .spawn(async move {
                service.stop();
                service.finish().await;
            })
            .await
            .unwrap();
        runtime.shutdown_background();
    }

    /// Ends it as SIGKILL does: wherever it is, with everything that it holds.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
