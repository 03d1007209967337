//! Knows what the shop sells, and for how much: `shop.catalog.v1`.

mod api;
mod app;
mod config;
mod domain;
mod page;
mod store;
mod wire;

use mesh_rpc::Server;
use mesh_runtime::{Service, Started};
use shop::catalog::v1::catalog_service_server::CatalogServiceServer;

pub use config::Config;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("catalog", &config.service).await?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let grpc = Server::new(&service, &[shop::DESCRIPTORS])
        .add(CatalogServiceServer::new(api::Api { db }))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
