//! A database with the log's tables, and services that are joined to it.

use mesh_log::{Change, Event};
use mesh_runtime::{Secret, Service, ServiceConfig};
use uuid::Uuid;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

pub struct Lab {
    pub database: mesh_testkit::Database,
}

/// One process's worth of the log.
pub struct Node {
    pub service: Service,
    pub db: mesh_log::Database,
}

impl Lab {
    pub async fn start() -> Self {
        Self { database: mesh_testkit::Database::empty("log", &MIGRATIONS).await }
    }

    pub async fn node(&self) -> Node {
        self.node_with(ServiceConfig::default()).await
    }

    /// A process that has at most `connections` for its reads and closures.
    pub async fn node_of(&self, connections: u32) -> Node {
        let config = ServiceConfig { database_pool: connections, ..ServiceConfig::default() };
        self.node_with(config).await
    }

    /// A process whose database is at `config`'s address; the lab's own if that has none.
    pub async fn node_with(&self, mut config: ServiceConfig) -> Node {
        config.database_url.get_or_insert_with(|| Secret::new(self.database.url()));
        let service = Service::begin("log", &config).await.unwrap();
        let db = mesh_log::connect(&service, &config, &MIGRATIONS).await.unwrap();
        Node { service, db }
    }
}

impl Node {
    pub async fn stop(self) {
        self.service.stop();
        self.service.finish().await;
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Happened {
    #[prost(int32, tag = "1")]
    pub number: i32,
}

impl prost::Name for Happened {
    const NAME: &'static str = "Happened";
    const PACKAGE: &'static str = "lab.v1";
}

pub fn change(key: Uuid, expected: i32, events: usize) -> Change {
    Change {
        label: "change",
        key,
        expected,
        state: vec![1, 2, 3],
        awake: mesh_log::Awake::No,
        owner: None,
        events: (0..events).map(|n| Event::public(&Happened { number: n as i32 })).collect(),
        companion: (),
    }
}

/// How many sessions of the database, beside the asking one, `condition` holds for.
pub async fn sessions(pool: &sqlx::PgPool, condition: &'static str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
}
