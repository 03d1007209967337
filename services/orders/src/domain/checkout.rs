//! The checkout: what is done for an order, in which order, and how it is undone.
//!
//! ```text
//! reserve stock → authorize payment → create shipment → commit stock → capture payment (pivot)
//!   → confirm → release shipment
//! ```
//! Every action that was intended is undone when the order turns back, whether or not it is known
//! to have happened: an undo that overtakes its action leaves a mark that refuses the action. Before
//! the pivot a refusal, a cancel, or silence turns the order back. The capture is only repeated;
//! after it nothing can refuse, and time alone never turns back. What a customer cancels after
//! having bought begins with the shipment: only shipping knows whether the parcel has left.

use std::time::Duration;

use mesh_saga::{Next, Patience, Verdict};

use super::{Order, OrderEvent, Reason, State};

/// Something that is done for an order, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    ReserveStock,
    AuthorizePayment,
    CreateShipment,
    CommitStock,
    CapturePayment,
    ReleaseShipment,
}

/// What is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The authorization and the capture, whichever there is.
    Payment,
    /// The sale: the pieces go back to the shelf.
    Sale,
    /// The shipment.
    Shipment,
    /// The hold on pieces that are not sold.
    Hold,
}

/// One call of the checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Do(Action),
    Undo(Undo),
    RefundLoss,
}

/// Where the checkout stands: the call that is intended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This action.
    Forward(Action),
    /// This undo, on the way back from an action.
    Back { undo: Undo, reached: Action },
    /// The refund of a lost parcel.
    Refunding,
    /// None.
    Ended,
}

/// How patient the checkout is.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the outcome of an action before the pivot may stay unknown.
    pub step: Duration,
    /// How long everything else may take before a person is asked.
    pub saga: Duration,
}

impl Action {
    pub const FIRST: Self = Self::ReserveStock;

    fn next(self) -> Option<Self> {
        match self {
            Self::ReserveStock => Some(Self::AuthorizePayment),
            Self::AuthorizePayment => Some(Self::CreateShipment),
            Self::CreateShipment => Some(Self::CommitStock),
            Self::CommitStock => Some(Self::CapturePayment),
            Self::CapturePayment => Some(Self::ReleaseShipment),
            Self::ReleaseShipment => None,
        }
    }

    /// How everything up to this action is undone.
    fn undos(self) -> &'static [Undo] {
        use Undo::{Hold, Payment, Sale, Shipment};
        match self {
            Self::ReserveStock => &[Hold],
            Self::AuthorizePayment => &[Payment, Hold],
            Self::CreateShipment => &[Payment, Shipment, Hold],
            Self::CommitStock | Self::CapturePayment => &[Payment, Sale, Shipment],
            Self::ReleaseShipment => &[Shipment, Payment, Sale],
        }
    }
}

impl Progress {
    pub(super) fn after(action: Action) -> Self {
        action.next().map_or(Self::Ended, Self::Forward)
    }

    pub(super) fn back_from(reached: Action) -> Self {
        Self::Back { undo: reached.undos()[0], reached }
    }

    pub(super) fn after_undo(self, done: Undo) -> Self {
        let Self::Back { reached, .. } = self else { return self };
        let mut later = reached.undos().iter().skip_while(|undo| **undo != done).skip(1);
        later.next().map_or(Self::Ended, |undo| Self::Back { undo: *undo, reached })
    }

    /// The way back from here.
    pub(super) fn turned(self, state: State) -> Self {
        match self {
            _ if state == State::Confirmed => Self::back_from(Action::ReleaseShipment),
            Self::Forward(reached) => Self::back_from(reached),
            Self::Back { .. } | Self::Refunding | Self::Ended => self,
        }
    }
}

impl Order {
    /// What is to be called now.
    pub fn next(&self, limits: &Limits) -> Next<Step> {
        if self.parked.is_some() {
            return Next::Rest;
        }
        match self.progress {
            Progress::Forward(action) if action < Action::CapturePayment => {
                Next::Call(Step::Do(action), Patience::Limited(limits.step))
            }
            Progress::Forward(action) => {
                Next::Call(Step::Do(action), Patience::UntilOverdue(limits.saga))
            }
            Progress::Back { undo, .. } => {
                Next::Call(Step::Undo(undo), Patience::UntilOverdue(limits.saga))
            }
            Progress::Refunding => {
                Next::Call(Step::RefundLoss, Patience::UntilOverdue(limits.saga))
            }
            Progress::Ended => Next::Rest,
        }
    }

    /// What follows from the verdict on a step.
    pub fn record(&self, step: Step, verdict: &Verdict) -> Vec<OrderEvent> {
        match (step, verdict) {
            (_, Verdict::Mismatch(error)) => park("STEP_CONTENT_DIFFERS", error),
            (_, Verdict::Overdue(error)) => park("CHECKOUT_OVERDUE", error),
            (Step::Do(action), verdict) => record_action(action, verdict),
            (Step::Undo(undo), verdict) => self.record_undo(undo, verdict),
            (Step::RefundLoss, Verdict::Done) => {
                vec![OrderEvent::Refunded(self.placement.total)]
            }
            (Step::RefundLoss, Verdict::Refused { reason, detail }) => park(reason, detail),
            (Step::RefundLoss, Verdict::TimedOut(error)) => park("CHECKOUT_OVERDUE", error),
        }
    }

    fn record_undo(&self, undo: Undo, verdict: &Verdict) -> Vec<OrderEvent> {
        match verdict {
            Verdict::Done if self.progress.after_undo(undo) == Progress::Ended => {
                vec![OrderEvent::Undone(undo), self.ending()]
            }
            Verdict::Done => vec![OrderEvent::Undone(undo)],
            // The one compensation that may be refused: the parcel has left.
            Verdict::Refused { .. } if self.undoes_a_sale() => self.dispatched(),
            Verdict::Refused { reason, detail } => park(reason, detail),
            Verdict::TimedOut(error) | Verdict::Overdue(error) | Verdict::Mismatch(error) => {
                park("CHECKOUT_OVERDUE", error)
            }
        }
    }

    /// Lets a parked order go on where it stopped.
    pub fn resume(&self) -> Option<OrderEvent> {
        (self.is_parked_in_motion()).then_some(OrderEvent::Resumed)
    }

    /// Has a parked order undone, unless its parcel has left: then the customer sends it back, and what is
    /// lost is refunded.
    pub fn compensate(&self) -> Option<OrderEvent> {
        let has_a_way_back =
            matches!(self.state, State::Pending | State::Confirmed | State::Cancelling);
        (self.is_parked_in_motion() && has_a_way_back).then_some(OrderEvent::CompensationOrdered)
    }

    /// Ends a parked order by a person's word.
    pub fn resolve(&self, note: &str) -> Option<OrderEvent> {
        self.is_parked_in_motion().then(|| OrderEvent::Resolved(note.to_owned()))
    }

    fn is_parked_in_motion(&self) -> bool {
        self.parked.is_some() && self.progress != Progress::Ended
    }
}

fn record_action(action: Action, verdict: &Verdict) -> Vec<OrderEvent> {
    match verdict {
        Verdict::Done if action == Action::CapturePayment => {
            vec![OrderEvent::Done(action), OrderEvent::Confirmed]
        }
        Verdict::Done => vec![OrderEvent::Done(action)],
        // After the capture nothing can refuse, so whatever did is beyond the rules.
        Verdict::Refused { reason, detail } if action > Action::CapturePayment => {
            park(reason, detail)
        }
        Verdict::Refused { reason, detail } => {
            vec![OrderEvent::Refused(action, Reason::new(reason, detail))]
        }
        Verdict::TimedOut(error) | Verdict::Overdue(error) | Verdict::Mismatch(error) => {
            vec![OrderEvent::TimedOut(action, Reason::new("CHECKOUT_TIMED_OUT", error))]
        }
    }
}

fn park(reason: &str, detail: &str) -> Vec<OrderEvent> {
    vec![OrderEvent::NeedsAttention(Reason::new(reason, detail))]
}
