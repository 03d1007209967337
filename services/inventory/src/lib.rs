//! Keeps the stock: `shop.inventory.v1`.

mod api;
mod app;
mod config;
mod consume;
mod domain;
mod events;
mod metrics;
mod store;
mod sweeper;
mod wire;

use mesh_events::{Consumer, Relay};
use mesh_log::Gather;
use mesh_rpc::{Access, Identity, Server, policy::LivePolicy};
use mesh_runtime::{Service, Started};

pub use config::Config;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("inventory", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "inventory");

    let desk = app::StockDesk::new(Gather::start(&db, &service, app::StockWork));
    sweeper::start(&service, &db, &desk);
    let (stream, subjects) = (consume::STREAM, &consume::subjects());
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let reactions = consume::Shipments::new(desk.clone());
    let shipments = Consumer::start(&service, &db, &nats, stream, &subjects, reactions);

    let grpc = Server::new(&service, &[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(api::inventory_service(db.clone(), desk))
        .add(mesh_events::dead_letters_service(&service, &db, vec![shipments]))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
