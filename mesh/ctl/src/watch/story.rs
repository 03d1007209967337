//! What an order's stream has recorded, as it is recorded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use prost::Message;
use serde::Serialize;
use shop::orders::v1 as orders;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::steps::STEPS;

const GLANCE: Duration = Duration::from_millis(10);
/// Longer than a checkout is patient before it turns back.
const PATIENCE: Duration = Duration::from_secs(60);

/// One moment of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// Seconds since the order was recorded.
    pub at: f64,
    /// Who did it.
    pub service: String,
    /// What kind of moment.
    pub kind: Kind,
    /// The checkout's step, if it is one.
    pub step: Option<&'static str>,
    /// What happened.
    pub text: String,
}

/// What kind of moment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody is called and held: the moment to kill.
    Next,
    /// The order's stream recorded it.
    Recorded,
    /// Somebody was killed.
    Killed,
    /// Who was killed is back.
    Back,
}

/// A recorded event.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub version: i32,
    pub at: f64,
    pub event: Event,
}

#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Placed,
    /// The step with this index is done.
    Done(usize),
    Confirmed,
    /// The order leaves the way that is told here.
    Ends(String),
    Other(String),
}

/// A step as the stream of an order holds it (`services/orders/src/events.rs`).
#[derive(Clone, PartialEq, Message)]
struct CheckoutStep {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    action: u32,
    #[prost(string, tag = "4")]
    reason: String,
}

const DONE: u32 = 1;

/// Reads one order's stream.
pub(super) struct Reader {
    pool: PgPool,
    order: Uuid,
    seen: i32,
}

impl Reader {
    pub fn new(url: &str, order: Uuid) -> Result<Reader> {
        let options = PgPoolOptions::new().max_connections(1);
        let options = options.acquire_timeout(Duration::from_secs(2));
        Ok(Reader { pool: options.connect_lazy(url)?, order, seen: 0 })
    }

    /// What was recorded since the last call; waits until there is something.
    pub async fn next(&mut self) -> Result<Vec<Record>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The database may be what was killed.
            let failure = match self.read().await {
                Ok(records) if !records.is_empty() => return Ok(records),
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if Instant::now() > deadline {
                let why = failure.map(|error| format!(" ({error})")).unwrap_or_default();
                bail!(
                    "the order has recorded nothing for {} s{why}; look at `sagas show {}`",
                    PATIENCE.as_secs(),
                    self.order
                );
            }
            sleep(GLANCE).await;
        }
    }

    async fn read(&mut self) -> sqlx::Result<Vec<Record>> {
        let rows = sqlx::query_as::<_, (i32, String, Vec<u8>, f64)>(
            "SELECT version, type, body, extract(epoch FROM at)::float8
             FROM log WHERE key = $1 AND version > $2 ORDER BY version",
        );
        let rows = rows.bind(self.order).bind(self.seen).fetch_all(&self.pool).await?;
        self.seen = rows.last().map_or(self.seen, |row| row.0);
        let record = |(version, kind, body, at): (i32, String, Vec<u8>, f64)| Record {
            version,
            at,
            event: event(&kind, &body),
        };
        Ok(rows.into_iter().map(record).collect())
    }
}

fn event(kind: &str, body: &[u8]) -> Event {
    let name = kind.rsplit('.').next().unwrap_or(kind);
    match name {
        "OrderPlaced" => Event::Placed,
        "OrderConfirmed" => Event::Confirmed,
        "CheckoutStep" => {
            let step = CheckoutStep::decode(body).unwrap_or_default();
            let index = (step.action as usize).wrapping_sub(1);
            match STEPS.get(index) {
                Some(_) if step.kind == DONE => Event::Done(index),
                Some(known) => Event::Other(format!("{} failed: {}", known.name, step.reason)),
                None => Event::Other(format!("undone {}", step.reason)),
            }
        }
        "OrderRejected" => {
            let why = orders::OrderRejected::decode(body).ok().and_then(|event| event.reason);
            Event::Ends(format!("rejected: {}", why.unwrap_or_default().reason))
        }
        "OrderCancelled" => Event::Ends("cancelled".to_owned()),
        "OrderNeedsAttention" => Event::Ends("waits for an operator".to_owned()),
        other => Event::Other(other.to_owned()),
    }
}

/// Seconds since 1970, by this machine's clock, which is the database's too.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_by_their_numbers() {
        let body =
            |kind, action| CheckoutStep { kind, action, reason: "WHY".to_owned() }.encode_to_vec();
        let kind = "shop.orders.internal.CheckoutStep";

        assert_eq!(event(kind, &body(1, 2)), Event::Done(1));
        assert_eq!(event(kind, &body(2, 2)), Event::Other("authorize failed: WHY".to_owned()));
        assert_eq!(event(kind, &body(4, 0)), Event::Other("undone WHY".to_owned()));
        assert_eq!(event("shop.orders.v1.OrderConfirmed", &[]), Event::Confirmed);
        let rejected = orders::OrderRejected {
            reason: Some(orders::OrderReason {
                reason: "OUT_OF_STOCK".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let rejected = event("shop.orders.v1.OrderRejected", &rejected.encode_to_vec());
        assert_eq!(rejected, Event::Ends("rejected: OUT_OF_STOCK".to_owned()));
    }
}
