//! A payment, from the intent to the end of it.
//!
//! Each step is recorded before the processor is asked ([`Payment::next_call`] says what), and
//! its answer afterwards ([`Payment::record`]). An answer may be lost, come twice, or come late;
//! the payment takes from it what is news.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Answer, Call, Fact, Refusal};

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

/// An amount on its way back to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its id, and its key at the processor.
    pub id: Uuid,
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
    pub card_token: Option<String>,
    /// The capture whose outcome counts.
    pub capture_key: Option<Uuid>,
    pub decline_reason: Option<String>,
    /// Refunds whose outcome is not known.
    pub pending: Vec<Refund>,
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
        card_token: &str,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let Some(payment) = payment else {
            let card_token = Some(card_token.to_owned());
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

    /// Means to take the whole reserved amount.
    pub fn capture(&mut self, key: Uuid) -> Result<(), Refusal> {
        match self.state {
            State::Undoing | State::Undone => Err(Refusal::CancelledBeforeArrival),
            State::Capturing | State::Captured if self.capture_key == Some(key) => Ok(()),
            State::Authorized => {
                self.state = State::Capturing;
                self.capture_key = Some(key);
                Ok(())
            }
            _ => Err(Refusal::NotAuthorized),
        }
    }

    /// What came of the capture, once its outcome is known.
    pub fn captured(&self, key: Uuid) -> Result<(), Refusal> {
        match self.state {
            State::Undoing | State::Undone => Err(Refusal::CancelledBeforeArrival),
            State::Captured if self.capture_key == Some(key) => Ok(()),
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
        let terms = match (&self.terms, self.state) {
            (Some(terms), State::Captured) => terms,
            _ => return Err(Refusal::NotCaptured),
        };
        if amount.currency != terms.amount.currency {
            return Err(Refusal::CurrencyDiffers);
        }
        if amount.minor > self.left() {
            return Err(Refusal::RefundTooLarge);
        }
        self.pending.push(Refund { id, minor: amount.minor });
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
        let give_back = |it: &Refund| Call::Refund {
            key: it.id,
            amount: Money::new(amount.currency, it.minor),
        };
        match self.state {
            State::Authorizing => {
                Some(Call::Authorize { card_token: self.card_token.clone()?, amount })
            }
            State::Capturing => Some(Call::Capture { key: self.capture_key? }),
            State::Captured => self.pending.iter().find(wanted).map(give_back),
            // What was begun is settled first, by its own key; only then it is clear what to undo.
            State::Undoing => match (self.pending.first(), self.capture_key) {
                (Some(refund), _) => Some(give_back(refund)),
                (None, Some(key)) => Some(Call::Capture { key }),
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
            (Answer::Captured { key }, _) => self.learn_captured(amount, Some(*key)),
            (Answer::AlreadyCaptured, _) => self.learn_captured(amount, self.capture_key),
            (Answer::CaptureRefused { key }, State::Capturing | State::Undoing)
                if self.capture_key == Some(*key) && self.captured == 0 =>
            {
                self.capture_key = None;
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
        if !open || self.captured > 0 {
            return None;
        }
        let was_held = std::mem::take(&mut self.authorized) > 0;
        self.captured = amount.minor;
        self.capture_key = key;
        match self.state {
            State::Undoing => self.give_back_the_rest(),
            _ => self.state = State::Captured,
        }
        Some(Fact::Captured { amount, was_held })
    }

    fn learn_refunded(&mut self, amount: Money, id: Uuid) -> Option<Fact> {
        let place = self.pending.iter().position(|it| it.id == id)?;
        let refund = self.pending.remove(place);
        self.refunded += refund.minor;
        self.end_if_all_is_given_back();
        Some(Fact::Refunded { amount: Money::new(amount.currency, refund.minor) })
    }

    fn give_back_the_rest(&mut self) {
        if self.left() > 0 {
            let id = Uuid::new_v5(&self.id, b"undo");
            self.pending.push(Refund { id, minor: self.left() });
        }
        self.end_if_all_is_given_back();
    }

    fn end_if_all_is_given_back(&mut self) {
        if self.state == State::Undoing && self.pending.is_empty() {
            self.state = State::Undone;
        }
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
            capture_key: None,
            decline_reason: None,
            pending: Vec::new(),
            version: 0,
            create_time: now,
            update_time: now,
        }
    }
}
