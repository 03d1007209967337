//! The one order that is watched: what is bought, and how it is placed.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{SeedableRng as _, rngs::StdRng};
use shop::catalog::v1::Product;
use shop::common::v1::Address;
use shop::money;
use shop::orders::v1::{CartLine, PlaceOrderRequest, SetCartLinesRequest};
use tokio::time::Instant;
use uuid::Uuid;

use crate::doors::{Clients, Doors, answer};
use crate::persist::Persistence;

/// A test card that approves.
const CARD: &str = "4242 4242 4242 4242";
const PREPARING: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(5);
/// Pieces of each product.
const QUANTITIES: [i64; 2] = [2, 1];

/// What a customer is about to order.
pub(super) struct Purchase {
    clients: Clients,
    request: PlaceOrderRequest,
    /// SKU and pieces.
    pub lines: Vec<(String, i64)>,
    names: Vec<String>,
}

/// An order that was accepted.
pub(super) struct Placed {
    pub order: Uuid,
    /// For people.
    pub text: String,
}

impl Purchase {
    /// Fills a new customer's cart with products that are in stock.
    pub async fn prepare(doors: &Doors, seed: u64) -> Result<Purchase> {
        let clients = Clients::new(doors)?;
        let retried = AtomicU64::new(0);
        let persistence = persistence(&retried);
        let products = clients.products(&persistence).await.context("cannot list the products")?;
        let chosen = choose(seed, &products);
        let mut lines = Vec::new();
        for (product, quantity) in chosen.iter().zip(QUANTITIES) {
            clients.receive(&persistence, &product.sku, quantity).await?;
            lines.push((product.sku.clone(), quantity));
        }
        let card_token = clients.token(&persistence, CARD).await.context("cannot store a card")?;
        let customer_id = Uuid::now_v7().to_string();
        let line =
            |(sku, quantity): &(String, i64)| CartLine { sku: sku.clone(), quantity: *quantity };
        let request = SetCartLinesRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id: customer_id.clone(),
            lines: lines.iter().map(line).collect(),
            etag: String::new(),
        };
        let filled = persistence.call("SetCartLines", &request, |request| {
            let mut carts = clients.carts.clone();
            async move { answer(carts.set_cart_lines(request).await) }
        });
        let cart = filled.await?.cart.unwrap_or_default();
        let request = PlaceOrderRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id,
            cart_etag: cart.etag,
            address: Some(address()),
            card_token,
        };
        let names = chosen.iter().map(|product| product.name.clone()).collect();
        Ok(Purchase { clients, request, lines, names })
    }

    /// Places the order.
    pub async fn place(&self) -> Result<Placed> {
        let retried = AtomicU64::new(0);
        let placed = persistence(&retried)
            .call("PlaceOrder", &self.request, |request| {
                let mut orders = self.clients.orders.clone();
                async move { answer(orders.place_order(request).await) }
            })
            .await?;
        let Some(order) = placed.order else { bail!("PlaceOrder answered without an order") };
        let total = order.total.as_ref().and_then(|total| money::from_wire(total).ok());
        let total = total.map(|total| format!(", {total}")).unwrap_or_default();
        let pieces = self.lines.iter().zip(&self.names);
        let pieces: Vec<String> =
            pieces.map(|((_, quantity), name)| format!("{quantity} × {name}")).collect();
        Ok(Placed {
            order: order.order_id.parse().context("the order's id is no UUID")?,
            text: format!("order placed: {}{total}", pieces.join(", ")),
        })
    }
}

fn persistence(retried: &AtomicU64) -> Persistence<'_> {
    Persistence { until: Instant::now() + PREPARING, patience: PATIENCE, retried }
}

/// Up to two products of one currency.
fn choose(seed: u64, products: &[Product]) -> Vec<&Product> {
    fn currency(product: &Product) -> Option<&str> {
        product.price.as_ref().map(|price| price.currency_code.as_str())
    }
    let mut dice = StdRng::seed_from_u64(seed);
    let first = products.choose(&mut dice);
    let alike = products.iter().filter(|product| {
        first.is_some_and(|first| currency(first) == currency(product) && first.sku != product.sku)
    });
    let second = alike.choose(&mut dice);
    first.into_iter().chain(second).collect()
}

fn address() -> Address {
    Address {
        recipient: "Ada Lovelace".to_owned(),
        lines: vec!["Market Street 1".to_owned()],
        city: "Paris".to_owned(),
        postal_code: "75011".to_owned(),
        country_code: "FR".to_owned(),
    }
}
