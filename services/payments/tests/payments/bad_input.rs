//! What means nothing is refused by the name of its field, and leaves no row behind.

use shop::{common::v1::Money, payments::v1::AuthorizePaymentRequest};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::till::{GOOD, Till, euros, new_id, reason};

fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(reason(status), "INVALID_REQUEST");
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
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

    for (name, request) in [
        ("request_id", AuthorizePaymentRequest { request_id: "7".into(), ..good.clone() }),
        ("order_id", AuthorizePaymentRequest { order_id: String::new(), ..good.clone() }),
        ("amount", with(None)),
        ("amount.currency_code", with(money("euro", 1, 0))),
        ("amount.nanos", with(money("EUR", 1, 1))),
        ("amount.nanos", with(money("JPY", 1, 10_000_000))),
        ("amount.nanos", with(money("EUR", 1, -10_000_000))),
        ("amount.units", with(money("EUR", 0, 0))),
        ("amount.units", with(money("EUR", -5, 0))),
        ("amount.units", with(money("EUR", i64::MAX, 0))),
        ("card_token", token(String::new())),
        ("card_token", token("x".repeat(101))),
    ] {
        let refused = till.authorize(&request).await.unwrap_err();
        assert_eq!(field(&refused), name);
    }

    assert_eq!(till.rows().await, 0);
    till.close().await;
}

#[tokio::test]
async fn a_malformed_or_unknown_id_is_refused_everywhere() {
    let till = Till::open().await;

    assert_eq!(field(&till.capture("x", &new_id()).await.unwrap_err()), "payment_id");
    assert_eq!(field(&till.capture(&new_id(), "").await.unwrap_err()), "request_id");
    assert_eq!(field(&till.undo("x").await.unwrap_err()), "payment_id");
    assert_eq!(field(&till.get("").await.unwrap_err()), "payment_id");
    let refund = till.refund(&new_id(), &new_id(), euros(-1, 0)).await.unwrap_err();
    assert_eq!(field(&refund), "amount.units");
    for status in [
        till.capture(&new_id(), &new_id()).await.unwrap_err(),
        till.refund(&new_id(), &new_id(), euros(1, 0)).await.unwrap_err(),
        till.get(&new_id()).await.unwrap_err(),
    ] {
        assert_eq!((status.code(), reason(&status)), (Code::NotFound, "PAYMENT_NOT_FOUND".into()));
    }

    assert_eq!(till.rows().await, 0);
    till.close().await;
}
