//! The payment against a model of the world: a processor behind a network that loses, repeats and
//! reorders what is sent through it.

use std::collections::{BTreeMap, HashSet};

use proptest::{prelude::*, sample::Index};
use shop::money::{Currency, Money};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Account, Answer, Call, CardToken, Fact, Payment, Refusal, State, Terms, postings};

const ID: Uuid = Uuid::from_u128(7);
const TOTAL: i64 = 100;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// What callers, the network and crashes do.
#[derive(Clone, Debug)]
enum Event {
    Authorize,
    Capture(u8, Option<i64>),
    Undo,
    Refund(u8, i64),
    /// The payment's next call leaves for the processor.
    Send,
    /// One call that is under way arrives, perhaps not for the last time.
    Arrive(Index, bool),
    /// One answer that is under way comes back, perhaps not for the last time.
    Answer(Index, bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => Just(Event::Authorize),
        2 => (0..3_u8, proptest::option::of(1..120_i64))
            .prop_map(|(key, part)| Event::Capture(key, part)),
        1 => Just(Event::Undo),
        1 => (0..3_u8, 1..120_i64).prop_map(|(key, minor)| Event::Refund(key, minor)),
        4 => Just(Event::Send),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(which, again)| Event::Arrive(which, again)),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(which, again)| Event::Answer(which, again)),
    ];
    proptest::collection::vec(event, 0..60)
}

/// The processor's side, as its contract says.
#[derive(Default)]
struct Processor {
    state: Option<Charge>,
    captured: i64,
    refunds: BTreeMap<Uuid, i64>,
    declines: bool,
    /// How many captures it refuses.
    refuses: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charge {
    Authorized,
    Declined,
    Captured,
    Voided,
}

impl Processor {
    fn answer(&mut self, call: &Call) -> Option<Answer> {
        Some(match (call, self.state) {
            (Call::Authorize { .. }, None) => {
                let made = if self.declines { Charge::Declined } else { Charge::Authorized };
                self.state = Some(made);
                return self.answer(call);
            }
            (Call::Authorize { .. }, Some(Charge::Declined)) => {
                Answer::Declined { reason: "STOLEN_CARD".to_owned() }
            }
            (Call::Authorize { .. }, Some(Charge::Voided)) => Answer::Cancelled,
            (Call::Authorize { .. }, Some(_)) => Answer::Authorized,
            // Whatever another capture asked for, it hears what was taken.
            (Call::Capture { key, .. }, Some(Charge::Captured)) => {
                Answer::Captured { key: *key, amount: euros(self.captured) }
            }
            (Call::Capture { part, .. }, Some(Charge::Authorized)) if self.refuses == 0 => {
                self.state = Some(Charge::Captured);
                self.captured = part.map_or(TOTAL, |part| part.minor);
                return self.answer(call);
            }
            (Call::Capture { key, .. }, _) => {
                self.refuses = self.refuses.saturating_sub(1);
                Answer::CaptureRefused { key: *key }
            }
            (Call::Void { .. }, Some(Charge::Captured)) => {
                Answer::AlreadyCaptured { amount: euros(self.captured) }
            }
            (Call::Void { .. }, Some(Charge::Declined)) => Answer::Voided,
            (Call::Void { .. }, _) => {
                self.state = Some(Charge::Voided);
                Answer::Voided
            }
            (Call::Refund { key, amount }, Some(Charge::Captured)) => {
                self.refunds.entry(*key).or_insert(amount.minor);
                Answer::Refunded { key: *key }
            }
            (Call::Refund { .. }, _) => return None,
        })
    }

    fn refunded(&self) -> i64 {
        self.refunds.values().sum()
    }
}

/// Everything, with the ledger as the facts made it.
#[derive(Default)]
struct World {
    payment: Option<Payment>,
    processor: Processor,
    calls: Vec<Call>,
    answers: Vec<Answer>,
    ledger: BTreeMap<Account, i64>,
    refund_ids: HashSet<Uuid>,
    parts: BTreeMap<Uuid, Option<i64>>,
    undone: bool,
    facts: i32,
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Authorize => {
                let known = self.payment.is_some();
                let made = Payment::authorize(
                    &mut self.payment,
                    ID,
                    &terms(),
                    &CardToken::new("token"),
                    NOW,
                );
                assert!(!known || !self.undone || made.is_err(), "undone for ever");
            }
            Event::Capture(key, part) => {
                let Some(payment) = &mut self.payment else { return };
                let key = Uuid::from_u128(100 + u128::from(key));
                // The writer refuses a key that was seen with another content.
                let part = *self.parts.entry(key).or_insert(part);
                let meant = payment.capture(key, part.map(euros));
                assert!(meant.is_err() || part.is_none_or(|part| part <= TOTAL));
                let declined = payment.state == State::Declined;
                assert!(!self.undone || declined || meant == Err(Refusal::CancelledBeforeArrival));
            }
            Event::Undo => {
                Payment::undo(&mut self.payment, ID, NOW);
                self.undone = true;
            }
            Event::Refund(key, minor) => {
                let id = Uuid::from_u128(200 + u128::from(key));
                let Some(payment) = &mut self.payment else { return };
                // The writer refuses or repeats an id that was seen before.
                if !self.refund_ids.contains(&id) && payment.refund(id, euros(minor)).is_ok() {
                    self.refund_ids.insert(id);
                }
            }
            Event::Send => self.send(),
            Event::Arrive(which, again) => {
                if !self.calls.is_empty() {
                    let call = take(&mut self.calls, which, again);
                    self.answers.extend(self.processor.answer(&call));
                }
            }
            Event::Answer(which, again) => {
                if !self.answers.is_empty() {
                    let answer = take(&mut self.answers, which, again);
                    self.record(&answer);
                }
            }
        }
    }

    fn send(&mut self) {
        self.calls.extend(self.payment.as_ref().and_then(|payment| payment.next_call(None)));
    }

    fn record(&mut self, answer: &Answer) {
        let Some(payment) = &mut self.payment else { return };
        let fact = payment.record(answer);
        self.facts += i32::from(fact.is_some());
        assert_eq!(payment.version, self.facts, "every fact has a version");
        self.post(fact.as_ref());
    }

    fn post(&mut self, fact: Option<&Fact>) {
        let sides = fact.map(postings).unwrap_or_default();
        let sum: i64 = sides.iter().map(|side| side.amount.minor).sum();
        assert_eq!(sum, 0, "a transaction sums to zero");
        let accounts: HashSet<_> = sides.iter().map(|side| format!("{:?}", side.account)).collect();
        assert_eq!(accounts.len(), sides.len(), "each account has one side");
        for side in sides {
            *self.ledger.entry(side.account).or_default() += side.amount.minor;
        }
    }

    fn balance(&self, account: Account) -> i64 {
        self.ledger.get(&account).copied().unwrap_or(0)
    }

    fn check_always(&self) {
        assert_eq!(self.ledger.values().sum::<i64>(), 0, "the ledger sums to zero");
        let Some(payment) = &self.payment else { return };
        assert_eq!(self.balance(Account::Held), payment.authorized);
        assert_eq!(self.balance(Account::Shop), payment.captured - payment.refunded);
        assert!(payment.refunded <= payment.captured && payment.captured <= TOTAL);
        assert!(payment.authorized == 0 || payment.captured == 0);
        assert!(payment.card_token.is_none() || payment.state == State::Authorizing);
    }

    /// Everything under way arrives; what is still open is asked until it is known.
    fn settle(&mut self) {
        for _ in 0..100 {
            for call in std::mem::take(&mut self.calls) {
                self.answers.extend(self.processor.answer(&call));
            }
            for answer in std::mem::take(&mut self.answers) {
                self.record(&answer);
                self.check_always();
            }
            self.send();
            if self.calls.is_empty() {
                return;
            }
        }
        panic!("never settles: {:?}", self.payment);
    }

    fn check_settled(&self) {
        let Some(payment) = &self.payment else { return };
        let held = if self.processor.state == Some(Charge::Authorized) { TOTAL } else { 0 };
        assert_eq!(payment.authorized, held, "both sides agree: {payment:?}");
        assert_eq!(payment.captured, self.processor.captured, "both sides agree: {payment:?}");
        assert_eq!(payment.refunded, self.processor.refunded(), "both sides agree: {payment:?}");
        assert!(!payment.is_open());
        if self.undone {
            assert!(matches!(payment.state, State::Undone | State::Declined), "{payment:?}");
            assert_eq!(payment.authorized, 0);
            assert_eq!(payment.captured, payment.refunded, "the customer has all back");
        }
    }
}

fn take<T: Clone>(all: &mut Vec<T>, which: Index, again: bool) -> T {
    let place = which.index(all.len());
    if again { all[place].clone() } else { all.remove(place) }
}

fn terms() -> Terms {
    Terms { order_id: Uuid::nil(), digest: [0; 16], amount: euros(TOTAL) }
}

fn euros(minor: i64) -> Money {
    Money::new(Currency::EUR, minor)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_network_does_both_sides_agree_in_the_end(
        events in events(), declines in proptest::bool::weighted(0.1), refuses in 0..2_u32
    ) {
        let processor = Processor { declines, refuses, ..Processor::default() };
        let mut world = World { processor, ..World::default() };
        for event in events {
            world.happen(event);
            world.check_always();
        }

        world.settle();

        world.check_settled();
    }
}
