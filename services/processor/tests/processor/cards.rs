//! Card numbers become tokens, and stay out of everything else.

use shop::processor::v1::{AuthorizeChargeRequest, TokenizeCardRequest};
use tonic::Code;

use crate::sandbox::{GOOD, Sandbox, blame, card, field, reason, why};

#[tokio::test]
async fn the_same_request_gives_the_same_token_and_another_one_another() {
    let sandbox = Sandbox::start().await;
    let request = card(GOOD);

    let first = sandbox.tokenize(request.clone()).await.unwrap();
    let again = sandbox.tokenize(request.clone()).await.unwrap();
    let other = sandbox.tokenize(card(GOOD)).await.unwrap();
    let mut differs = request;
    differs.expiry_year = 2031;
    let refused = sandbox.tokenize(differs).await.unwrap_err();

    assert_eq!(first.last_digits, "4242");
    assert_eq!(first, again);
    assert_ne!(first.card_token, other.card_token);
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(blame(&refused), why("REQUEST_CONTENT_DIFFERS", "request_id"));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_card_number_is_neither_kept_nor_repeated_in_a_refusal() {
    let sandbox = Sandbox::start().await;
    sandbox.token(GOOD).await;

    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT encode(digest, 'escape') || ' ' || encode(digest, 'hex') || ' ' || token
             || ' ' || behaviour || ' ' || last_digits
         FROM cards",
    )
    .fetch_all(&sandbox.db)
    .await
    .unwrap();
    let refused = sandbox.tokenize(card("4242 4242 4242 4241")).await.unwrap_err();

    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains("4242424242424242"), "{kept:?}");
    assert_eq!(field(&refused), "card_number");
    assert!(!format!("{refused:?}").contains("4241"), "{refused:?}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_malformed_card_is_refused_by_the_name_of_its_field() {
    let sandbox = Sandbox::start().await;
    let mut cases = Vec::new();
    for number in ["", "42", "4242-4242-4242-4242", "4242 4242 4242 4243"] {
        cases.push(("CARD_NUMBER_MALFORMED", "card_number", card(number)));
    }
    for month in [i32::MIN, 0, 13] {
        let mut request = card(GOOD);
        request.expiry_month = month;
        cases.push(("NUMBER_OUT_OF_RANGE", "expiry_month", request));
    }
    for year in [0, 1999, 2101] {
        let mut request = card(GOOD);
        request.expiry_year = year;
        cases.push(("NUMBER_OUT_OF_RANGE", "expiry_year", request));
    }
    for id in ["", "x", "6ba7b8109dad11d180b400c04fd430c8"] {
        let mut request = card(GOOD);
        request.request_id = id.to_owned();
        cases.push(("UUID_MALFORMED", "request_id", request));
    }

    for (reason, name, request) in cases {
        let refused = sandbox.tokenize(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(blame(&refused), why(reason, name));
    }

    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM cards").fetch_one(&sandbox.db).await.unwrap();
    assert_eq!(kept, 0, "a refused card leaves nothing behind");
    sandbox.stop().await;
}

#[tokio::test]
async fn an_expired_card_is_declined() {
    let sandbox = Sandbox::start().await;
    let request = TokenizeCardRequest { expiry_year: 2001, ..card(GOOD) };

    let card_token = sandbox.tokenize(request).await.unwrap().card_token;
    let request = AuthorizeChargeRequest { card_token, ..sandbox.charge_on(GOOD).await };
    let declined = sandbox.authorize(&request).await.unwrap_err();

    assert_eq!(reason(&declined), "CARD_DECLINED");
    assert_eq!(sandbox.get(&request.request_id).await.unwrap().decline_reason, "EXPIRED_CARD");
    sandbox.stop().await;
}
