//! Customers who order, each once, and follow the order until it is settled; afterwards a carrier
//! takes some of the parcels along.
//!
//! What fails for a moment is repeated with the same request id, as the contracts allow; so
//! whatever is killed meanwhile, every order is placed once and settles.

mod carrier;
mod customer;
mod mix;
mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::doors::Clients;
pub use crate::doors::Doors;
use crate::persist::Persistence;
use carrier::{Carrier, Round};
use customer::Visit;
use mix::{Card, Mix};
use report::{End, Ledger};
pub use report::{Percentiles, Report, Unsettled};
pub(crate) use report::{histogram, record, rounded};

/// How long the preparations may take: the shop may be on its knees already.
const PREPARING: Duration = Duration::from_secs(60);
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Deliveries at once.
const DELIVERIES: usize = 8;
/// Pieces of every product where nobody knows how many will be ordered.
const PLENTY: i64 = 100_000;

/// How many orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Orders(u64),
    /// As many as are begun within this time.
    During(Duration),
}

/// What is ordered, and how insistently.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many orders.
    pub amount: Amount,
    /// How many customers order at once.
    pub concurrency: usize,
    /// Which orders: the same seed gives the same ones.
    pub seed: u64,
    /// How long one order may take to be settled.
    pub limit: Duration,
    /// Every so many orders each card is used once that behaves oddly: answers slowly or not at
    /// all, or refuses the capture.
    pub odd_cards_every: u64,
    /// Every so many orders a carrier takes the parcel along, if the order was confirmed, and
    /// delivers every second of these; never if 0.
    pub parcels_every: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            amount: Amount::Orders(200),
            concurrency: 16,
            seed: 1,
            limit: Duration::from_secs(60),
            odd_cards_every: 1000,
            parcels_every: 3,
        }
    }
}

/// How far it is: read it at any time while [`run`] is at work.
#[derive(Debug, Default)]
pub struct Tally {
    /// Orders begun.
    pub begun: AtomicU64,
    /// Orders confirmed.
    pub confirmed: AtomicU64,
    /// Orders rejected.
    pub rejected: AtomicU64,
    /// Orders cancelled.
    pub cancelled: AtomicU64,
    /// Orders parked for an operator, or not settled within their limit.
    pub unfinished: AtomicU64,
    /// Calls that were made again, and watches that were resumed.
    pub retried: AtomicU64,
}

impl Tally {
    /// Orders whose customer is done.
    pub fn done(&self) -> u64 {
        let counters = [&self.confirmed, &self.rejected, &self.cancelled, &self.unfinished];
        counters.into_iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// Restocks the shop, lets customers order, and tells what became of the orders.
///
/// An error means that the preparations failed; what happens to orders is in the report.
pub async fn run(doors: &Doors, options: Options, tally: Arc<Tally>) -> Result<Report> {
    let clients = Clients::new(doors)?;
    let retried = &tally.retried;
    let persistence =
        Persistence { until: Instant::now() + PREPARING, patience: PATIENCE, retried };
    let products = clients.products(&persistence).await.context("cannot list the products")?;
    let mix = Mix::new(options.seed, options.odd_cards_every, &products);
    restock(&clients, &persistence, &mix, options.amount).await?;
    let mut tokens = Vec::new();
    for card in Card::ALL {
        let token = clients.token(&persistence, card.number()).await;
        tokens.push(token.context("cannot store a card")?);
    }

    let begun = Instant::now();
    let shift = Arc::new(Shift {
        clients,
        mix,
        tokens,
        next: AtomicU64::new(0),
        ledger: Ledger::new(),
        parcels: Mutex::default(),
        begun,
        options,
        tally,
    });
    let mut customers = JoinSet::new();
    for _ in 0..shift.options.concurrency.max(1) {
        customers.spawn(Arc::clone(&shift).serve());
    }
    while let Some(ended) = customers.join_next().await {
        ended.context("a customer failed")?;
    }
    let elapsed = begun.elapsed();
    let round = shift.carry().await;
    let retried = shift.tally.retried.load(Ordering::Relaxed);
    let report = shift.ledger.report(elapsed, retried);
    Ok(Report { shipped: round.shipped, delivered: round.delivered, ..report })
}

async fn restock(
    clients: &Clients,
    persistence: &Persistence<'_>,
    mix: &Mix,
    amount: Amount,
) -> Result<()> {
    let deliveries: Vec<(String, i64)> = match amount {
        Amount::Orders(orders) => mix.demand(orders),
        Amount::During(_) => mix.skus().map(|sku| (sku.to_owned(), PLENTY)).collect(),
    };
    stream::iter(deliveries)
        .map(|(sku, pieces)| async move { clients.receive(persistence, &sku, pieces).await })
        .buffer_unordered(DELIVERIES)
        .try_collect()
        .await
}

/// What the customers of one run share.
struct Shift {
    clients: Clients,
    mix: Mix,
    /// Of [`Card::ALL`].
    tokens: Vec<String>,
    next: AtomicU64,
    ledger: Ledger,
    /// Confirmed orders whose parcels the carrier is to take.
    parcels: Mutex<Vec<String>>,
    begun: Instant,
    options: Options,
    tally: Arc<Tally>,
}

impl Shift {
    /// One customer after the other.
    async fn serve(self: Arc<Self>) {
        while let Some(number) = self.next() {
            let errand = self.mix.errand(number);
            let token = &self.tokens[errand.card as usize];
            let visit = Visit {
                clients: &self.clients,
                until: Instant::now() + self.options.limit,
                retried: &self.tally.retried,
            };
            let outcome = visit.order(errand, token).await;
            let taken = number.checked_rem(self.options.parcels_every) == Some(0);
            if let (true, End::Confirmed(_), Some(order)) = (taken, &outcome.end, &outcome.order_id)
            {
                let mut parcels = self.parcels.lock().expect("nothing panics while it holds it");
                parcels.push(order.clone());
            }
            self.ledger.enter(outcome, &self.tally);
        }
    }

    /// Lets the carrier come by.
    async fn carry(&self) -> Round {
        let parcels =
            std::mem::take(&mut *self.parcels.lock().expect("nothing panics while it holds it"));
        let carrier = Carrier {
            clients: &self.clients,
            until: Instant::now() + self.options.limit,
            retried: &self.tally.retried,
        };
        carrier.drive(&parcels).await
    }

    /// The number of the next order, if there is to be one.
    fn next(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let wanted = match self.options.amount {
            Amount::Orders(orders) => number < orders,
            Amount::During(time) => self.begun.elapsed() < time,
        };
        if wanted {
            self.tally.begun.fetch_add(1, Ordering::Relaxed);
        }
        wanted.then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_demo_can_be_spawned_and_says_that_nobody_is_there() {
        let doors = Doors::find(|_| vec![([127, 0, 0, 1], 1).into()]);
        let nobody = Doors { catalog: Vec::new(), ..doors };

        let demo = tokio::spawn(async move { demo_of(&nobody).await });

        assert!(demo.await.unwrap().unwrap_err().to_string().contains("catalog"));
    }

    async fn demo_of(doors: &Doors) -> Result<Report> {
        run(doors, Options::default(), Arc::default()).await
    }
}
