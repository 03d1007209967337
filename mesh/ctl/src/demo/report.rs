//! What became of the orders.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Tally;

/// How one order ended.
#[derive(Debug)]
pub(super) enum End {
    /// CONFIRMED or later, after so long.
    Confirmed(Duration),
    /// REJECTED, for this reason.
    Rejected(String),
    /// CANCELLED.
    Cancelled,
    /// NEEDS_ATTENTION, for this reason.
    Parked(String),
    /// Nothing final within the limit; what was known last.
    Unsettled(String),
}

/// One order's end.
#[derive(Debug)]
pub(super) struct Outcome {
    pub customer_id: String,
    pub order_id: Option<String>,
    pub end: End,
}

/// What became of the orders. As JSON: the counts and the figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Orders begun; the sum of the next four.
    pub orders: u64,
    /// Orders that were confirmed, whatever became of their parcels.
    pub confirmed: u64,
    /// Orders that were refused, as some of the mix must be.
    pub rejected: u64,
    /// Orders that were cancelled.
    pub cancelled: u64,
    /// Orders that are parked for an operator, or were not settled within their limit.
    pub unfinished: u64,
    /// Confirmed orders per second.
    pub orders_per_second: f64,
    /// Milliseconds from the first PlaceOrder to the news that the order is confirmed.
    pub confirmed_ms: Percentiles,
    /// From the first order to the end of the last.
    #[serde(skip)]
    pub elapsed: Duration,
    /// How many orders were rejected for each reason.
    #[serde(skip)]
    pub rejections: BTreeMap<String, u64>,
    /// Orders that wait for an operator, with the reason: settled, but not finished.
    #[serde(skip)]
    pub parked: Vec<Unsettled>,
    /// Orders that were not settled within their limit.
    #[serde(skip)]
    pub unsettled: Vec<Unsettled>,
    /// Calls that were made again, and watches that were resumed.
    #[serde(skip)]
    pub retried: u64,
    /// Confirmed orders whose parcel has left.
    #[serde(skip)]
    pub shipped: u64,
    /// Those of them whose parcel has arrived.
    #[serde(skip)]
    pub delivered: u64,
}

/// An order that did not end well.
#[derive(Clone, Debug)]
pub struct Unsettled {
    /// The order, if it was placed at all as far as its customer knows.
    pub order_id: Option<String>,
    /// Who ordered it; has no other order.
    pub customer_id: String,
    /// What was known last.
    pub last: String,
}

/// Percentiles of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them took no longer.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

impl Percentiles {
    /// Reads a histogram of microseconds.
    pub(crate) fn read(micros: &Histogram<u64>) -> Percentiles {
        let millis = |quantile| rounded(micros.value_at_quantile(quantile) as f64 / 1000.0);
        Percentiles { p50: millis(0.50), p95: millis(0.95), p99: millis(0.99) }
    }
}

/// A histogram of microseconds, up to a quarter of an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(900_000_000, 3).expect("bounds and precision are within their limits")
}

/// Records a duration.
pub(crate) fn record(micros: &mut Histogram<u64>, duration: Duration) {
    micros.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

/// One decimal is as exact as any of these figures.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Where every order's end is entered.
pub(super) struct Ledger(Mutex<Entries>);

struct Entries {
    confirmed: Histogram<u64>,
    rejections: BTreeMap<String, u64>,
    cancelled: u64,
    parked: Vec<Unsettled>,
    unsettled: Vec<Unsettled>,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Ledger {
        Ledger(Mutex::new(Entries {
            confirmed: histogram(),
            rejections: BTreeMap::new(),
            cancelled: 0,
            parked: Vec::new(),
            unsettled: Vec::new(),
        }))
    }

    /// Enters how an order ended.
    pub fn enter(&self, outcome: Outcome, tally: &Tally) {
        let mut entries = self.0.lock().expect("nothing panics while it holds the lock");
        let Outcome { customer_id, order_id, end } = outcome;
        let counter = match end {
            End::Confirmed(after) => {
                record(&mut entries.confirmed, after);
                &tally.confirmed
            }
            End::Rejected(reason) => {
                *entries.rejections.entry(reason).or_default() += 1;
                &tally.rejected
            }
            End::Cancelled => {
                entries.cancelled += 1;
                &tally.cancelled
            }
            End::Parked(last) => {
                entries.parked.push(Unsettled { order_id, customer_id, last });
                &tally.unfinished
            }
            End::Unsettled(last) => {
                entries.unsettled.push(Unsettled { order_id, customer_id, last });
                &tally.unfinished
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Sums up.
    pub fn report(&self, elapsed: Duration, retried: u64) -> Report {
        let entries = self.0.lock().expect("nothing panics while it holds the lock");
        let confirmed = entries.confirmed.len();
        let rejected = entries.rejections.values().sum();
        let unfinished = (entries.parked.len() + entries.unsettled.len()) as u64;
        let seconds = elapsed.as_secs_f64();
        Report {
            orders: confirmed + rejected + entries.cancelled + unfinished,
            confirmed,
            rejected,
            cancelled: entries.cancelled,
            unfinished,
            orders_per_second: if confirmed == 0 {
                0.0
            } else {
                rounded(confirmed as f64 / seconds)
            },
            confirmed_ms: Percentiles::read(&entries.confirmed),
            elapsed,
            rejections: entries.rejections.clone(),
            parked: entries.parked.clone(),
            unsettled: entries.unsettled.clone(),
            retried,
            shipped: 0,
            delivered: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(ends: impl IntoIterator<Item = End>) -> Report {
        let (ledger, tally) = (Ledger::new(), Tally::default());
        for end in ends {
            let outcome = Outcome { customer_id: "ada".to_owned(), order_id: None, end };
            ledger.enter(outcome, &tally);
        }
        let report = ledger.report(Duration::from_secs(10), 3);
        assert_eq!(tally.done(), report.orders);
        report
    }

    #[test]
    fn a_report_tells_percentiles_of_confirmed_orders_and_their_rate() {
        let report = entered((1..=100).map(|n| End::Confirmed(Duration::from_millis(n * 10))));

        assert_eq!((report.orders, report.confirmed, report.unfinished), (100, 100, 0));
        assert!((report.orders_per_second - 10.0).abs() < 0.01);
        let Percentiles { p50, p95, p99 } = report.confirmed_ms;
        for (read, real) in [(p50, 500.0), (p95, 950.0), (p99, 990.0)] {
            assert!((read / real - 1.0_f64).abs() < 0.002, "{read} for {real}");
        }
    }

    #[test]
    fn every_order_is_in_one_count_and_the_json_is_the_promised_one() {
        let report = entered([
            End::Rejected("CARD_DECLINED".to_owned()),
            End::Rejected("CARD_DECLINED".to_owned()),
            End::Cancelled,
            End::Parked("STEP_CONTENT_DIFFERS".to_owned()),
            End::Unsettled("PlaceOrder: UNAVAILABLE".to_owned()),
        ]);

        assert_eq!(report.rejections["CARD_DECLINED"], 2);
        assert_eq!((report.parked.len(), report.unsettled.len()), (1, 1));
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"orders":5,"confirmed":0,"rejected":2,"cancelled":1,"unfinished":2,"#.to_owned()
                + r#""orders_per_second":0.0,"confirmed_ms":{"p50":0.0,"p95":0.0,"p99":0.0}}"#
        );
    }
}
