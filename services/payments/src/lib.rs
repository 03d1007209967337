//! Payments behind `shop.payments.v1`: every intent is recorded before the card processor is
//! asked, every answer afterwards, and what was left open is settled by asking again.
//!
//! `api` translates calls, `app` runs them, `domain` decides, `store` holds the SQL, `processor`
//! speaks to the card processor.

mod api;
mod app;
mod config;
mod domain;
mod events;
mod metrics;
mod processor;
mod store;
mod wire;

use mesh_events::Relay;
use mesh_log::Gather;
use mesh_rpc::{Access, Discovery, Identity, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use sqlx::migrate::Migrator;

pub use config::Config;

/// The schema; run by `start`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Starts the service; it ends when its process is told to, or by `Service::stop`.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("payments", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let discovery: Discovery = config.service.discovery.parse()?;
    let discovery = discovery.policy(&policy).identity(&identity);
    let processor = processor::Processor::new(discovery.channel(&service, "processor")?);
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "payments");

    let writer = Gather::start(&db, &service, app::Writer::new(config.settle_after()));
    let payments = app::Payments::new(db, writer, processor);
    payments.start_sweeper(&service, config.settle_after());
    let grpc = mesh_rpc::Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(api::payments_service(payments))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
