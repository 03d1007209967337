//! Every test card does what its contract says, and no key does anything twice.

use std::time::{Duration, Instant};

use futures::future::join_all;
use shop::{
    common::v1::Money,
    processor::v1::{AuthorizeChargeRequest, CaptureChargeRequest, ChargeState},
};
use tonic::Code;

use crate::sandbox::{GOOD, Sandbox, blame, euros, new_id, reason, why};

#[tokio::test]
async fn a_good_card_is_charged_once_whatever_is_repeated() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let id = &request.request_id;

    let authorized = sandbox.authorize(&request).await.unwrap();
    let again = sandbox.authorize(&request).await.unwrap();
    let key = new_id();
    let captured = sandbox.capture(id, &key).await.unwrap();
    let captured_again = sandbox.capture(id, &key).await.unwrap();
    let other = sandbox.capture(id, &new_id()).await.unwrap_err();
    let voided = sandbox.void(id).await.unwrap_err();
    let key = new_id();
    let refunded = sandbox.refund(id, &key, euros(2, 50)).await.unwrap();
    let refunded_again = sandbox.refund(id, &key, euros(2, 50)).await.unwrap();
    let too_large = sandbox.refund(id, &new_id(), euros(10, 1)).await.unwrap_err();

    assert_eq!(authorized.authorized, Some(euros(12, 50)));
    assert_eq!(authorized, again);
    assert_eq!(captured.captured, Some(euros(12, 50)));
    assert_eq!(captured.authorized, Some(euros(0, 0)));
    assert_eq!(captured, captured_again);
    assert_eq!(reason(&other), "CHARGE_NOT_AUTHORIZED");
    assert_eq!(reason(&voided), "CHARGE_CAPTURED");
    assert_eq!(refunded.refunded, Some(euros(2, 50)));
    assert_eq!(refunded, refunded_again);
    assert_eq!(reason(&too_large), "REFUND_TOO_LARGE");
    assert_eq!(sandbox.get(id).await.unwrap(), refunded);
    sandbox.stop().await;
}

#[tokio::test]
async fn fifty_duplicates_at_once_make_one_charge_and_one_refund() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let id = &request.request_id;

    let authorized = join_all((0..50).map(|_| sandbox.authorize(&request))).await;
    sandbox.capture(id, &new_id()).await.unwrap();
    let key = new_id();
    let refunded = join_all((0..50).map(|_| sandbox.refund(id, &key, euros(5, 0)))).await;

    assert!(authorized.into_iter().all(|answer| answer.is_ok()));
    assert!(refunded.into_iter().all(|answer| answer.unwrap().refunded == Some(euros(5, 0))));
    let sums: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(captured_minor)::bigint, sum(refunded_minor)::bigint
         FROM audit_charges",
    )
    .fetch_one(&sandbox.db)
    .await
    .unwrap();
    assert_eq!(sums, (1, 1_250, 500));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_declined_card_says_why_each_time() {
    let sandbox = Sandbox::start().await;

    for (number, why) in [
        ("4000 0000 0000 0002", "GENERIC_DECLINE"),
        ("4000 0000 0000 9995", "INSUFFICIENT_FUNDS"),
        ("4000 0000 0000 0069", "EXPIRED_CARD"),
        ("4000 0000 0000 9979", "STOLEN_CARD"),
        ("5555 5555 5555 4444", "CARD_UNKNOWN"),
    ] {
        let request = sandbox.charge_on(number).await;
        for _ in 0..2 {
            let refused = sandbox.authorize(&request).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert_eq!(reason(&refused), "CARD_DECLINED");
            assert_eq!(mesh_rpc::error_metadata(&refused, "decline_reason").unwrap(), why);
        }
        let charge = sandbox.get(&request.request_id).await.unwrap();
        assert_eq!((charge.state(), &*charge.decline_reason), (ChargeState::Declined, why));
        let capture = sandbox.capture(&request.request_id, &new_id()).await.unwrap_err();
        assert_eq!(reason(&capture), "CHARGE_NOT_AUTHORIZED");
        assert_eq!(sandbox.void(&request.request_id).await.unwrap(), charge);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn an_unknown_card_token_leaves_nothing_behind() {
    let sandbox = Sandbox::start().await;
    let mut request = sandbox.charge_on(GOOD).await;
    request.card_token = "nobody's".to_owned();

    let refused = sandbox.authorize(&request).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, "CARD_TOKEN_UNKNOWN".to_owned())
    );
    assert_eq!(sandbox.rows().await, 0);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_answer_is_lost_after_the_work_was_done_once_per_request() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on("4000 0000 0000 0341").await;
    let id = &request.request_id;

    let lost = sandbox.authorize(&request).await.unwrap_err();
    let done = sandbox.get(id).await.unwrap();
    let found = sandbox.authorize(&request).await.unwrap();
    let key = new_id();
    let lost_capture = sandbox.capture(id, &key).await.unwrap_err();
    let captured = sandbox.capture(id, &key).await.unwrap();

    assert_eq!(lost.code(), Code::Unavailable);
    assert_eq!(done.state(), ChargeState::Authorized);
    assert_eq!(done, found);
    assert_eq!(lost_capture.code(), Code::Unavailable);
    assert_eq!(captured.captured, Some(euros(12, 50)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_is_lost_before_the_work_was_done_once_per_request() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on("4000 0000 0000 0358").await;

    let lost = sandbox.authorize(&request).await.unwrap_err();
    let nothing = sandbox.get(&request.request_id).await.unwrap_err();
    let authorized = sandbox.authorize(&request).await.unwrap();

    assert_eq!(lost.code(), Code::Unavailable);
    assert_eq!((nothing.code(), reason(&nothing)), (Code::NotFound, "CHARGE_NOT_FOUND".to_owned()));
    assert_eq!(authorized.authorized, Some(euros(12, 50)));
    sandbox.stop().await;
}

#[tokio::test]
async fn the_slow_card_takes_two_seconds_and_works() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on("4000 0000 0000 0366").await;
    let begun = Instant::now();

    let authorized = sandbox.authorize(&request).await.unwrap();

    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(authorized.state(), ChargeState::Authorized);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_part_is_captured_once_and_the_rest_is_freed() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let (id, key) = (&request.request_id, new_id());
    let authorized = sandbox.authorize(&request).await.unwrap();
    let mut dollars = euros(5, 0);
    dollars.currency_code = "USD".to_owned();

    let too_large = sandbox.take(part(id, &new_id(), euros(12, 51))).await.unwrap_err();
    let foreign = sandbox.take(part(id, &new_id(), dollars)).await.unwrap_err();
    let untouched = sandbox.get(id).await.unwrap();
    let captures = (0..20).map(|_| sandbox.take(part(id, &key, euros(5, 0))));
    let captured = join_all(captures).await;
    let again = sandbox.take(part(id, &key, euros(5, 0))).await.unwrap();
    let differs = sandbox.take(part(id, &key, euros(5, 1))).await.unwrap_err();
    let rest = sandbox.take(part(id, &new_id(), euros(7, 50))).await.unwrap_err();

    assert_eq!(blame(&too_large), why("CAPTURE_TOO_LARGE", "amount"));
    assert_eq!(foreign.code(), Code::InvalidArgument);
    assert_eq!(blame(&foreign), why("CURRENCY_DIFFERS", "amount.currency_code"));
    assert_eq!(untouched, authorized);
    assert!(captured.into_iter().all(|it| it.unwrap() == again));
    assert_eq!(again.state(), ChargeState::Captured);
    assert_eq!((&again.authorized, &again.captured), (&Some(euros(0, 0)), &Some(euros(5, 0))));
    assert_eq!(blame(&differs), why("REQUEST_CONTENT_DIFFERS", "request_id"));
    assert_eq!(blame(&rest), why("CHARGE_NOT_AUTHORIZED", "charge_id"));
    sandbox.stop().await;
}

#[tokio::test]
async fn several_refunds_never_give_back_more_than_the_part_that_was_taken() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let id = &request.request_id;
    sandbox.authorize(&request).await.unwrap();
    sandbox.take(part(id, &new_id(), euros(5, 0))).await.unwrap();

    let refunds = (0..20).map(|_| async { sandbox.refund(id, &new_id(), euros(1, 0)).await });
    let answers = join_all(refunds).await;

    let (given, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (5, 15));
    for answer in refused {
        assert_eq!(blame(&answer.unwrap_err()), why("REFUND_TOO_LARGE", "amount"));
    }
    assert_eq!(sandbox.get(id).await.unwrap().refunded, Some(euros(5, 0)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refused_capture_leaves_the_amount_reserved() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on("4000 0000 0000 0374").await;
    let authorized = sandbox.authorize(&request).await.unwrap();

    let refused = sandbox.capture(&request.request_id, &new_id()).await.unwrap_err();

    assert_eq!(reason(&refused), "CAPTURE_REFUSED");
    assert_eq!(sandbox.get(&request.request_id).await.unwrap(), authorized);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_first_refund_is_refused_and_its_repetition_is_not() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on("4000 0000 0000 0382").await;
    let id = &request.request_id;
    sandbox.authorize(&request).await.unwrap();
    let early = sandbox.refund(id, &new_id(), euros(1, 0)).await.unwrap_err();
    sandbox.capture(id, &new_id()).await.unwrap();
    let key = new_id();

    let refused = sandbox.refund(id, &key, euros(1, 0)).await.unwrap_err();
    let refunded = sandbox.refund(id, &key, euros(1, 0)).await.unwrap();

    assert_eq!(reason(&early), "CHARGE_NOT_CAPTURED");
    assert_eq!(reason(&refused), "REFUND_REFUSED");
    assert_eq!(refunded.refunded, Some(euros(1, 0)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_void_that_comes_first_refuses_the_charge_that_comes_later() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let id = &request.request_id;

    let voided = sandbox.void(id).await.unwrap();
    let voided_again = sandbox.void(id).await.unwrap();
    let late = sandbox.authorize(&request).await.unwrap_err();
    let late_capture = sandbox.capture(id, &new_id()).await.unwrap_err();

    assert_eq!((voided.state(), &voided.amount), (ChargeState::Voided, &None));
    assert_eq!(voided, voided_again);
    assert_eq!(late.code(), Code::FailedPrecondition);
    assert_eq!(blame(&late), why("CANCELLED_BEFORE_ARRIVAL", "request_id"));
    assert_eq!(blame(&late_capture), why("CANCELLED_BEFORE_ARRIVAL", "charge_id"));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_key_stands_for_one_content() {
    let sandbox = Sandbox::start().await;
    let request = sandbox.charge_on(GOOD).await;
    let other = sandbox.charge_on(GOOD).await;
    sandbox.authorize(&request).await.unwrap();
    sandbox.authorize(&other).await.unwrap();
    let key = new_id();
    sandbox.capture(&request.request_id, &key).await.unwrap();

    let amount = Some(euros(12, 51));
    let dearer = sandbox.authorize(&AuthorizeChargeRequest { amount, ..request.clone() }).await;
    let elsewhere = sandbox.capture(&other.request_id, &key).await;

    assert_eq!(reason(&dearer.unwrap_err()), "REQUEST_CONTENT_DIFFERS");
    assert_eq!(reason(&elsewhere.unwrap_err()), "REQUEST_CONTENT_DIFFERS");
    sandbox.stop().await;
}

#[tokio::test]
async fn bad_input_is_named_and_leaves_nothing_behind() {
    let sandbox = Sandbox::start().await;
    let good = sandbox.charge_on(GOOD).await;
    let mut half_a_cent = euros(1, 0);
    half_a_cent.nanos = 5_000_000;
    let mut doubloons = euros(1, 0);
    doubloons.currency_code = "XDB".to_owned();
    let with = |amount| AuthorizeChargeRequest { amount, ..good.clone() };
    let token = |card_token: String| AuthorizeChargeRequest { card_token, ..good.clone() };
    let id = |id: &str| AuthorizeChargeRequest { request_id: id.to_owned(), ..good.clone() };

    for (reason, name, request) in [
        ("FIELD_MISSING", "amount", with(None)),
        ("AMOUNT_MALFORMED", "amount.nanos", with(Some(half_a_cent))),
        ("CURRENCY_UNKNOWN", "amount.currency_code", with(Some(doubloons))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(Some(euros(0, 0)))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(Some(euros(-1, 0)))),
        ("AMOUNT_OUT_OF_RANGE", "amount.units", with(Some(euros(i64::MAX, 0)))),
        ("TEXT_LENGTH_OUT_OF_RANGE", "card_token", token(String::new())),
        ("TEXT_LENGTH_OUT_OF_RANGE", "card_token", token("x".repeat(101))),
        ("TEXT_MALFORMED", "card_token", token("a\0b".to_owned())),
        ("UUID_MALFORMED", "request_id", id("")),
        ("UUID_MALFORMED", "request_id", id("not-a-uuid")),
    ] {
        let refused = sandbox.authorize(&request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(blame(&refused), why(reason, name));
    }
    let nothing = sandbox.take(part(&new_id(), &new_id(), euros(0, 0))).await.unwrap_err();
    let unknown = sandbox.authorize(&token("nobody's".to_owned())).await.unwrap_err();
    let nowhere = sandbox.capture(&new_id(), &new_id()).await.unwrap_err();

    assert_eq!(blame(&nothing), why("AMOUNT_OUT_OF_RANGE", "amount.units"));
    assert_eq!(blame(&unknown), why("CARD_TOKEN_UNKNOWN", "card_token"));
    assert_eq!(nowhere.code(), Code::NotFound);
    assert_eq!(blame(&nowhere), why("CHARGE_NOT_FOUND", "charge_id"));
    assert_eq!(sandbox.rows().await, 0);
    sandbox.stop().await;
}

/// A capture of a part.
fn part(charge_id: &str, request_id: &str, amount: Money) -> CaptureChargeRequest {
    let (charge_id, request_id) = (charge_id.to_owned(), request_id.to_owned());
    CaptureChargeRequest { request_id, charge_id, amount: Some(amount) }
}
