//! The payment's rules, one by one.

use shop::money::{Currency, Money};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Answer, Call, CardToken, Fact, Payment, Refusal, State, Terms};

const ID: Uuid = Uuid::from_u128(7);
const TOTAL: i64 = 100;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn token() -> CardToken {
    CardToken::new("card_of_somebody")
}

#[test]
fn what_stands_for_a_card_cannot_be_printed() {
    let mut payment = None;
    Payment::authorize(&mut payment, ID, &terms(), &token(), NOW).unwrap();
    let payment = payment.unwrap();

    let printed = format!("{payment:?} {:?}", payment.next_call(None));
    assert!(printed.contains("CardToken(***)") && !printed.contains("of_somebody"), "{printed}");
}

#[test]
fn an_undo_that_overtakes_its_payment_refuses_it() {
    let mut payment = None;
    Payment::undo(&mut payment, ID, NOW);

    let late = Payment::authorize(&mut payment, ID, &terms(), &token(), NOW);

    assert_eq!(late, Err(Refusal::CancelledBeforeArrival));
    let mut payment = payment.unwrap();
    assert_eq!(payment.capture(ID, None), Err(Refusal::CancelledBeforeArrival));
    assert!(!payment.is_open());
}

#[test]
fn the_same_id_with_other_content_is_refused() {
    let mut payment = None;
    Payment::authorize(&mut payment, ID, &terms(), &token(), NOW).unwrap();

    let other = Terms { digest: [1; 16], ..terms() };
    let again = Payment::authorize(&mut payment, ID, &other, &token(), NOW);

    assert_eq!(again, Err(Refusal::ContentDiffers));
    assert_eq!(Payment::authorize(&mut payment, ID, &terms(), &token(), NOW), Ok(()));
}

#[test]
fn an_undo_while_capturing_a_part_settles_the_capture_first() {
    let mut payment = Some(authorized());
    let (key, part) = (Uuid::from_u128(1), Some(euros(30)));
    payment.as_mut().unwrap().capture(key, part).unwrap();

    Payment::undo(&mut payment, ID, NOW);

    let mut payment = payment.unwrap();
    assert_eq!(payment.next_call(None), Some(Call::Capture { key, part }));
    let taken = payment.record(&Answer::Captured { key, amount: euros(30) });
    assert_eq!(taken, Some(Fact::Captured { amount: euros(30), held: TOTAL }));
    let Some(Call::Refund { key, amount }) = payment.next_call(None) else { panic!("{payment:?}") };
    assert_eq!(amount.minor, 30);
    payment.record(&Answer::Refunded { key });
    assert_eq!((payment.state, payment.refunded), (State::Undone, 30));
}

#[test]
fn a_part_is_captured_once_and_never_more_than_is_reserved() {
    let mut payment = authorized();

    let dollars = Some(Money::new(Currency::USD, 1));
    assert_eq!(payment.capture(ID, dollars), Err(Refusal::CurrencyDiffers));
    assert_eq!(payment.capture(ID, Some(euros(TOTAL + 1))), Err(Refusal::CaptureTooLarge));
    assert_eq!(payment.capture(ID, Some(euros(TOTAL - 1))), Ok(()));
    payment.record(&Answer::Captured { key: ID, amount: euros(TOTAL - 1) });
    assert_eq!(payment.capture(ID, Some(euros(TOTAL - 1))), Ok(()), "the same again");
    assert_eq!(payment.captured(ID), Ok(()));
    let rest = payment.capture(Uuid::nil(), Some(euros(1)));
    assert_eq!(rest, Err(Refusal::NotAuthorized), "the rest is free again");
    assert_eq!((payment.authorized, payment.captured), (0, TOTAL - 1));
}

#[test]
fn all_of_it_is_asked_for_without_its_amount() {
    let mut payment = authorized();

    payment.capture(ID, Some(euros(TOTAL))).unwrap();

    assert_eq!(payment.next_call(None), Some(Call::Capture { key: ID, part: None }));
}

#[test]
fn a_capture_that_took_another_amount_is_refused_to_who_asked_and_kept_in_the_books() {
    let mut payment = authorized();
    payment.capture(ID, Some(euros(80))).unwrap();

    let taken = payment.record(&Answer::Captured { key: ID, amount: euros(30) });

    assert_eq!(taken, Some(Fact::Captured { amount: euros(30), held: TOTAL }));
    assert_eq!(payment.captured(ID), Err(Refusal::CaptureRefused));
    assert_eq!((payment.state, payment.captured), (State::Captured, 30));
}

#[test]
fn an_amount_that_cannot_have_been_taken_is_not_believed() {
    let mut payment = authorized();
    payment.capture(ID, None).unwrap();
    let before = payment.clone();

    for amount in [euros(0), euros(-1), euros(TOTAL + 1), Money::new(Currency::USD, TOTAL)] {
        assert_eq!(payment.record(&Answer::Captured { key: ID, amount }), None);
        assert_eq!(payment, before);
    }
}

#[test]
fn more_than_what_is_left_is_not_given_back() {
    let mut payment = authorized();

    assert_eq!(payment.refund(ID, euros(1)), Err(Refusal::NotCaptured));
    payment.capture(ID, Some(euros(70))).unwrap();
    payment.record(&Answer::Captured { key: ID, amount: euros(70) });
    assert_eq!(payment.refund(ID, euros(71)), Err(Refusal::RefundTooLarge));
    assert_eq!(payment.refund(ID, euros(40)), Ok(()));
    assert_eq!(payment.refund(Uuid::nil(), euros(31)), Err(Refusal::RefundTooLarge));
    let other = Money::new(Currency::USD, 1);
    assert_eq!(payment.refund(Uuid::nil(), other), Err(Refusal::CurrencyDiffers));
    assert_eq!(payment.refund(Uuid::nil(), euros(30)), Ok(()), "while the first is on its way");
}

#[test]
fn the_refunds_of_a_payment_are_bounded_and_an_undo_is_not() {
    let mut payment = authorized();
    payment.capture(ID, None).unwrap();
    payment.record(&Answer::Captured { key: ID, amount: euros(TOTAL) });
    payment.refunds = 100;

    assert_eq!(payment.refund(ID, euros(1)), Err(Refusal::TooManyRefunds));
    let mut payment = Some(payment);
    Payment::undo(&mut payment, ID, NOW);
    assert!(matches!(payment.unwrap().next_call(None), Some(Call::Refund { .. })));
}

fn authorized() -> Payment {
    let mut payment = None;
    Payment::authorize(&mut payment, ID, &terms(), &token(), NOW).unwrap();
    let mut payment = payment.unwrap();
    payment.record(&Answer::Authorized);
    payment
}

fn terms() -> Terms {
    Terms { order_id: Uuid::nil(), digest: [0; 16], amount: euros(TOTAL) }
}

fn euros(minor: i64) -> Money {
    Money::new(Currency::EUR, minor)
}
