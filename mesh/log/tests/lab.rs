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
        let url = Secret::new(self.database.url());
        let config = ServiceConfig { database_url: Some(url), ..ServiceConfig::default() };
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
