//! What is counted of orders.
//!
//! How long checkouts take, the engine counts: `mesh.saga.step.duration` per step, and by
//! `mesh.saga.step.reached` how old orders are when a step is done (`capture`: when they are CONFIRMED).

use std::sync::LazyLock;

use opentelemetry::{KeyValue, metrics::Counter};

use crate::domain::{OrderEvent, Reason};

/// Reasons that are counted apart. Reasons are what callees say, so there is no end to them: all
/// others are one.
const REASONS: [&str; 9] = [
    "ADDRESS_NOT_SERVED",
    "CANCELLED_BEFORE_ARRIVAL",
    "CAPTURE_REFUSED",
    "CARD_DECLINED",
    "CHECKOUT_FAILED",
    "CHECKOUT_TIMED_OUT",
    "OUT_OF_STOCK",
    "PAYMENT_NOT_AUTHORIZED",
    "SKU_UNKNOWN",
];
const OTHER: &str = "other";
/// Of ends that need none.
const NONE: &str = "none";

static ENDED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("shop.orders.ended")
        .with_unit("{order}")
        .with_description("Orders that came to an end of their checkout, or of their way")
        .build()
});

/// An end that an order comes to: of its checkout (CONFIRMED, REJECTED, CANCELLED), of its way
/// (DELIVERED, LOST), or by an operator's word (RESOLVED). An order that is confirmed has another one
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    state: &'static str,
    reason: &'static str,
}

impl End {
    /// The end that is among the events of one change.
    pub fn of(events: &[OrderEvent]) -> Option<Self> {
        let (state, reason) = events.iter().find_map(|event| match event {
            OrderEvent::Confirmed => Some(("CONFIRMED", NONE)),
            OrderEvent::Rejected(why) => Some(("REJECTED", counted(why))),
            OrderEvent::Cancelled => Some(("CANCELLED", NONE)),
            OrderEvent::Delivered => Some(("DELIVERED", NONE)),
            OrderEvent::Lost(_) => Some(("LOST", NONE)),
            OrderEvent::Resolved(_) => Some(("RESOLVED", NONE)),
            _ => None,
        })?;
        Some(Self { state, reason })
    }

    /// Counts it. To be called once the change is known to be committed: whoever crashes between the
    /// two has not counted it, and nothing is counted twice.
    pub fn count(self) {
        let Self { state, reason } = self;
        ENDED.add(1, &[KeyValue::new("state", state), KeyValue::new("reason", reason)]);
    }
}

fn counted(why: &Reason) -> &'static str {
    REASONS.iter().find(|reason| **reason == why.reason).unwrap_or(&OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Action;

    #[test]
    fn a_reason_that_nobody_foresaw_is_counted_among_the_others() {
        let rejected = |reason| {
            let why = Reason::new(reason, "a detail that is different each time");
            End::of(&[OrderEvent::Rejected(why)]).unwrap().reason
        };

        assert_eq!(rejected("OUT_OF_STOCK"), "OUT_OF_STOCK");
        assert_eq!(rejected("018f6d1e-0000-7000-8000-000000000000"), OTHER);
    }

    #[test]
    fn what_goes_on_is_no_end() {
        let why = Reason::new("CARD_DECLINED", "");

        assert_eq!(End::of(&[OrderEvent::Refused(Action::AuthorizePayment, why.clone())]), None);
        assert_eq!(End::of(&[OrderEvent::NeedsAttention(why)]), None);
        let sold = [OrderEvent::Done(Action::CapturePayment), OrderEvent::Confirmed];
        assert_eq!(End::of(&sold), Some(End { state: "CONFIRMED", reason: NONE }));
    }
}
