//! An order's public events, added up without the code of the service that wrote them.

use prost::Message as _;
use shop::{
    common::v1 as common,
    money::{self, Money},
    orders::v1 as orders,
};

use super::facts::Story;

/// Adds events up, in the order of their versions.
#[derive(Debug, Default)]
pub(super) struct Teller {
    story: Story,
    state: &'static str,
    parked: bool,
}

impl Teller {
    /// Takes one event. Only what places or loses an order needs its body.
    pub fn tell(&mut self, kind: &str, body: &[u8]) {
        let name = kind.strip_prefix("shop.orders.v1.").unwrap_or(kind);
        if self.state.is_empty() && name != "OrderPlaced" {
            self.fault(format!("its first event is {name}"));
        }
        match name {
            "OrderPlaced" => self.placed(body),
            "OrderConfirmed" => self.moved("CONFIRMED"),
            "OrderRejected" => self.moved("REJECTED"),
            "OrderCancelRequested" => self.moved("CANCELLING"),
            "OrderCancelled" => self.moved("CANCELLED"),
            // What carriers report moves a parked order too, and leaves it parked.
            "OrderShipped" => self.state = "SHIPPED",
            "OrderDelivered" => self.state = "DELIVERED",
            "OrderLost" => self.lost(body),
            "OrderNeedsAttention" | "OrderResolved" => self.parked = true,
            "OrderCompensationOrdered" => self.moved("CANCELLING"),
            // After a refused cancel nothing is left that an operator could decide.
            "OrderRefunded" | "OrderResumed" | "OrderCancelRefused" => self.parked = false,
            unknown => self.fault(format!("its event {unknown} is not known")),
        }
    }

    /// The whole story.
    pub fn end(self) -> Story {
        let state = if self.parked { "NEEDS_ATTENTION" } else { self.state };
        Story { state, ..self.story }
    }

    /// What a saga or a customer does is done to an order that is not parked any more.
    fn moved(&mut self, state: &'static str) {
        self.state = state;
        self.parked = false;
    }

    fn placed(&mut self, body: &[u8]) {
        self.moved("PENDING");
        let Ok(placed) = orders::OrderPlaced::decode(body) else {
            return self.fault("its OrderPlaced cannot be read".to_owned());
        };
        self.story.line_count = placed.lines.len();
        for line in placed.lines {
            *self.story.lines.entry(line.sku).or_default() += line.quantity;
        }
        match amount(placed.total) {
            Some(total) => {
                self.story.total = total.minor;
                total.currency.as_str().clone_into(&mut self.story.currency);
            }
            None => self.fault("its total cannot be read".to_owned()),
        }
    }

    fn lost(&mut self, body: &[u8]) {
        self.state = "LOST";
        match orders::OrderLost::decode(body).ok().and_then(|lost| amount(lost.refund)) {
            Some(refund) => self.story.refund_due = refund.minor,
            None => self.fault("its OrderLost cannot be read".to_owned()),
        }
    }

    fn fault(&mut self, fault: String) {
        self.story.fault.get_or_insert(fault);
    }
}

fn amount(wire: Option<common::Money>) -> Option<Money> {
    money::from_wire(&wire?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(names: &[&str]) -> &'static str {
        let euros =
            |units| Some(common::Money { currency_code: "EUR".to_owned(), units, nanos: 0 });
        let placed = orders::OrderPlaced { total: euros(5), ..Default::default() };
        let lost = orders::OrderLost { refund: euros(5), ..Default::default() };
        let mut teller = Teller::default();
        teller.tell("shop.orders.v1.OrderPlaced", &placed.encode_to_vec());
        for name in names {
            let body = if *name == "Lost" { lost.encode_to_vec() } else { Vec::new() };
            teller.tell(&format!("shop.orders.v1.Order{name}"), &body);
        }
        let story = teller.end();
        assert_eq!(story.fault, None);
        assert_eq!((story.total, story.currency.as_str()), (500, "EUR"));
        assert_eq!(story.refund_due, if names.contains(&"Lost") { 500 } else { 0 });
        story.state
    }

    #[test]
    fn the_last_event_decides() {
        assert_eq!(state(&[]), "PENDING");
        assert_eq!(state(&["Confirmed", "Shipped", "Delivered"]), "DELIVERED");
        assert_eq!(state(&["Confirmed", "CancelRequested"]), "CANCELLING");
        let refused = ["Confirmed", "CancelRequested", "CancelRefused", "Shipped"];
        assert_eq!(state(&refused), "SHIPPED");
        assert_eq!(state(&["Confirmed", "Shipped", "Lost", "Refunded"]), "LOST");
    }

    #[test]
    fn a_parked_order_goes_on_from_where_it_was() {
        assert_eq!(state(&["NeedsAttention"]), "NEEDS_ATTENTION");
        assert_eq!(state(&["Confirmed", "NeedsAttention", "Resumed"]), "CONFIRMED");
        assert_eq!(state(&["Confirmed", "NeedsAttention", "Resolved"]), "NEEDS_ATTENTION");
        assert_eq!(state(&["Confirmed", "NeedsAttention", "Shipped"]), "NEEDS_ATTENTION");
        assert_eq!(state(&["NeedsAttention", "CompensationOrdered"]), "CANCELLING");
        assert_eq!(state(&["NeedsAttention", "CompensationOrdered", "Cancelled"]), "CANCELLED");
        let refused = ["CancelRequested", "NeedsAttention", "CancelRefused", "Shipped"];
        assert_eq!(state(&refused), "SHIPPED");
    }

    #[test]
    fn a_story_without_a_beginning_is_a_fault() {
        let mut teller = Teller::default();
        teller.tell("shop.orders.v1.OrderConfirmed", &[]);

        assert_eq!(teller.end().fault.as_deref(), Some("its first event is OrderConfirmed"));
    }
}
