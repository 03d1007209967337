//! An order, as the fold of its events.

use shop::money::Money;
use uuid::Uuid;

use super::{Action, OrderEvent, Progress, Undo};

/// What a customer bought, and how far it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub id: Uuid,
    /// How many events made it what it is.
    pub version: i32,
    pub placement: Placement,
    pub state: State,
    /// Why it was rejected, or could not be cancelled.
    pub reason: Option<Reason>,
    /// Where the checkout stands.
    pub progress: Progress,
    /// Why it waits for an operator, if it does.
    pub parked: Option<Reason>,
}

/// What does not change after the order was placed.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    pub customer: Uuid,
    pub lines: Vec<Line>,
    pub total: Money,
    /// The version of the cart that was ordered.
    pub cart_version: i64,
}

/// So many pieces of one product at one price.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub sku: String,
    pub name: String,
    pub quantity: i64,
    pub unit_price: Money,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Confirmed,
    Rejected,
    Cancelling,
    Cancelled,
    Shipped,
    Delivered,
    Lost,
    Returned,
}

/// How an order stands to whoever looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    In(State),
    /// It waits for an operator, whatever its state.
    Parked,
}

impl Standing {
    pub fn new(state: State, parked: bool) -> Self {
        if parked { Self::Parked } else { Self::In(state) }
    }
}

/// Why an order took the turn it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable, UPPER_SNAKE.
    pub reason: String,
    /// What can be added.
    pub detail: String,
}

impl Reason {
    pub fn new(reason: &str, detail: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), detail: detail.into() }
    }
}

/// Why an order cannot be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCancellable {
    #[error("the parcel has left")]
    Dispatched,
    #[error("the order has ended, or waits for an operator")]
    Ended,
}

/// Why lines have no total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpriceable {
    #[error("the products are sold in different currencies")]
    CurrenciesMixed,
    #[error("the total is too large")]
    TooLarge,
    #[error("there is nothing to pay")]
    Nothing,
}

/// The sum of the lines.
pub fn total(lines: &[Line]) -> Result<Money, Unpriceable> {
    let first = lines.first().ok_or(Unpriceable::Nothing)?;
    let mut sum = Money::zero(first.unit_price.currency);
    for line in lines {
        if line.unit_price.currency != sum.currency {
            return Err(Unpriceable::CurrenciesMixed);
        }
        let price = line.unit_price.checked_mul(line.quantity);
        sum = price.and_then(|price| sum.checked_add(price)).ok_or(Unpriceable::TooLarge)?;
    }
    if sum.minor > 0 { Ok(sum) } else { Err(Unpriceable::Nothing) }
}

impl Order {
    /// A new order, and the event that makes it.
    pub fn place(id: Uuid, placement: Placement) -> (Self, OrderEvent) {
        let event = OrderEvent::Placed(placement.clone());
        (Self::placed(id, placement), event)
    }

    fn placed(id: Uuid, placement: Placement) -> Self {
        Self {
            id,
            version: 1,
            placement,
            state: State::Pending,
            reason: None,
            progress: Progress::Forward(Action::FIRST),
            parked: None,
        }
    }

    /// The fold of a stream's events; none if they do not begin with the order's acceptance.
    pub fn fold(id: Uuid, events: impl IntoIterator<Item = OrderEvent>) -> Option<Self> {
        let mut events = events.into_iter();
        let OrderEvent::Placed(placement) = events.next()? else { return None };
        let mut order = Self::placed(id, placement);
        events.for_each(|event| order.apply(&event));
        Some(order)
    }

    /// Gives the order up, if that is still possible; no event if it is being given up already.
    pub fn cancel(&self) -> Result<Option<OrderEvent>, NotCancellable> {
        if self.parked.is_some() {
            return Err(NotCancellable::Ended);
        }
        match self.state {
            State::Pending | State::Confirmed => Ok(Some(OrderEvent::CancelRequested)),
            State::Cancelling => Ok(None),
            State::Shipped | State::Delivered | State::Lost | State::Returned => {
                Err(NotCancellable::Dispatched)
            }
            State::Rejected | State::Cancelled => Err(NotCancellable::Ended),
        }
    }

    /// What follows from the parcel having left.
    pub fn dispatched(&self) -> Vec<OrderEvent> {
        let refused = OrderEvent::CancelRefused(Reason::new("ORDER_DISPATCHED", ""));
        match self.state {
            State::Confirmed => vec![OrderEvent::Shipped],
            // Shipping has decided between the cancel and the carrier.
            State::Cancelling => vec![refused, OrderEvent::Shipped],
            _ => Vec::new(),
        }
    }

    /// What follows from the parcel having arrived.
    pub fn delivered(&self) -> Vec<OrderEvent> {
        let mut events = self.dispatched();
        if !events.is_empty() || self.state == State::Shipped {
            events.push(OrderEvent::Delivered);
        }
        events
    }

    /// What follows from the parcel being lost.
    pub fn lost(&self) -> Vec<OrderEvent> {
        let mut events = self.dispatched();
        if !events.is_empty() || self.state == State::Shipped {
            events.push(OrderEvent::Lost(self.placement.total));
        }
        events
    }

    /// How it stands to whoever looks at it.
    pub fn standing(&self) -> Standing {
        Standing::new(self.state, self.parked.is_some())
    }

    /// True if nothing can change any more.
    pub fn is_final(&self) -> bool {
        let at_rest = self.progress == Progress::Ended;
        match self.state {
            _ if self.parked.is_some() => at_rest,
            State::Rejected | State::Cancelled | State::Delivered | State::Returned => true,
            State::Lost => at_rest,
            State::Pending | State::Confirmed | State::Cancelling | State::Shipped => false,
        }
    }

    /// What is to be given back for a loss.
    pub fn refund_due(&self) -> Money {
        match self.state {
            State::Lost => self.placement.total,
            _ => Money::zero(self.placement.total.currency),
        }
    }

    /// Applies events in order.
    pub fn apply_all(&mut self, events: &[OrderEvent]) {
        events.iter().for_each(|event| self.apply(event));
    }

    /// Moves on by one event.
    pub fn apply(&mut self, event: &OrderEvent) {
        self.version += 1;
        match event {
            OrderEvent::Done(action) => self.progress = Progress::after(*action),
            OrderEvent::Refused(action, reason) | OrderEvent::TimedOut(action, reason) => {
                self.reason = Some(reason.clone());
                self.progress = Progress::back_from(*action);
            }
            OrderEvent::Undone(undo) => self.progress = self.progress.after_undo(*undo),
            OrderEvent::Rejected(reason) | OrderEvent::CancelRefused(reason) => {
                self.reason = Some(reason.clone());
                self.progress = Progress::Ended;
            }
            OrderEvent::CancelRequested | OrderEvent::CompensationOrdered => {
                self.progress = self.progress.turned(self.state);
            }
            OrderEvent::Lost(_) => self.progress = Progress::Refunding,
            OrderEvent::Cancelled | OrderEvent::Refunded(_) => self.progress = Progress::Ended,
            OrderEvent::NeedsAttention(reason) => self.parked = Some(reason.clone()),
            OrderEvent::Resolved(note) => {
                self.parked = Some(Reason::new("RESOLVED", note));
                self.progress = Progress::Ended;
            }
            OrderEvent::Placed(_)
            | OrderEvent::Confirmed
            | OrderEvent::Shipped
            | OrderEvent::Delivered
            | OrderEvent::Resumed => (),
        }
        if event.parks() == Some(false) {
            self.parked = None;
        }
        self.state = event.state().unwrap_or(self.state);
    }

    /// The last compensation leads to one of these ends.
    pub(super) fn ending(&self) -> OrderEvent {
        match self.state {
            State::Cancelling => OrderEvent::Cancelled,
            _ => {
                let unknown = || Reason::new("CHECKOUT_FAILED", "");
                OrderEvent::Rejected(self.reason.clone().unwrap_or_else(unknown))
            }
        }
    }

    /// True if the order was given up after the customer had bought.
    pub(super) fn undoes_a_sale(&self) -> bool {
        matches!(
            self.progress,
            Progress::Back { undo: Undo::Shipment, reached: Action::ReleaseShipment }
        )
    }
}
