//! One customer: fills a cart, orders it, and follows the order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_rpc::timeout_request;
use shop::orders::v1::{
    Order, OrderReason, OrderState, PlaceOrderRequest, SetCartLinesRequest, WatchOrderRequest,
};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::PATIENCE;
use super::buyer::Buyer;
use super::mix::Errand;
use super::report::{End, Outcome};
use crate::doors::{Clients, answer};
use crate::persist::{Backoff, GaveUp, Persistence, is_passing, said};

/// How long one watch lasts: a process that was stopped tells nothing, and does not hang up.
const WATCHING: Duration = Duration::from_secs(10);

/// One customer's time in the shop.
pub(super) struct Visit<'a> {
    pub clients: &'a Clients,
    pub buyer: &'a Buyer,
    /// When the customer gives up.
    pub until: Instant,
    /// Counts the calls that were made again.
    pub retried: &'a AtomicU64,
}

/// What the customer knows of the order.
struct Known {
    order_id: String,
    version: i32,
    state: OrderState,
    reason: Option<OrderReason>,
}

impl Visit<'_> {
    /// Orders what the errand says and waits until the order is settled.
    pub async fn order(&self, errand: Errand, card_token: &str) -> Outcome {
        let customer_id = self.buyer.id.clone();
        let mut outcome =
            Outcome { customer_id, order_id: None, end: End::Unsettled(String::new()) };
        outcome.end = match self.place(errand, card_token, &mut outcome).await {
            Err(gave_up) => End::Unsettled(gave_up.to_string()),
            Ok((order, begun)) => {
                outcome.order_id = Some(order.order_id.clone());
                self.follow(order, begun).await
            }
        };
        outcome
    }

    /// Answers the order, and when it was first asked for.
    async fn place(
        &self,
        errand: Errand,
        card_token: &str,
        outcome: &mut Outcome,
    ) -> Result<(Order, Instant), GaveUp> {
        let persistence =
            Persistence { until: self.until, patience: PATIENCE, retried: self.retried };
        let request = SetCartLinesRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id: outcome.customer_id.clone(),
            lines: errand.lines,
            etag: String::new(),
        };
        let filled = persistence.call("SetCartLines", &request, |request| {
            let mut carts = self.clients.carts.clone();
            let request = self.buyer.sign(request);
            async move { answer(carts.set_cart_lines(request).await) }
        });
        let cart = filled.await?.cart.unwrap_or_default();

        let begun = Instant::now();
        let request = PlaceOrderRequest {
            request_id: Uuid::now_v7().to_string(),
            customer_id: outcome.customer_id.clone(),
            cart_etag: cart.etag,
            address: Some(errand.address),
            card_token: card_token.to_owned(),
        };
        let placed = persistence.call("PlaceOrder", &request, |request| {
            let mut orders = self.clients.orders.clone();
            let request = self.buyer.sign(request);
            async move { answer(orders.place_order(request).await) }
        });
        Ok((placed.await?.order.unwrap_or_default(), begun))
    }

    /// Watches the order, again from where it was when a watch breaks.
    async fn follow(&self, order: Order, begun: Instant) -> End {
        let state = order.state();
        let mut known =
            Known { order_id: order.order_id, version: order.version, state, reason: order.reason };
        let mut backoff = Backoff::new();
        loop {
            if let Some(end) = known.end(begun) {
                return end;
            }
            let heard = known.version;
            let broken = match self.watch(&mut known).await {
                Ok(()) if known.end(begun).is_some() => continue,
                Ok(()) => "the watch ended".to_owned(),
                Err(status) if is_passing(&status) => said(&status),
                Err(status) => return End::Unsettled(known.last(&said(&status))),
            };
            if Instant::now() >= self.until {
                return End::Unsettled(known.last(&broken));
            }
            if known.version > heard {
                backoff = Backoff::new();
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
            backoff.pause(self.until).await;
        }
    }

    /// One watch: ends when the order is settled, or when the service ends it.
    async fn watch(&self, known: &mut Known) -> Result<(), Status> {
        let left = self.until.saturating_duration_since(Instant::now());
        let request =
            WatchOrderRequest { order_id: known.order_id.clone(), after_version: known.version };
        let request = timeout_request(request, WATCHING.min(left));
        let request = self.buyer.sign(request);
        let mut changes = self.clients.orders.clone().watch_order(request).await?.into_inner();
        while let Some(answer) = changes.message().await? {
            let Some(change) = answer.change else { continue };
            known.state = change.state();
            known.version = change.version;
            known.reason = change.reason;
            if known.is_settled() {
                break;
            }
        }
        Ok(())
    }
}

impl Known {
    fn is_settled(&self) -> bool {
        let open = [OrderState::Unspecified, OrderState::Pending, OrderState::Cancelling];
        !open.contains(&self.state)
    }

    /// How the order ended, if it is settled.
    fn end(&self, begun: Instant) -> Option<End> {
        match self.state {
            OrderState::Unspecified | OrderState::Pending | OrderState::Cancelling => None,
            OrderState::Confirmed
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Lost
            | OrderState::Returned => Some(End::Confirmed(begun.elapsed())),
            OrderState::Rejected => Some(End::Rejected(self.why())),
            OrderState::Cancelled => Some(End::Cancelled),
            OrderState::NeedsAttention => Some(End::Parked(self.why())),
        }
    }

    fn why(&self) -> String {
        self.reason.as_ref().map(|reason| reason.reason.clone()).unwrap_or_default()
    }

    fn last(&self, said: &str) -> String {
        format!("{} at version {}, then {said}", self.state.as_str_name(), self.version)
    }
}
