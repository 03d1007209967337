//! Puts together what a page of the shop shows: `shop.storefront.v1`. It keeps nothing but what it
//! may forget.
//!
//! `api` translates calls, `pages` compose, `products` asks the catalog through the `cache`, `listen`
//! hears what to forget.

mod api;
mod cache;
mod config;
mod listen;
mod neighbours;
mod pages;
mod products;
mod wire;

use mesh_flags::Flags;
use mesh_rpc::{Access, Discovery, Identity, Server, policy::LivePolicy};
use mesh_runtime::{Service, Started};
use shop::storefront::v1::storefront_service_server::StorefrontServiceServer;

pub use config::Config;

use neighbours::Neighbours;
use pages::Pages;
use products::Products;

/// Starts the service; it serves when this returns.
pub async fn start(config: Config) -> anyhow::Result<Started> {
    let service = Service::begin("storefront", &config.service).await?;
    let policy = LivePolicy::of_service(&service, &config.service, &[shop::DESCRIPTORS])?;
    let identity = Identity::of_service(&service, &config.service)?;
    let access = Access::of_service(&service, &config.service, &identity, shop::DECLARATIONS)?;
    let nats = mesh_events::connect(&service, &config.service).await?;
    nats.follow_revocations(&service, &access);
    nats.follow_keys(&service, &access);
    let flags = Flags::declared(service.name(), shop::DECLARATIONS)?;
    flags.follow(&service, nats.client(), nats.jetstream());

    let discovery: Discovery = config.service.discovery.parse()?;
    let discovery = discovery.policy(&policy).identity(&identity);
    let neighbours = Neighbours::connect(&service, &discovery)?;
    let products = Products::new(neighbours.catalog.clone(), config.limits(), config.part_limit());
    listen::start(&service, &nats, products.clone());
    let home_stock = flags.flag("home_stock")?;
    let (limit, featured) = (config.part_limit(), config.featured_category);
    let pages = Pages { neighbours, products, limit, featured, home_stock };
    let grpc = Server::new(&service, &[shop::DESCRIPTORS])
        .policy(&policy)
        .identity(&identity)
        .access(&access)
        .add(StorefrontServiceServer::new(api::Storefront { pages, nats }))
        .serve(config.service.listen_addr)
        .await?;
    Ok(Started { service, grpc })
}
