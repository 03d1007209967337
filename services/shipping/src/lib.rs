//! Brings parcels to customers: `shop.shipping.v1`.

mod api;
mod app;
mod config;
mod domain;
mod events;
mod store;
mod wire;

use mesh_events::Relay;
use mesh_log::{Gather, Watchers};
use mesh_rpc::{Access, Identity, Server, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use shop::shipping::v1::shipping_service_server::ShippingServiceServer;

pub use config::Config;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("shipping", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "shipping");

    let watchers = Watchers::start(&service, db.pool().clone(), store::LAST_SEQUENCES);
    let shipments = app::Shipments { watchers: watchers.clone() };
    let writer = Gather::start(&db, &service, shipments);
    let draining = service.draining();
    let grpc = Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(ShippingServiceServer::new(api::Api { db, writer, watchers, draining }))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
