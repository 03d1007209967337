//! A sandbox card processor behind `shop.processor.v1`.
//!
//! `api` translates calls, `app` runs them, `domain` decides, `store` holds the SQL.

mod api;
mod app;
mod config;
mod domain;
mod store;
mod wire;

use mesh_log::Gather;
use mesh_rpc::{Access, Identity, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use sqlx::migrate::Migrator;

pub use config::Config;

/// The schema; run by `start`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Starts the service; it ends when its process is told to, or by `Service::stop`.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("processor", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let cards = app::Cards::open(db.clone()).await?;
    let charges = app::Charges::new(db.clone(), Gather::start(&db, &service, app::Writer));
    let grpc = mesh_rpc::Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(api::cards_service(cards))
        .add(api::processor_service(charges))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
