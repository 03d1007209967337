//! What means nothing is refused by the name of its field, and leaves no row behind.

use shop::{common::v1::Money, payments::v1::AuthorizePaymentRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::till::{GOOD, Till, blame, euros, new_id, why};

/// Why, and by the name of which field.
fn malformed(status: Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].reason, blame(status.clone()).0);
    blame(status)
}

#[tokio::test]
async fn a_malformed_payment_is_refused_by_the_name_of_its_field() {
    let till = Till::open().await;
    let good = till.payment_by(GOOD).await;
    let money = |currency: &str, units, nanos| {
        Some(Money { currency_code: currency.to_owned(), units, nanos })
    };
    let with = |amount| AuthorizePaymentRequest { amount, ..good.clone() };
    let token = |card_token: String| AuthorizePaymentRequest { card_token, ..good.clone() };

    for (reason, name, request) in [
        (
            "UUID_MALFORMED",
            "request_id",
            AuthorizePaymentRequest { request_id: "7".into(), ..good.clone() },
        ),
        (
            "UUID_MALFORMED",
            "order_id",
            AuthorizePaymentRequest { order_id: String::new(), ..good.clone() },
        ),
        ("FIELD_MISSING", "amount", with(None)),
        ("CURRENCY_UNKNOWN", "amount.currency_code", with(money("euro", 1, 0))),
        ("AMOUNT_MALFORMED", "amount.nanos", with(money("EUR", 1, 1))),
        ("AMOUNT_MALFORMED", "amount.nanos", with(money("JPY", 1, 10_000_000))),
        ("AMOUNT_MALFORMED", "amount.nanos", with(money("EUR", 1, -10_000_000))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(money("EUR", 0, 0))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(money("EUR", -5, 0))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(money("EUR", i64::MAX, 0))),
        ("TEXT_LENGTH_OUT_OF_RANGE", "card_token", token(String::new())),
        ("TEXT_LENGTH_OUT_OF_RANGE", "card_token", token("x".repeat(101))),
        ("TEXT_MALFORMED", "card_token", token("a\0b".to_owned())),
    ] {
        let refused = till.authorize(&request).await.unwrap_err();
        assert_eq!(malformed(refused), why(reason, name));
    }

    assert_eq!(till.rows().await, 0);
    till.close().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let till = Till::open().await;

    let refused = till.authorize(&AuthorizePaymentRequest::default()).await.unwrap_err();

    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["request_id", "order_id", "amount", "card_token"]);
    till.close().await;
}

#[tokio::test]
async fn a_malformed_or_unknown_id_is_refused_everywhere() {
    let till = Till::open().await;
    let payment_id = why("UUID_MALFORMED", "payment_id");

    assert_eq!(malformed(till.capture("x", &new_id()).await.unwrap_err()), payment_id);
    assert_eq!(malformed(till.undo("x").await.unwrap_err()), payment_id);
    assert_eq!(malformed(till.refund("", &new_id(), euros(1, 0)).await.unwrap_err()), payment_id);
    assert_eq!(malformed(till.get("").await.unwrap_err()), payment_id);
    let keyless = till.capture(&new_id(), "").await.unwrap_err();
    assert_eq!(malformed(keyless), why("UUID_MALFORMED", "request_id"));
    let refund = till.refund(&new_id(), &new_id(), euros(-1, 0)).await.unwrap_err();
    assert_eq!(malformed(refund), why("AMOUNT_OUT_OF_RANGE", "amount.units"));
    let part = till.take(&new_id(), &new_id(), euros(0, 0)).await.unwrap_err();
    assert_eq!(malformed(part), why("AMOUNT_OUT_OF_RANGE", "amount.units"));
    for status in [
        till.capture(&new_id(), &new_id()).await.unwrap_err(),
        till.take(&new_id(), &new_id(), euros(1, 0)).await.unwrap_err(),
        till.refund(&new_id(), &new_id(), euros(1, 0)).await.unwrap_err(),
        till.get(&new_id()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(blame(status), why("PAYMENT_NOT_FOUND", "payment_id"));
    }

    assert_eq!(till.rows().await, 0);
    till.close().await;
}

#[tokio::test]
async fn a_refusal_by_state_blames_a_field_too() {
    let till = Till::open().await;
    let declined = till.payment_by("4000 0000 0000 0002").await;
    let refused = till.authorize(&declined).await.unwrap_err();
    assert_eq!(blame(refused), why("CARD_DECLINED", "card_token"));
    let capture = till.capture(&declined.request_id, &new_id()).await.unwrap_err();
    assert_eq!(blame(capture), why("PAYMENT_NOT_AUTHORIZED", "payment_id"));
    let mut differs = declined.clone();
    differs.amount = Some(euros(1, 0));
    let differs = till.authorize(&differs).await.unwrap_err();
    assert_eq!(blame(differs), why("REQUEST_CONTENT_DIFFERS", "request_id"));

    let undone = till.payment_by(GOOD).await;
    till.undo(&undone.request_id).await.unwrap();
    let late = till.authorize(&undone).await.unwrap_err();
    assert_eq!(blame(late), why("CANCELLED_BEFORE_ARRIVAL", "request_id"));
    let late = till.capture(&undone.request_id, &new_id()).await.unwrap_err();
    assert_eq!(blame(late), why("CANCELLED_BEFORE_ARRIVAL", "payment_id"));
    till.close().await;
}
