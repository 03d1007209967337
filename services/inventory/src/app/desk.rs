use mesh_log::{Gather, Meta};
use tracing::info;

use super::{
    Error,
    batch::{Command, Guard, StockWork},
};
use crate::domain::{self, Adjustment, Answer, Delivery, Reservation, Threshold};

/// Where commands on the stock are handed in. Cheap to clone.
#[derive(Clone)]
pub struct StockDesk {
    gather: Gather<StockWork>,
}

impl StockDesk {
    pub fn new(gather: Gather<StockWork>) -> Self {
        Self { gather }
    }

    /// Carries out a command, in one transaction with what others hand in at the same time.
    pub async fn submit(&self, what: domain::Command, guard: Guard) -> Result<Answer, Error> {
        self.submit_caused(what, guard, Meta::current()).await
    }

    /// The same for a command that came from elsewhere, for instance from an event.
    pub async fn submit_caused(
        &self,
        what: domain::Command,
        guard: Guard,
        meta: Meta,
    ) -> Result<Answer, Error> {
        let command = Command { what, guard, meta };
        let done = self.gather.submit(command).await??;
        if done.changed {
            tell(&done.answer);
        }
        Ok(done.answer)
    }

    /// Carries out a command about one reservation.
    pub async fn reservation(
        &self,
        what: domain::Command,
        guard: Guard,
    ) -> Result<Reservation, Error> {
        match self.submit(what, guard).await? {
            Answer::Reservation(reservation) => Ok(reservation),
            other => unreachable!("commands on reservations answer with one, not {other:?}"),
        }
    }

    /// Takes a delivery in.
    pub async fn delivery(&self, what: domain::Command) -> Result<Delivery, Error> {
        match self.submit(what, Guard::Itself).await? {
            Answer::Delivered(delivery) => Ok(delivery),
            other => unreachable!("a delivery answers with itself, not {other:?}"),
        }
    }

    /// Brings the books in line with the shelf.
    pub async fn adjustment(&self, what: domain::Command) -> Result<Adjustment, Error> {
        match self.submit(what, Guard::Itself).await? {
            Answer::Adjusted(adjustment) => Ok(adjustment),
            other => unreachable!("an adjustment answers with itself, not {other:?}"),
        }
    }

    /// Says from when on a SKU counts as low.
    pub async fn threshold(&self, what: domain::Command, guard: Guard) -> Result<Threshold, Error> {
        match self.submit(what, guard).await? {
            Answer::Threshold(threshold) => Ok(threshold),
            other => unreachable!("a threshold answers with itself, not {other:?}"),
        }
    }
}

fn tell(answer: &Answer) {
    match answer {
        Answer::Reservation(reservation) => info!(
            reservation_id = %reservation.id,
            order_id = reservation.order_id().map(tracing::field::display),
            state = reservation.state().as_str(),
            "reservation changed",
        ),
        Answer::Delivered(delivery) => {
            info!(sku = %delivery.stock.sku, quantity = delivery.quantity, "stock received");
        }
        Answer::Adjusted(Adjustment { quantity, reason, stock, .. }) => {
            info!(sku = %stock.sku, quantity, reason = reason.as_str(), "stock adjusted");
        }
        Answer::Threshold(Threshold { sku, threshold, .. }) => {
            info!(%sku, threshold, "threshold set");
        }
        Answer::Transferred(reservations) => info!(reservations, "order transferred"),
    }
}
