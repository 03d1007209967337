//! Customers who order, each once, and follow the order until it is settled; afterwards a carrier
//! takes some of the parcels along.
//!
//! Customers have accounts and come in by the gateway; where there is none they ask the services
//! themselves, and a key speaks for them.
//!
//! What fails for a moment is repeated with the same request id, as the contracts allow; so
//! whatever is killed meanwhile, every order is placed once and settles.

mod buyer;
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
use buyer::Buyer;
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
/// How long it may take on top to sign one customer in.
const SIGNING_IN: Duration = Duration::from_millis(500);
/// Customers who are signed in at once: a password is expensive.
const SIGN_INS: usize = 4;
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
    let by_gateway = !doors.gateway.is_empty();
    let clients = if by_gateway { Clients::by_gateway(doors)? } else { Clients::new(doors)? };
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
    let concurrency = options.concurrency.max(1);
    let people = if by_gateway { concurrency } else { 0 };
    let mut people = sign_in(&clients, people, retried).await?.into_iter();

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
    for _ in 0..concurrency {
        customers.spawn(Arc::clone(&shift).serve(people.next()));
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

/// So many customers with an account of their own.
async fn sign_in(clients: &Clients, people: usize, retried: &AtomicU64) -> Result<Vec<Buyer>> {
    let all = u32::try_from(people).unwrap_or(u32::MAX);
    let until = Instant::now() + PREPARING + SIGNING_IN * all;
    let persistence = &Persistence { until, patience: PATIENCE, retried };
    stream::iter(0..people)
        .map(|_| Buyer::signed_in(clients, persistence))
        .buffer_unordered(SIGN_INS)
        .try_collect()
        .await
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
    /// One order after the other: of a customer who is signed in, or each of somebody else.
    async fn serve(self: Arc<Self>, mut signed_in: Option<Buyer>) {
        while let Some(number) = self.next() {
            let errand = self.mix.errand(number);
            let token = &self.tokens[errand.card as usize];
            let (until, retried) = (Instant::now() + self.options.limit, &self.tally.retried);
            let buyer = match signed_in.take() {
                None => Buyer::by_key(&self.clients.channels),
                Some(mut buyer) => {
                    let persistence = Persistence { until, patience: PATIENCE, retried };
                    // Whoever cannot renew a token is told so by what they ask next.
                    let _: Result<()> = buyer.renew(&self.clients, &persistence).await;
                    buyer
                }
            };
            let visit = Visit { clients: &self.clients, buyer: &buyer, until, retried };
            let outcome = visit.order(errand, token).await;
            let taken = number.checked_rem(self.options.parcels_every) == Some(0);
            if let (true, End::Confirmed(_), Some(order)) = (taken, &outcome.end, &outcome.order_id)
            {
                let mut parcels = self.parcels.lock().expect("nothing panics while it holds it");
                parcels.push(order.clone());
            }
            self.ledger.enter(outcome, &self.tally);
            signed_in = buyer.has_session().then_some(buyer);
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
