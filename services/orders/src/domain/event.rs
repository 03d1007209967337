//! What can happen to an order.

use shop::money::Money;

use super::{Action, Placement, Reason, State, Undo};

/// One event of an order's stream. The state of an order is the fold of its events.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderEvent {
    /// It was accepted; the first action is intended.
    Placed(Placement),
    /// An action is done; the next one is intended.
    Done(Action),
    /// An action was refused; its compensation is intended.
    Refused(Action, Reason),
    /// An action's outcome stayed unknown for too long; its compensation is intended.
    TimedOut(Action, Reason),
    /// A compensation is done; the next one is intended.
    Undone(Undo),
    /// Stock, payment and shipment are arranged.
    Confirmed,
    /// It was refused, and everything is undone.
    Rejected(Reason),
    /// The customer gives it up.
    CancelRequested,
    /// It was given up, and everything is undone.
    Cancelled,
    /// The parcel had left before the cancel came.
    CancelRefused(Reason),
    /// The parcel has left.
    Shipped,
    /// The parcel has arrived.
    Delivered,
    /// The parcel is lost; so much is to be refunded.
    Lost(Money),
    /// What a lost parcel had cost is refunded.
    Refunded(Money),
    /// Neither forward nor back works without a person.
    NeedsAttention(Reason),
    /// An operator lets it go on where it stopped.
    Resumed,
    /// An operator has it undone.
    CompensationOrdered,
    /// An operator ended it by hand.
    Resolved(String),
}

impl OrderEvent {
    /// The state that it brings an order to; none if it leaves the state as it is.
    pub fn state(&self) -> Option<State> {
        match self {
            Self::Placed(_) => Some(State::Pending),
            Self::Confirmed => Some(State::Confirmed),
            Self::Rejected(_) => Some(State::Rejected),
            Self::CancelRequested | Self::CompensationOrdered => Some(State::Cancelling),
            Self::Cancelled => Some(State::Cancelled),
            Self::Shipped => Some(State::Shipped),
            Self::Delivered => Some(State::Delivered),
            Self::Lost(_) => Some(State::Lost),
            Self::Done(_)
            | Self::Refused(..)
            | Self::TimedOut(..)
            | Self::Undone(_)
            | Self::CancelRefused(_)
            | Self::Refunded(_)
            | Self::NeedsAttention(_)
            | Self::Resumed
            | Self::Resolved(_) => None,
        }
    }

    /// Whether an order waits for an operator after it; none if that stays as it is.
    pub fn parks(&self) -> Option<bool> {
        match self {
            Self::Placed(_) => Some(false),
            Self::NeedsAttention(_) | Self::Resolved(_) => Some(true),
            // Whatever it was parked for, nothing is left to undo.
            Self::CancelRefused(_) | Self::Resumed | Self::CompensationOrdered => Some(false),
            _ => None,
        }
    }
}
