//! Customers who order all the while.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use mesh_rpc::{Channel, timeout_request};
use mesh_testkit::eventually;
use shop::orders::v1::{
    CartLine, OrderState, PlaceOrderRequest, SetCartLinesRequest,
    carts_service_client::CartsServiceClient, orders_service_client::OrdersServiceClient,
};
use tonic::Status;

use super::seen;
use crate::shop::{GOOD_CARD, Shop, address, uuid};

/// How many customers order at once.
const CUSTOMERS: usize = 4;
/// The longest that the contracts allow: how fast this machine is, is not what is tested.
const DEADLINE: Duration = Duration::from_secs(30);
/// Pieces that are there: more than are ever ordered.
const PIECES: i64 = 100_000;

/// Orders of one piece each, and what went wrong with them.
pub struct Load {
    orders: Channel,
    sku: String,
    /// They pay with these in turn.
    cards: Vec<String>,
    closed: AtomicBool,
    placed: Mutex<Vec<String>>,
    failed: Mutex<Vec<Status>>,
}

impl Load {
    /// Orders through this door.
    pub async fn through(orders: Channel, shop: &Shop) -> Self {
        Self::paid_with(orders, shop, &[GOOD_CARD]).await
    }

    /// The same, paid with cards of these numbers in turn, which all have to be good in the end.
    pub async fn paid_with(orders: Channel, shop: &Shop, numbers: &[&str]) -> Self {
        eventually("orders to find the catalog", async || {
            let seen = seen(shop.platform.service("orders"), "catalog").await;
            let mut rows = seen["endpoints"].as_array().into_iter().flatten();
            rows.any(|row| row["state"] == "READY")
        })
        .await;
        let sku = shop.stocked(PIECES).await;
        let cards = join_all(numbers.iter().map(|number| shop.card(number))).await;
        let (placed, failed) = Default::default();
        Self { orders, sku, cards, closed: AtomicBool::new(false), placed, failed }
    }

    /// Lets customers order until [`Load::close`].
    pub async fn run(&self) {
        join_all((0..CUSTOMERS).map(|_| self.customer())).await;
    }

    async fn customer(&self) {
        while !self.closed.load(Ordering::Relaxed) {
            if let Err(status) = self.order().await {
                self.failed.lock().unwrap().push(status);
            }
        }
    }

    /// Orders one piece for a new customer.
    pub async fn order(&self) -> Result<(), Status> {
        let fill = SetCartLinesRequest {
            request_id: uuid(),
            customer_id: uuid(),
            lines: vec![CartLine { sku: self.sku.clone(), quantity: 1 }],
            etag: String::new(),
        };
        let mut carts = CartsServiceClient::new(self.orders.clone());
        let filled = carts.set_cart_lines(timeout_request(fill, DEADLINE)).await?;
        let cart = filled.into_inner().cart.unwrap();
        let place = PlaceOrderRequest {
            request_id: uuid(),
            customer_id: cart.customer_id,
            cart_etag: cart.etag,
            address: Some(address("DE")),
            card_token: self.cards[self.placed() % self.cards.len()].clone(),
        };
        let mut orders = OrdersServiceClient::new(self.orders.clone());
        let placed = orders.place_order(timeout_request(place, DEADLINE)).await?;
        self.placed.lock().unwrap().push(placed.into_inner().order.unwrap().order_id);
        Ok(())
    }

    /// Waits until this many more orders are placed.
    pub async fn more(&self, orders: usize) {
        let goal = self.placed() + orders;
        eventually(&format!("{orders} more orders"), async || self.placed() >= goal).await;
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn placed(&self) -> usize {
        self.placed.lock().unwrap().len()
    }

    /// Calls of customers that failed for them.
    pub fn failures(&self) -> Vec<String> {
        self.failed.lock().unwrap().iter().map(|status| format!("{status:?}")).collect()
    }

    /// Asserts that every order that was placed is confirmed and paid once, and nothing else is.
    pub async fn is_settled(&self, shop: &Shop) {
        shop.quiet().await;
        let placed = self.placed.lock().unwrap().clone();
        for order in placed.iter().step_by(10) {
            assert_eq!(shop.order(order).await.state(), OrderState::Confirmed);
        }
        let count = i64::try_from(placed.len()).unwrap();
        assert_eq!(shop.pieces(&self.sku).await, [PIECES - count, 0, count, 0]);
        let charges = "SELECT count(*) FROM audit_charges WHERE captured_minor > 0";
        assert_eq!(shop.count("processor", charges).await, count);
        shop.audit_is_clean().await;
    }
}
