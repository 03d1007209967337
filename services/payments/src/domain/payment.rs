//! A payment, from the intent to the end of it.
//!
//! Each step is recorded before the processor is asked ([`Payment::next_call`] says what), and
//! its answer afterwards ([`Payment::record`]). An answer may be lost, come twice, or come late;
//! the payment takes from it what is news.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Answer, Call, CardToken, Fact, Refund, Refusal};

/// How many refunds a payment may have; undoing it may add one more.
const MOST_REFUNDS: i32 = 100;

/// Where a payment stands. Those that end in `ing` wait for the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Authorizing,
    Authorized,
    Declined,
    Capturing,
    Captured,
    Undoing,
    Undone,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub order_id: Uuid,
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub amount: Money,
}

/// What is meant to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The request's key, and its key at the processor.
    pub key: Uuid,
    pub minor: i64,
}

/// One payment. Amounts are minor units of the currency that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub id: Uuid,
    pub state: State,
    /// `None` if the payment was undone before it arrived.
    pub terms: Option<Terms>,
    /// Still open: reserved, not yet taken.
    pub authorized: i64,
    pub captured: i64,
    pub refunded: i64,
    /// Kept while the authorization may have to be repeated.
    pub card_token: Option<CardToken>,
    /// The capture whose outcome counts.
    pub capture: Option<Capture>,
    pub decline_reason: Option<String>,
    /// Refunds whose outcome is not known.
    pub pending: Vec<Refund>,
    /// How many refunds there are, whatever came of them.
    pub refunds: i32,
    /// Counts the facts.
    pub version: i32,
    pub create_time: OffsetDateTime,
    pub update_time: OffsetDateTime,
}

impl Payment {
    /// Means to reserve an amount under a new id, or finds what came of that id before.
    pub fn authorize(
        payment: &mut Option<Self>,
        id: Uuid,
        terms: &Terms,
        card_token: &CardToken,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let Some(payment) = payment else {
            let card_token = Some(card_token.clone());
            let terms = Some(terms.clone());
            let empty = Self::empty(id, State::Authorizing, now);
            *payment = Some(Self { terms, card_token, ..empty });
            return Ok(());
        };
        match &payment.terms {
            Some(first) if first.digest != terms.digest => Err(Refusal::ContentDiffers),
            _ => payment.authorization(),
        }
    }

    /// What came of the authorization, once its outcome is known.
    pub fn authorization(&self) -> Result<(), Refusal> {
        match self.state {
            State::Undoing | State::Undone => Err(Refusal::CancelledBeforeArrival),
            State::Declined => {
                let reason = self.decline_reason.clone().unwrap_or_default();
                Err(Refusal::CardDeclined { reason })
            }
            _ => Ok(()),
        }
    }

    /// Means to take the reserved amount, or this part of it.
    pub fn capture(&mut self, key: Uuid, part: Option<Money>) -> Result<(), Refusal> {
        let known = self.capture.is_some_and(|capture| capture.key == key);
        let amount = match (&self.terms, self.state) {
            (_, State::Undoing | State::Undone) => return Err(Refusal::CancelledBeforeArrival),
            (_, State::Capturing | State::Captured) if known => return Ok(()),
            (Some(terms), State::Authorized) => part.unwrap_or(terms.amount),
            _ => return Err(Refusal::NotAuthorized),
        };
        self.check_currency(amount)?;
        if amount.minor > self.authorized {
            return Err(Refusal::CaptureTooLarge);
        }
        self.state = State::Capturing;
        self.capture = Some(Capture { key, minor: amount.minor });
        Ok(())
    }

    /// What came of the capture, once its outcome is known.
    pub fn captured(&self, key: Uuid) -> Result<(), Refusal> {
        match self.state {
            State::Undoing | State::Undone => Err(Refusal::CancelledBeforeArrival),
            // An earlier capture that was thought to be refused may have taken another amount.
            State::Captured if self.capture == Some(Capture { key, minor: self.captured }) => {
                Ok(())
            }
            _ => Err(Refusal::CaptureRefused),
        }
    }

    /// Means to make the payment as if it had never been. An unknown one is marked as undone.
    pub fn undo(payment: &mut Option<Self>, id: Uuid, now: OffsetDateTime) {
        let payment = payment.get_or_insert_with(|| Self::empty(id, State::Undone, now));
        match payment.state {
            State::Declined | State::Undoing | State::Undone => {}
            State::Authorizing | State::Authorized | State::Capturing => {
                payment.state = State::Undoing;
                payment.card_token = None;
            }
            State::Captured => {
                payment.state = State::Undoing;
                payment.give_back_the_rest();
            }
        }
    }

    /// Means to give back some of what was taken.
    pub fn refund(&mut self, id: Uuid, amount: Money) -> Result<(), Refusal> {
        if self.state != State::Captured {
            return Err(Refusal::NotCaptured);
        }
        self.check_currency(amount)?;
        if amount.minor > self.left() {
            return Err(Refusal::RefundTooLarge);
        }
        if self.refunds >= MOST_REFUNDS {
            return Err(Refusal::TooManyRefunds);
        }
        self.begin_refund(Refund { id, minor: amount.minor });
        Ok(())
    }

    /// True until the outcome of this refund is known.
    pub fn is_pending(&self, refund: Uuid) -> bool {
        self.pending.iter().any(|it| it.id == refund)
    }

    /// What to ask the processor, if anything is open; `refund` picks one of several refunds.
    pub fn next_call(&self, refund: Option<Uuid>) -> Option<Call> {
        let amount = self.terms.as_ref()?.amount;
        let wanted = |it: &&Refund| refund.is_none_or(|id| id == it.id);
        let money = |minor| Money::new(amount.currency, minor);
        let give_back = |it: &Refund| Call::Refund { key: it.id, amount: money(it.minor) };
        // The whole is asked for without its amount, always: a repeated call sends the same bytes.
        let part = |minor| (minor != amount.minor).then(|| money(minor));
        let take = |it: Capture| Call::Capture { key: it.key, part: part(it.minor) };
        match self.state {
            State::Authorizing => {
                Some(Call::Authorize { card_token: self.card_token.clone()?, amount })
            }
            State::Capturing => Some(take(self.capture?)),
            State::Captured => self.pending.iter().find(wanted).map(give_back),
            // What was begun is settled first, by its own key; only then it is clear what to undo.
            State::Undoing => match (self.pending.first(), self.capture) {
                (Some(refund), _) => Some(give_back(refund)),
                (None, Some(capture)) => Some(take(capture)),
                (None, None) => Some(Call::Void { key: Uuid::new_v5(&self.id, b"void") }),
            },
            State::Authorized | State::Declined | State::Undone => None,
        }
    }

    /// The step that is open: names crash points.
    pub fn step(&self) -> &'static str {
        match self.state {
            State::Authorizing => "authorize",
            State::Authorized | State::Declined | State::Capturing => "capture",
            State::Captured => "refund",
            State::Undoing | State::Undone => "undo",
        }
    }

    /// True while an answer of the processor is wanted.
    pub fn is_open(&self) -> bool {
        self.next_call(None).is_some()
    }

    /// Takes from an answer what is news, and says what is known now.
    pub fn record(&mut self, answer: &Answer) -> Option<Fact> {
        let fact = self.learn(answer);
        self.version += i32::from(fact.is_some());
        fact
    }

    fn learn(&mut self, answer: &Answer) -> Option<Fact> {
        let amount = self.terms.as_ref()?.amount;
        match (answer, self.state) {
            (Answer::Authorized, State::Authorizing) => {
                self.end_authorizing(State::Authorized);
                self.authorized = amount.minor;
                Some(Fact::Authorized { amount })
            }
            (Answer::Declined { reason }, State::Authorizing) => {
                self.end_authorizing(State::Declined);
                self.decline_reason = Some(reason.clone());
                Some(Fact::Declined { reason: reason.clone() })
            }
            (Answer::Cancelled, State::Authorizing) => {
                self.end_authorizing(State::Undone);
                None
            }
            (Answer::Captured { key, amount }, _) => self.learn_captured(*amount, Some(*key)),
            (Answer::AlreadyCaptured { amount }, _) => self.learn_captured(*amount, None),
            (Answer::CaptureRefused { key }, State::Capturing | State::Undoing)
                if self.capture.is_some_and(|it| it.key == *key) && self.captured == 0 =>
            {
                self.capture = None;
                if self.state == State::Capturing {
                    self.state = State::Authorized;
                }
                None
            }
            (Answer::Voided, State::Undoing) if self.captured == 0 => {
                self.state = State::Undone;
                let freed = Money::new(amount.currency, std::mem::take(&mut self.authorized));
                (freed.minor > 0).then_some(Fact::Voided { amount: freed })
            }
            (Answer::Refunded { key }, _) => self.learn_refunded(amount, *key),
            // Late or twice: nothing new.
            _ => None,
        }
    }

    fn end_authorizing(&mut self, state: State) {
        self.state = state;
        self.card_token = None;
    }

    /// Money that was taken is never overlooked, even if the capture was thought to be refused.
    fn learn_captured(&mut self, amount: Money, key: Option<Uuid>) -> Option<Fact> {
        let open = matches!(self.state, State::Authorized | State::Capturing | State::Undoing);
        let can_be = self.can_be_taken(amount);
        if !open || !can_be || self.captured > 0 {
            return None;
        }
        let held = std::mem::take(&mut self.authorized);
        self.captured = amount.minor;
        // What was asked for under the key says what to answer, not what was taken.
        if let Some(key) = key.filter(|key| self.capture.is_none_or(|it| it.key != *key)) {
            self.capture = Some(Capture { key, minor: amount.minor });
        }
        match self.state {
            State::Undoing => self.give_back_the_rest(),
            _ => self.state = State::Captured,
        }
        Some(Fact::Captured { amount, held })
    }

    fn learn_refunded(&mut self, amount: Money, id: Uuid) -> Option<Fact> {
        let place = self.pending.iter().position(|it| it.id == id)?;
        let refund = self.pending.remove(place);
        self.refunded += refund.minor;
        self.end_if_all_is_given_back();
        Some(Fact::Refunded { refund: id, amount: Money { minor: refund.minor, ..amount } })
    }

    fn give_back_the_rest(&mut self) {
        if self.left() > 0 {
            let id = Uuid::new_v5(&self.id, b"undo");
            self.begin_refund(Refund { id, minor: self.left() });
        }
        self.end_if_all_is_given_back();
    }

    fn begin_refund(&mut self, refund: Refund) {
        self.pending.push(refund);
        self.refunds += 1;
    }

    fn end_if_all_is_given_back(&mut self) {
        if self.state == State::Undoing && self.pending.is_empty() {
            self.state = State::Undone;
        }
    }

    fn can_be_taken(&self, amount: Money) -> bool {
        let asked = self.terms.as_ref().map_or(0, |terms| terms.amount.minor);
        self.check_currency(amount).is_ok() && (1..=asked).contains(&amount.minor)
    }

    fn check_currency(&self, amount: Money) -> Result<(), Refusal> {
        let own = self.terms.as_ref().map(|terms| terms.amount.currency);
        if own == Some(amount.currency) { Ok(()) } else { Err(Refusal::CurrencyDiffers) }
    }

    /// What was taken, and is neither given back nor on its way.
    fn left(&self) -> i64 {
        self.captured - self.refunded - self.pending.iter().map(|it| it.minor).sum::<i64>()
    }

    fn empty(id: Uuid, state: State, now: OffsetDateTime) -> Self {
        Self {
            id,
            state,
            terms: None,
            authorized: 0,
            captured: 0,
            refunded: 0,
            card_token: None,
            capture: None,
            decline_reason: None,
            pending: Vec::new(),
            refunds: 0,
            version: 0,
            create_time: now,
            update_time: now,
        }
    }
}
