//! The generator: as little work per order as there can be, so that it takes little of the
//! machine that it measures.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mesh_rpc::timeout_request;
use shop::common::v1::Address;
use shop::orders::v1::{
    CartLine, OrderReason, OrderState, PlaceOrderRequest, SetCartLinesRequest, WatchOrderRequest,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Status;
use uuid::Uuid;

use super::{PATIENCE, PREPARING, Run};
use crate::demo::record;
use crate::doors::{Clients, answer};
use crate::persist::{Persistence, said};

/// How long an order may take.
const LIMIT: Duration = Duration::from_secs(60);
/// After a failure, so that what is down is not asked as fast as it can be.
const PAUSE: Duration = Duration::from_millis(50);
const CARTS_AT_ONCE: usize = 128;

/// A cart that is ready to be ordered.
struct Cart {
    customer_id: String,
    etag: String,
}

/// Orders of one piece each, over all products in turn.
pub(super) struct Load {
    clients: Clients,
    skus: Vec<String>,
    card_token: String,
    turn: AtomicUsize,
    carts: Mutex<Vec<Cart>>,
}

impl Load {
    pub fn new(clients: Clients, skus: Vec<String>, card_token: String) -> Load {
        let carts = Mutex::new(Vec::new());
        Load { clients, skus, card_token, turn: AtomicUsize::new(0), carts }
    }

    /// Fills carts for the next run.
    pub async fn fill_carts(&self, count: usize) -> Result<()> {
        let retried = AtomicU64::new(0);
        let until = Instant::now() + PREPARING;
        let persistence = Persistence { until, patience: PATIENCE, retried: &retried };
        let carts = stream::iter(0..count)
            .map(|_| async {
                let request = self.cart();
                let filled = persistence.call("SetCartLines", &request, |request| {
                    let mut carts = self.clients.carts.clone();
                    async move { answer(carts.set_cart_lines(request).await) }
                });
                let cart = filled.await?.cart.unwrap_or_default();
                Ok::<_, anyhow::Error>(Cart { customer_id: cart.customer_id, etag: cart.etag })
            })
            .buffer_unordered(CARTS_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        self.shelf().extend(carts);
        Ok(())
    }

    /// Keeps so many orders in flight, begins none after `time`, and waits for the last.
    pub async fn run(self: &Arc<Self>, in_flight: usize, time: Duration) -> Result<Run> {
        let end = Instant::now() + time;
        let mut customers = JoinSet::new();
        for _ in 0..in_flight {
            customers.spawn(Arc::clone(self).order_until(end));
        }
        let mut run = Run::new();
        while let Some(part) = customers.join_next().await {
            run.add(part.context("a customer failed")?)?;
        }
        Ok(run)
    }

    async fn order_until(self: Arc<Self>, end: Instant) -> Run {
        let mut run = Run::new();
        while Instant::now() < end {
            match self.order(&mut run.carts_filled).await {
                Ok(took) => record(&mut run.confirmed, took),
                Err(what) => {
                    *run.failed.entry(what).or_default() += 1;
                    sleep(PAUSE).await;
                }
            }
        }
        run
    }

    /// Orders one cart; answers how long it took to be confirmed, or what happened instead.
    pub async fn order(&self, carts_filled: &mut u64) -> Result<Duration, String> {
        let ready = self.shelf().pop();
        let cart = match ready {
            Some(cart) => cart,
            None => {
                *carts_filled += 1;
                self.fill_cart().await.map_err(|status| failed("SetCartLines", &status))?
            }
        };
        let begun = Instant::now();
        let request = PlaceOrderRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id: cart.customer_id,
            cart_etag: cart.etag,
            address: Some(address()),
            card_token: self.card_token.clone(),
        };
        let placed =
            self.clients.orders.clone().place_order(timeout_request(request, PATIENCE)).await;
        let placed = answer(placed).map_err(|status| failed("PlaceOrder", &status))?;
        let order = placed.order.unwrap_or_default();
        let (state, reason) = self
            .settled(order.order_id, order.version)
            .await
            .map_err(|status| failed("WatchOrder", &status))?;
        if state == OrderState::Confirmed {
            return Ok(begun.elapsed());
        }
        let reason = reason.map(|reason| reason.reason).unwrap_or_default();
        Err(format!("{} {reason}", state.as_str_name()))
    }

    /// Waits until the order is no longer pending.
    async fn settled(
        &self,
        order_id: String,
        after_version: i32,
    ) -> Result<(OrderState, Option<OrderReason>), Status> {
        let request = timeout_request(WatchOrderRequest { order_id, after_version }, LIMIT);
        let mut changes = self.clients.orders.clone().watch_order(request).await?.into_inner();
        while let Some(answer) = changes.message().await? {
            let Some(change) = answer.change else { continue };
            if change.state() != OrderState::Pending {
                return Ok((change.state(), change.reason));
            }
        }
        Ok((OrderState::Pending, None))
    }

    async fn fill_cart(&self) -> Result<Cart, Status> {
        let request = timeout_request(self.cart(), PATIENCE);
        let cart = answer(self.clients.carts.clone().set_cart_lines(request).await)?;
        let cart = cart.cart.unwrap_or_default();
        Ok(Cart { customer_id: cart.customer_id, etag: cart.etag })
    }

    fn cart(&self) -> SetCartLinesRequest {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        SetCartLinesRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id: Uuid::now_v7().to_string(),
            lines: vec![CartLine { sku: self.skus[turn % self.skus.len()].clone(), quantity: 1 }],
            etag: String::new(),
        }
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Vec<Cart>> {
        self.carts.lock().expect("nothing panics while it holds the lock")
    }
}

fn failed(method: &str, status: &Status) -> String {
    format!("{method}: {}", said(status))
}

fn address() -> Address {
    Address {
        recipient: "Ada Lovelace".to_owned(),
        lines: vec!["Market Street 1".to_owned()],
        city: "Berlin".to_owned(),
        postal_code: "10115".to_owned(),
        country_code: "DE".to_owned(),
    }
}
