//! What is counted of money that moved, in minor units. The books are the ledger; this is for those
//! who watch.
//!
//! Counted when the change is known to be committed. Whoever crashes between the two, or learns only
//! from a repeat that the first attempt was committed, has not counted it; nothing is counted twice.

use std::sync::LazyLock;

use opentelemetry::{KeyValue, metrics::Counter};

use crate::domain::Fact;

static CAPTURED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    money("shop.payments.captured", "Money taken, in minor units of the currency")
});
static REFUNDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    money("shop.payments.refunded", "Money given back, in minor units of the currency")
});

/// Counts what a committed fact moved.
pub fn count(fact: &Fact) {
    let (counter, amount) = match fact {
        Fact::Captured { amount, .. } => (&CAPTURED, amount),
        Fact::Refunded { amount, .. } => (&REFUNDED, amount),
        Fact::Authorized { .. } | Fact::Declined { .. } | Fact::Voided { .. } => return,
    };
    // What moves is never negative.
    let minor = u64::try_from(amount.minor).unwrap_or_default();
    counter.add(minor, &[KeyValue::new("currency", amount.currency.as_str())]);
}

fn money(name: &'static str, description: &'static str) -> Counter<u64> {
    let meter = mesh_runtime::metrics::meter();
    meter.u64_counter(name).with_unit("{minor_unit}").with_description(description).build()
}
