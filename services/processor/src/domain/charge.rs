//! A charge: what a card was asked for, and what it gave.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Behaviour, CardToken};

/// Where a charge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Authorized,
    Declined,
    Captured,
    Voided,
}

/// What a request to reserve an amount asks for.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// Digest of the request as it was sent.
    pub digest: [u8; 16],
    pub card_token: CardToken,
    pub amount: Money,
}

/// One charge. Amounts are minor units of the currency that was asked for.
#[derive(Clone, Debug)]
pub struct Charge {
    pub id: Uuid,
    pub state: State,
    /// What was asked for; `None` if the charge was voided before it arrived.
    pub asked: Option<Authorization>,
    /// Still open: reserved, not yet taken.
    pub authorized: i64,
    pub captured: i64,
    pub refunded: i64,
    pub decline_reason: Option<String>,
    /// True once a refund was refused, for the card that refuses only the first.
    pub refund_refused: bool,
    pub create_time: OffsetDateTime,
}

/// Why the processor refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the card was declined: {reason}")]
    CardDeclined { reason: String },
    #[error("no card has this token")]
    CardTokenUnknown,
    #[error("the charge was voided before the request arrived")]
    CancelledBeforeArrival,
    #[error("another request with other content came under this id")]
    ContentDiffers,
    #[error("there is no such charge")]
    NotFound,
    #[error("the charge holds no reserved amount")]
    NotAuthorized,
    #[error("the capture was refused")]
    CaptureRefused,
    #[error("more than what is reserved")]
    CaptureTooLarge,
    #[error("something was taken already")]
    Captured,
    #[error("nothing was taken that could be given back")]
    NotCaptured,
    #[error("the refund was refused")]
    RefundRefused,
    #[error("more than what is left of the charge")]
    RefundTooLarge,
    #[error("not the currency of the charge")]
    CurrencyDiffers,
}

impl Charge {
    /// Reserves an amount under a new id, or gives the first outcome of that id again.
    ///
    /// A card that declines leaves its charge behind, DECLINED; an unknown card leaves nothing.
    pub fn authorize(
        charge: &mut Option<Self>,
        id: Uuid,
        asked: &Authorization,
        card: Option<Behaviour>,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        if let Some(charge) = charge {
            return charge.authorize_again(asked);
        }
        let (state, authorized, decline_reason) = match card.ok_or(Refusal::CardTokenUnknown)? {
            Behaviour::Decline(reason) => (State::Declined, 0, Some(reason.to_owned())),
            _ => (State::Authorized, asked.amount.minor, None),
        };
        let made = charge.insert(Self {
            asked: Some(asked.clone()),
            authorized,
            decline_reason,
            ..Self::empty(id, state, now)
        });
        made.declined()
    }

    fn authorize_again(&self, asked: &Authorization) -> Result<(), Refusal> {
        match &self.asked {
            None => Err(Refusal::CancelledBeforeArrival),
            Some(first) if first.digest != asked.digest => Err(Refusal::ContentDiffers),
            Some(_) => self.declined(),
        }
    }

    fn declined(&self) -> Result<(), Refusal> {
        match &self.decline_reason {
            Some(reason) => Err(Refusal::CardDeclined { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Takes the reserved amount, or this part of it, and frees the rest.
    pub fn capture(&mut self, part: Option<Money>, card: Behaviour) -> Result<(), Refusal> {
        match self.state {
            State::Voided => return Err(Refusal::CancelledBeforeArrival),
            State::Declined | State::Captured => return Err(Refusal::NotAuthorized),
            State::Authorized => {}
        }
        let currency = self.amount().map(|amount| amount.currency);
        if part.is_some_and(|part| Some(part.currency) != currency) {
            return Err(Refusal::CurrencyDiffers);
        }
        let taken = part.map_or(self.authorized, |part| part.minor);
        if taken > self.authorized {
            return Err(Refusal::CaptureTooLarge);
        }
        if card == Behaviour::RefuseCapture {
            return Err(Refusal::CaptureRefused);
        }
        self.captured = taken;
        self.authorized = 0;
        self.state = State::Captured;
        Ok(())
    }

    /// Frees the reserved amount. An unknown charge becomes a mark that refuses it for ever.
    pub fn void(charge: &mut Option<Self>, id: Uuid, now: OffsetDateTime) -> Result<(), Refusal> {
        let charge = charge.get_or_insert_with(|| Self::empty(id, State::Voided, now));
        match charge.state {
            State::Captured => Err(Refusal::Captured),
            State::Declined | State::Voided => Ok(()),
            State::Authorized => {
                charge.authorized = 0;
                charge.state = State::Voided;
                Ok(())
            }
        }
    }

    /// Gives back some or all of what was taken.
    pub fn refund(&mut self, amount: Money, card: Behaviour) -> Result<(), Refusal> {
        let asked = match (&self.asked, self.state) {
            (Some(asked), State::Captured) => asked,
            _ => return Err(Refusal::NotCaptured),
        };
        if amount.currency != asked.amount.currency {
            return Err(Refusal::CurrencyDiffers);
        }
        if amount.minor > self.captured - self.refunded {
            return Err(Refusal::RefundTooLarge);
        }
        if card == Behaviour::RefuseFirstRefund && !self.refund_refused {
            self.refund_refused = true;
            return Err(Refusal::RefundRefused);
        }
        self.refunded += amount.minor;
        Ok(())
    }

    /// What was asked for; `None` for a charge that was voided before it arrived.
    pub fn amount(&self) -> Option<Money> {
        self.asked.as_ref().map(|asked| asked.amount)
    }

    fn empty(id: Uuid, state: State, now: OffsetDateTime) -> Self {
        Self {
            id,
            state,
            asked: None,
            authorized: 0,
            captured: 0,
            refunded: 0,
            decline_reason: None,
            refund_refused: false,
            create_time: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shop::money::Currency;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn asked(minor: i64) -> Authorization {
        let amount = Money::new(Currency::EUR, minor);
        Authorization { digest: [1; 16], card_token: CardToken::new("card"), amount }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Authorize,
        Capture(Option<i64>),
        Void,
        Refund(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Authorize),
            proptest::option::of(1_i64..150).prop_map(Step::Capture),
            Just(Step::Void),
            (1_i64..80).prop_map(Step::Refund),
        ];
        proptest::collection::vec(step, 0..12)
    }

    fn behaviour() -> impl Strategy<Value = Behaviour> {
        proptest::sample::select(vec![
            Behaviour::Approve,
            Behaviour::Decline("STOLEN_CARD"),
            Behaviour::RefuseCapture,
            Behaviour::RefuseFirstRefund,
        ])
    }

    proptest! {
        #[test]
        fn an_amount_is_taken_once_and_given_back_at_most_once(
            steps in steps(), card in behaviour()
        ) {
            let mut slot = None;
            let (mut captures, mut taken, mut given_back) = (0, 0, 0);
            for step in steps {
                let before = slot.as_ref().map(|charge: &Charge| charge.state);
                match step {
                    Step::Authorize => {
                        let id = Uuid::nil();
                        let done = Charge::authorize(&mut slot, id, &asked(100), Some(card), NOW);
                        if done.is_ok() && before.is_none() {
                            prop_assert_eq!(slot.as_ref().unwrap().authorized, 100);
                        }
                    }
                    Step::Void => {
                        let done = Charge::void(&mut slot, Uuid::nil(), NOW);
                        prop_assert_eq!(done.is_err(), before == Some(State::Captured));
                    }
                    Step::Capture(minor) => {
                        let part = minor.map(|minor| Money::new(Currency::EUR, minor));
                        if slot.as_mut().is_some_and(|it| it.capture(part, card).is_ok()) {
                            captures += 1;
                            taken = minor.unwrap_or(100);
                        }
                    }
                    Step::Refund(minor) => {
                        let amount = Money::new(Currency::EUR, minor);
                        let done = slot.as_mut().is_some_and(|it| it.refund(amount, card).is_ok());
                        given_back += if done { minor } else { 0 };
                    }
                }
                if let Some(charge) = &slot {
                    prop_assert_eq!((charge.captured, charge.refunded), (taken, given_back));
                    prop_assert!(given_back <= taken && taken <= 100 && captures <= 1);
                    prop_assert_eq!(charge.authorized > 0, charge.state == State::Authorized);
                }
            }
        }
    }

    #[test]
    fn a_charge_that_was_voided_before_it_arrived_is_refused_for_ever() {
        let mut slot = None;
        Charge::void(&mut slot, Uuid::nil(), NOW).unwrap();

        let card = Some(Behaviour::Approve);
        let late = Charge::authorize(&mut slot, Uuid::nil(), &asked(5), card, NOW);
        let capture = slot.as_mut().unwrap().capture(None, Behaviour::Approve);

        assert_eq!(late, Err(Refusal::CancelledBeforeArrival));
        assert_eq!(capture, Err(Refusal::CancelledBeforeArrival));
        assert_eq!(slot.unwrap().amount(), None);
    }

    #[test]
    fn an_unknown_card_leaves_nothing_behind() {
        let mut slot = None;

        let refused = Charge::authorize(&mut slot, Uuid::nil(), &asked(5), None, NOW);

        assert_eq!(refused, Err(Refusal::CardTokenUnknown));
        assert!(slot.is_none());
    }

    #[test]
    fn the_first_refund_is_refused_and_the_next_one_not() {
        let mut slot = None;
        let card = Behaviour::RefuseFirstRefund;
        Charge::authorize(&mut slot, Uuid::nil(), &asked(5), Some(card), NOW).unwrap();
        let mut charge = slot.unwrap();
        charge.capture(None, card).unwrap();

        let amount = Money::new(Currency::EUR, 5);

        assert_eq!(charge.refund(amount, card), Err(Refusal::RefundRefused));
        assert_eq!(charge.refund(amount, card), Ok(()));
        assert_eq!(charge.refund(amount, card), Err(Refusal::RefundTooLarge));
    }
}
