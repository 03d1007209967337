//! A shop to begin with: stock for every product, people with accounts, and two customers with cards.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use mesh_rpc::{Channel, timeout_request};
use shop::catalog::v1::catalog_service_client::CatalogServiceClient;
use shop::catalog::v1::{ListProductsRequest, ProductState};
use shop::inventory::v1::ReceiveStockRequest;
use shop::inventory::v1::inventory_service_client::InventoryServiceClient;
use shop::processor::v1::TokenizeCardRequest;
use shop::processor::v1::cards_service_client::CardsServiceClient;
use uuid::{Uuid, uuid};

use crate::people::{self, PEOPLE};
use crate::state::State;

/// Request ids derive from it, so that seeding again adds nothing.
const SEED: Uuid = uuid!("5eed5eed-0000-4000-8000-000000000000");
/// Pieces of every product.
const STOCK: i64 = 1000;
/// A test card that approves.
const CARD: &str = "4242 4242 4242 4242";
/// How many people of the shop have a card.
const CUSTOMERS: usize = 2;
const AT_ONCE: usize = 8;
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// What the shop has to begin with.
#[derive(Clone, Debug)]
pub struct Shop {
    /// How many products.
    pub products: usize,
    /// Who may order.
    pub customers: Vec<Customer>,
}

/// A customer with a card.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The name that people read.
    pub name: &'static str,
    /// The id, the same after every seeding.
    pub id: Uuid,
    /// Stands for a test card that approves.
    pub card_token: String,
}

/// Fills the shop through its contracts. Safe to repeat.
pub async fn seed(state: &State) -> Result<Shop> {
    let channels = state.caller().channels()?;
    let to = |service: &str| channels.to(service, &[state.grpc(service)?]);
    let catalog = CatalogServiceClient::new(to("catalog")?);
    let skus = skus(catalog).await.context("cannot list the products")?;
    let inventory = InventoryServiceClient::new(to("inventory")?);
    stream::iter(&skus)
        .map(|sku| receive(inventory.clone(), sku))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .context("cannot stock the products")?;
    let cards = CardsServiceClient::new(to("processor")?);
    people::register(to("users")?).await?;
    let mut customers = Vec::new();
    for person in &PEOPLE[..CUSTOMERS] {
        let name = person.name;
        let request = TokenizeCardRequest {
            request_id: id(&format!("card/{name}")).to_string(),
            card_number: CARD.to_owned(),
            expiry_month: 12,
            expiry_year: 2099,
        };
        let answer = cards.clone().tokenize_card(timeout_request(request, LIMIT)).await;
        let card_token = answer.context("cannot store a card")?.into_inner().card_token;
        customers.push(Customer { name, id: person.id(), card_token });
    }
    Ok(Shop { products: skus.len(), customers })
}

async fn receive(mut inventory: InventoryServiceClient<Channel>, sku: &str) -> Result<()> {
    let request = ReceiveStockRequest {
        request_id: id(&format!("stock/{sku}")).to_string(),
        sku: sku.to_owned(),
        quantity: STOCK,
    };
    let request = timeout_request(request, LIMIT);
    inventory.receive_stock(request).await.with_context(|| format!("product {sku}"))?;
    Ok(())
}

async fn skus(mut catalog: CatalogServiceClient<Channel>) -> Result<Vec<String>> {
    let mut skus = Vec::new();
    let mut page_token = String::new();
    loop {
        let state = ProductState::Active.into();
        let request =
            ListProductsRequest { page_size: 100, page_token, state, ..Default::default() };
        let request = timeout_request(request, LIMIT);
        let page = catalog.list_products(request).await?.into_inner();
        skus.extend(page.products.into_iter().map(|product| product.sku));
        if page.next_page_token.is_empty() {
            return Ok(skus);
        }
        page_token = page.next_page_token;
    }
}

pub(crate) fn id(name: &str) -> Uuid {
    Uuid::new_v5(&SEED, name.as_bytes())
}
