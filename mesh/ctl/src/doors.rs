//! The doors of a shop that customers use, and clients that go through them.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use mesh_rpc::Channel;
use shop::catalog::v1::catalog_service_client::CatalogServiceClient;
use shop::catalog::v1::{ListProductsRequest, Product, ProductState};
use shop::inventory::v1::ReceiveStockRequest;
use shop::inventory::v1::inventory_service_client::InventoryServiceClient;
use shop::orders::v1::carts_service_client::CartsServiceClient;
use shop::orders::v1::order_queries_service_client::OrderQueriesServiceClient;
use shop::orders::v1::orders_service_client::OrdersServiceClient;
use shop::processor::v1::TokenizeCardRequest;
use shop::processor::v1::cards_service_client::CardsServiceClient;
use shop::shipping::v1::shipping_service_client::ShippingServiceClient;
use tonic::Status;
use uuid::Uuid;

use crate::caller::{Caller, Channels};
use crate::persist::Persistence;

/// Products of one page.
const PAGE: i32 = 200;
/// The most pieces that one delivery brings.
const DELIVERY: i64 = 1_000_000;

/// Where the services answer gRPC that customers need, every replica of each, and who comes.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Who calls.
    pub caller: Caller,
    /// What is sold.
    pub catalog: Vec<SocketAddr>,
    /// Where suppliers deliver.
    pub inventory: Vec<SocketAddr>,
    /// Carts and orders.
    pub orders: Vec<SocketAddr>,
    /// Where a card becomes a token.
    pub processor: Vec<SocketAddr>,
    /// Where carriers report.
    pub shipping: Vec<SocketAddr>,
    /// Where customers come in; where it is nowhere, they ask the services themselves.
    pub gateway: Vec<SocketAddr>,
}

impl Doors {
    /// Finds the doors by the services' names; nobody comes.
    pub fn find(addresses: impl Fn(&str) -> Vec<SocketAddr>) -> Doors {
        Doors {
            caller: Caller::default(),
            catalog: addresses("catalog"),
            inventory: addresses("inventory"),
            orders: addresses("orders"),
            processor: addresses("processor"),
            shipping: addresses("shipping"),
            gateway: addresses("gateway"),
        }
    }
}

/// Clients with one connection to every replica; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub channels: Channels,
    pub catalog: CatalogServiceClient<Channel>,
    pub inventory: InventoryServiceClient<Channel>,
    pub carts: CartsServiceClient<Channel>,
    pub orders: OrdersServiceClient<Channel>,
    pub queries: OrderQueriesServiceClient<Channel>,
    pub cards: CardsServiceClient<Channel>,
    pub shipping: ShippingServiceClient<Channel>,
    /// Where customers ask.
    pub door: Channel,
}

impl Clients {
    /// Everybody asks the services themselves. Fails if one has no door, or who calls cannot be told.
    pub fn new(doors: &Doors) -> Result<Clients> {
        let channels = doors.caller.channels()?;
        let channel = |name: &str, addresses: &[SocketAddr]| channels.to(name, addresses);
        let orders = channel("orders", &doors.orders)?;
        Ok(Clients {
            door: orders.clone(),
            catalog: CatalogServiceClient::new(channel("catalog", &doors.catalog)?),
            inventory: InventoryServiceClient::new(channel("inventory", &doors.inventory)?),
            carts: CartsServiceClient::new(orders.clone()),
            queries: OrderQueriesServiceClient::new(orders.clone()),
            orders: OrdersServiceClient::new(orders),
            cards: CardsServiceClient::new(channel("processor", &doors.processor)?),
            shipping: ShippingServiceClient::new(channel("shipping", &doors.shipping)?),
            channels,
        })
    }

    /// The same, but customers come in by the gateway.
    pub fn by_gateway(doors: &Doors) -> Result<Clients> {
        let clients = Clients::new(doors)?;
        let door = clients.channels.to_door("gateway", &doors.gateway)?;
        Ok(Clients {
            catalog: CatalogServiceClient::new(door.clone()),
            carts: CartsServiceClient::new(door.clone()),
            orders: OrdersServiceClient::new(door.clone()),
            cards: CardsServiceClient::new(door.clone()),
            door,
            ..clients
        })
    }

    /// Everything that the shop sells.
    pub async fn products(&self, persistence: &Persistence<'_>) -> Result<Vec<Product>> {
        let mut products = Vec::new();
        let mut page_token = String::new();
        loop {
            let state = ProductState::Active.into();
            let request =
                ListProductsRequest { page_size: PAGE, page_token, state, ..Default::default() };
            let page = persistence
                .call("ListProducts", &request, |request| {
                    let mut catalog = self.catalog.clone();
                    async move { answer(catalog.list_products(request).await) }
                })
                .await?;
            products.extend(page.products);
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        anyhow::ensure!(!products.is_empty(), "the catalog lists no product");
        Ok(products)
    }

    /// Lets a supplier deliver pieces of a product.
    pub async fn receive(
        &self,
        persistence: &Persistence<'_>,
        sku: &str,
        pieces: i64,
    ) -> Result<()> {
        let mut left = pieces;
        while left > 0 {
            let request = ReceiveStockRequest {
                request_id: Uuid::now_v7().to_string(),
                sku: sku.to_owned(),
                quantity: left.min(DELIVERY),
            };
            left -= request.quantity;
            let received = persistence.call("ReceiveStock", &request, |request| {
                let mut inventory = self.inventory.clone();
                async move { answer(inventory.receive_stock(request).await) }
            });
            received.await.with_context(|| format!("cannot restock {sku}"))?;
        }
        Ok(())
    }

    /// Returns a token that stands for a card.
    pub async fn token(&self, persistence: &Persistence<'_>, number: &str) -> Result<String> {
        let request = TokenizeCardRequest {
            request_id: Uuid::now_v7().to_string(),
            card_number: number.to_owned(),
            expiry_month: 12,
            expiry_year: 2099,
        };
        let card = persistence.call("TokenizeCard", &request, |request| {
            let mut cards = self.cards.clone();
            async move { answer(cards.tokenize_card(request).await) }
        });
        Ok(card.await?.card_token)
    }
}

/// The message of an answer.
pub(crate) fn answer<T>(answer: Result<tonic::Response<T>, Status>) -> Result<T, Status> {
    answer.map(tonic::Response::into_inner)
}
