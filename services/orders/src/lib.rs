//! Takes orders and follows them to a final state: `shop.orders.v1`.

mod api;
mod app;
mod checkout;
mod config;
mod consume;
mod domain;
mod events;
mod metrics;
mod neighbours;
mod numbers;
mod store;
mod wire;

use mesh_events::{Consumer, Relay};
use mesh_log::{Gather, Projection, Streams};
use mesh_rpc::{Access, Discovery, Identity, Server, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use mesh_saga::Engine;

use checkout::{Checkout, PrivateCache};
pub use config::Config;
use neighbours::Neighbours;

/// The schema of this service's database.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Domain of the service's errors.
const DOMAIN: &str = "orders.shop";

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("orders", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let db = mesh_log::connect(&service, &config.service, &MIGRATIONS).await?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    Relay::start(&service, &db, &nats, "orders");

    let discovery: Discovery = config.service.discovery.parse()?;
    let discovery = discovery.policy(&policy).identity(&identity);
    let neighbours = Neighbours::connect(&service, &discovery)?;
    let private = PrivateCache::new(db.pool().clone());
    let checkout = Checkout {
        neighbours: neighbours.clone(),
        private: private.clone(),
        limits: config.limits(),
        hold_seconds: config.reservation_hold_seconds,
    };
    let engine = Engine::start(&service, Streams::start(&db, &service), checkout);
    let carts = Gather::start(&db, &service, app::Carts);
    let consumers = vec![Consumer::start(
        &service,
        &db,
        &nats,
        "shipping",
        consume::SUBJECTS,
        consume::Shipments { engine: engine.clone() },
    )];

    Projection::start(&service, &db, consume::OrderView);
    let read_carts = Gather::start(&db, &service, store::ReadCarts);
    let orders = app::Orders {
        db: db.clone(),
        engine: engine.clone(),
        neighbours,
        private,
        carts: read_carts.clone(),
    };
    let grpc = Server::new(&service, &[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(api::orders_service(orders.clone(), &service))
        .add(api::order_queries_service(orders))
        .add(api::carts_service(read_carts, carts))
        .add(mesh_saga::sagas_service(engine, DOMAIN))
        .add(mesh_events::dead_letters_service(&service, &db, consumers))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}

#[cfg(test)]
mod model;
