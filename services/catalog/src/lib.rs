//! Knows what the shop sells, and for how much: `shop.catalog.v1`, and `shop.catalog.v2` beside it.

mod api;
mod app;
mod config;
mod domain;
mod events;
mod store;
mod wire;

use mesh_events::Relay;
use mesh_log::Gather;
use mesh_rpc::{Access, Identity, Server, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use shop::catalog::{
    v1::catalog_service_server::CatalogServiceServer,
    v2::categories_service_server::CategoriesServiceServer,
};

pub use config::Config;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("catalog", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "catalog");

    let read = Gather::start(&db, &service, store::ReadProducts);
    let api = api::Api { db, read };
    let grpc = Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(CatalogServiceServer::new(api.clone()))
        .add(CategoriesServiceServer::new(api))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
