//! The checkout against a model of the world: whatever answers come, in whatever order people and
//! carriers meddle, an order that is at rest has either everything or nothing.

use std::{collections::BTreeSet, time::Duration};

use mesh_saga::{Next, Verdict};
use proptest::prelude::*;
use shop::money::{Currency, Money};
use uuid::Uuid;

use crate::{
    domain::{
        Action, Limits, Line, Order, OrderEvent, Placement, Progress, Standing, State, Step, Undo,
    },
    events, store,
};

const LIMITS: Limits = Limits { step: Duration::from_secs(20), saga: Duration::from_secs(300) };

/// What happens next to an order.
#[derive(Clone, Copy, Debug)]
enum Input {
    Done,
    Refused,
    /// Nothing was heard in time; the step may have been done.
    Silence {
        done: bool,
    },
    Mismatch,
    Cancel,
    Dispatched,
    Delivered,
    Lost,
    Resume,
    Compensate,
    Resolve,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        24 => Just(Input::Done),
        2 => Just(Input::Refused),
        2 => any::<bool>().prop_map(|done| Input::Silence { done }),
        1 => Just(Input::Mismatch),
        2 => Just(Input::Cancel),
        2 => Just(Input::Dispatched),
        1 => Just(Input::Delivered),
        1 => Just(Input::Lost),
        3 => Just(Input::Resume),
        1 => Just(Input::Compensate),
        1 => Just(Input::Resolve),
    ]
}

/// What the neighbours have done, as far as nobody has undone it.
#[derive(Debug, Default)]
struct World {
    in_force: BTreeSet<Action>,
    /// Undone, and refused if it comes later.
    marked: BTreeSet<Action>,
    dispatched: bool,
    refunded: bool,
}

impl World {
    fn act(&mut self, action: Action) {
        if !self.marked.contains(&action) {
            self.in_force.insert(action);
        }
    }

    fn undo(&mut self, undo: Undo) {
        let undone: &[Action] = match undo {
            Undo::Payment => &[Action::AuthorizePayment, Action::CapturePayment],
            Undo::Sale => &[Action::ReserveStock, Action::CommitStock],
            Undo::Shipment => &[Action::CreateShipment, Action::ReleaseShipment],
            Undo::Hold => &[Action::ReserveStock],
        };
        for action in undone {
            self.in_force.remove(action);
            self.marked.insert(*action);
        }
    }

    /// The verdict on a step, and what it does to the world; none if that cannot be.
    fn answer(&mut self, step: Step, input: Input) -> Option<Verdict> {
        let refused = || Verdict::Refused { reason: "NO".into(), detail: String::new() };
        match (step, input) {
            // Shipping decides between the cancel and the carrier.
            (Step::Undo(Undo::Shipment), Input::Done | Input::Refused) if self.dispatched => {
                Some(refused())
            }
            (Step::Undo(_) | Step::RefundLoss, Input::Refused) => None,
            (Step::Do(Action::ReleaseShipment), Input::Refused) => None,
            (Step::Do(action), Input::Done) => {
                self.act(action);
                Some(Verdict::Done)
            }
            (Step::Undo(undo), Input::Done) => {
                self.undo(undo);
                Some(Verdict::Done)
            }
            (Step::RefundLoss, Input::Done) => {
                self.refunded = true;
                Some(Verdict::Done)
            }
            (_, Input::Refused) => Some(refused()),
            (_, Input::Mismatch) => Some(Verdict::Mismatch("other content".into())),
            (Step::Do(action), Input::Silence { done }) => {
                if done {
                    self.act(action);
                }
                Some(self.out_of_time(action))
            }
            (_, Input::Silence { .. }) => Some(Verdict::Overdue("silence".into())),
            _ => None,
        }
    }

    fn out_of_time(&self, action: Action) -> Verdict {
        match action {
            Action::CapturePayment | Action::ReleaseShipment => Verdict::Overdue("silence".into()),
            _ => Verdict::TimedOut("silence".into()),
        }
    }
}

fn order() -> (Order, OrderEvent) {
    let price = Money::new(Currency::EUR, 1250);
    let line = Line { sku: "MUG".into(), name: "Mug".into(), quantity: 2, unit_price: price };
    let total = Money::new(Currency::EUR, 2500);
    let placement = Placement { customer: Uuid::nil(), lines: vec![line], total, cart_version: 7 };
    Order::place(Uuid::from_u128(42), placement)
}

/// The events that an input leads to.
fn events_of(order: &Order, world: &mut World, input: Input) -> Vec<OrderEvent> {
    let one = |event: Option<OrderEvent>| event.into_iter().collect();
    match input {
        Input::Cancel => order.cancel().ok().flatten().into_iter().collect(),
        Input::Resume => one(order.resume()),
        Input::Compensate => one(order.compensate()),
        Input::Resolve => one(order.resolve("by hand")),
        Input::Dispatched => {
            let released = world.in_force.contains(&Action::ReleaseShipment);
            if !released || world.dispatched {
                return Vec::new();
            }
            world.dispatched = true;
            order.dispatched()
        }
        Input::Delivered if world.dispatched => order.delivered(),
        Input::Lost if world.dispatched => order.lost(),
        Input::Delivered | Input::Lost => Vec::new(),
        Input::Done | Input::Refused | Input::Silence { .. } | Input::Mismatch => {
            let Next::Call(step, _) = order.next(&LIMITS) else { return Vec::new() };
            let verdict = world.answer(step, input);
            verdict.map(|verdict| order.record(step, &verdict)).unwrap_or_default()
        }
    }
}

/// What must hold of an order that nothing is called for any more.
fn check_at_rest(order: &Order, world: &World) {
    let everything: BTreeSet<_> = [
        Action::ReserveStock,
        Action::AuthorizePayment,
        Action::CreateShipment,
        Action::CommitStock,
        Action::CapturePayment,
        Action::ReleaseShipment,
    ]
    .into();
    match order.state {
        State::Rejected | State::Cancelled => {
            assert!(world.in_force.is_empty(), "{order:?} {world:?}");
            assert!(!world.dispatched, "{order:?} {world:?}");
        }
        State::Confirmed | State::Shipped | State::Delivered => {
            assert_eq!(world.in_force, everything, "{order:?}");
        }
        State::Lost => assert!(world.refunded, "{order:?} {world:?}"),
        State::Pending | State::Cancelling | State::Returned => {
            panic!("nothing is called for {order:?}")
        }
    }
}

/// Applies an event: whatever it changes of what is shown, others are told of, and can tell from the
/// event alone.
fn check_told(order: &mut Order, event: &OrderEvent) {
    let (before, parked, was) = (order.standing(), order.parked.is_some(), order.state);
    let state = event.state().unwrap_or(order.state);
    order.apply(event);

    assert!(was != State::Delivered || order.state != State::Shipped, "after {event:?}");
    let shown = Standing::new(state, event.parks().unwrap_or(parked));
    assert_eq!(order.standing(), shown, "after {event:?}");
    let is_told = events::public_name(event).is_some();
    assert!(is_told || order.standing() == before, "{event:?} is not told");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_order_at_rest_has_everything_or_nothing(inputs in prop::collection::vec(input(), 0..60)) {
        let (mut order, placed) = order();
        let mut world = World::default();
        let mut told = vec![placed];
        for input in inputs {
            let events = events_of(&order, &mut world, input);
            let version = order.version;
            for event in &events {
                check_told(&mut order, event);
            }
            prop_assert_eq!(order.version as usize, version as usize + events.len());
            told.extend(events);

            let parked = order.parked.is_some();
            if order.next(&LIMITS) == Next::Rest && !parked {
                check_at_rest(&order, &world);
            }
            prop_assert!(order.progress != Progress::Ended || order.next(&LIMITS) == Next::Rest);
        }

        prop_assert_eq!(Order::fold(order.id, told.clone()), Some(order.clone()), "state is the fold");
        let kept = store::Kept { order: order.clone(), digest: [9; 16] };
        let read = store::decode(order.id, order.version, &store::encode(&kept));
        prop_assert_eq!(read, Some(kept), "a snapshot is read as it was written");
        for event in told {
            let row = events::to_log(&order, &event);
            prop_assert_eq!(events::public_name(&event), row.public.then(|| row.kind.to_string()));
            prop_assert_eq!(events::from_log(&row.kind, &row.body), Some(event), "so is an event");
        }
    }
}

#[test]
fn without_meddling_an_order_is_confirmed_in_seven_changes() {
    let (mut order, _) = order();
    let mut world = World::default();
    let mut changes = 1;
    while let Next::Call(..) = order.next(&LIMITS) {
        let events = events_of(&order, &mut world, Input::Done);
        order.apply_all(&events);
        changes += 1;
    }

    assert_eq!((order.state, changes), (State::Confirmed, 7));
}

#[test]
fn an_undo_comes_for_the_refused_step_too() {
    let (mut order, _) = order();
    let mut world = World::default();
    for input in [Input::Done, Input::Refused] {
        let events = events_of(&order, &mut world, input);
        order.apply_all(&events);
    }

    // A first attempt may still be on its way: it must meet a mark.
    assert_eq!(
        order.progress,
        Progress::Back { undo: Undo::Payment, reached: Action::AuthorizePayment }
    );
}

#[test]
fn a_compensation_that_was_recorded_before_it_was_public_is_read_and_told() {
    // `CheckoutStep` of kind 5.
    let body = bytes::Bytes::from_static(&[8, 5]);

    let event = events::from_log("shop.orders.internal.CheckoutStep", &body).unwrap();

    assert_eq!(event, OrderEvent::CompensationOrdered);
    let name = events::public_name(&event).unwrap();
    assert_eq!(name, "shop.orders.v1.OrderCompensationOrdered");
}
