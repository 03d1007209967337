//! The checkout as a saga: the rules of `domain::checkout` on an order's stream, and its calls.

mod calls;
mod changes;
mod operate;
mod private;

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Change, Stored};
use mesh_saga::{Answer, Broken, Describe, Next, Saga, Standing, Verdict};
use uuid::Uuid;

pub use changes::{awake, change};
pub use private::PrivateCache;

use crate::{
    domain::{Action, Limits, OrderEvent, Progress, Step, Undo},
    neighbours::Neighbours,
    store::{Kept, OrderRows, decode},
};

/// The engine that drives checkouts.
pub type Engine = mesh_saga::Engine<Checkout>;

/// What the checkout needs.
pub struct Checkout {
    pub neighbours: Neighbours,
    pub private: PrivateCache,
    pub limits: Limits,
    pub hold_seconds: u32,
}

impl Saga for Checkout {
    type State = Kept;
    type Step = Step;
    type Companion = OrderRows;

    fn decode(&self, id: Uuid, stored: &Stored) -> Result<Self::State, Broken> {
        let kept = decode(id, stored.version, &stored.state);
        kept.ok_or_else(|| Broken("not an order's snapshot".into()))
    }

    fn next(&self, kept: &Self::State) -> Next<Step> {
        kept.order.next(&self.limits)
    }

    fn label(&self, step: &Step) -> &'static str {
        label(*step)
    }

    fn call<'a>(
        &'a self,
        _id: Uuid,
        kept: &'a Self::State,
        step: &'a Step,
    ) -> BoxFuture<'a, Answer> {
        calls::call(self, &kept.order, *step).boxed()
    }

    fn record(
        &self,
        id: Uuid,
        kept: &Self::State,
        step: &Step,
        verdict: &Verdict,
    ) -> (Self::State, Change<OrderRows>) {
        let events = kept.order.record(*step, verdict);
        self.forget(id, &events);
        let (kept, change) = change(label(*step), kept, &events, None);
        (kept, change)
    }
}

impl Checkout {
    fn forget(&self, id: Uuid, events: &[OrderEvent]) {
        let over = |event: &OrderEvent| {
            matches!(event, OrderEvent::Done(Action::CreateShipment))
                || matches!(event, OrderEvent::Rejected(_) | OrderEvent::Cancelled)
        };
        if events.iter().any(over) {
            self.private.forget(id);
        }
    }
}

impl Describe for Checkout {
    fn describe(&self, kept: &Self::State) -> Standing {
        let order = &kept.order;
        let step = match order.progress {
            Progress::Forward(action) => label(Step::Do(action)),
            Progress::Back { undo, .. } => label(Step::Undo(undo)),
            Progress::Refunding => label(Step::RefundLoss),
            Progress::Ended => "",
        };
        let why = order.parked.as_ref().or(order.reason.as_ref());
        Standing {
            parked: order.parked.is_some(),
            back: matches!(order.progress, Progress::Back { .. }),
            ended: order.progress == Progress::Ended,
            step: step.to_owned(),
            reason: why.map(|why| why.reason.clone()).unwrap_or_default(),
        }
    }
}

/// A step's name in crash points, spans and metrics, and in the key of its call.
pub fn label(step: Step) -> &'static str {
    match step {
        Step::Do(Action::ReserveStock) => "reserve",
        Step::Do(Action::AuthorizePayment) => "authorize",
        Step::Do(Action::CreateShipment) => "create_shipment",
        Step::Do(Action::CommitStock) => "commit",
        Step::Do(Action::CapturePayment) => "capture",
        Step::Do(Action::ReleaseShipment) => "release_shipment",
        Step::Undo(Undo::Payment) => "undo_payment",
        Step::Undo(Undo::Sale) => "restock",
        Step::Undo(Undo::Shipment) => "cancel_shipment",
        Step::Undo(Undo::Hold) => "release",
        Step::RefundLoss => "refund_loss",
    }
}
