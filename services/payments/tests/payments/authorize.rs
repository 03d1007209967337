//! Reserving an amount: once, whatever is lost or repeated on the way.

use futures::future::join_all;
use shop::{payments::v1::PaymentState, processor::v1::ChargeState};
use tonic::Code;

use crate::till::{
    GOOD, LOSES_ANSWERS, LOSES_REQUESTS, SLOW, Till, assert_unknown, euros, hurry, new_id, reason,
};

#[tokio::test]
async fn a_payment_is_authorized_once_whatever_is_repeated() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;

    let payment = till.authorize(&request).await.unwrap();
    let again = till.authorize(&request).await.unwrap();

    assert_eq!(payment.payment_id, request.request_id);
    assert_eq!(payment.order_id, request.order_id);
    assert_eq!(payment.state(), PaymentState::Authorized);
    assert_eq!(payment.authorized, Some(euros(12, 50)));
    assert_eq!((&payment.captured, payment.version), (&Some(euros(0, 0)), 1));
    assert_eq!(payment, again);
    assert_eq!(payment, till.get(&payment.payment_id).await.unwrap());
    assert_eq!(till.events(&payment.payment_id).await, ["PaymentAuthorized"]);
    till.close().await;
}

#[tokio::test]
async fn fifty_duplicates_at_once_make_one_charge() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;

    let authorized = join_all((0..50).map(|_| till.authorize(&request))).await;
    let key = new_id();
    let captured = join_all((0..50).map(|_| till.capture(id, &key))).await;

    let authorized: Vec<_> = authorized.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(authorized.iter().all(|payment| *payment == authorized[0]));
    assert!(captured.iter().all(|it| it.as_ref().unwrap().captured == Some(euros(12, 50))));
    assert_eq!(till.events(id).await, ["PaymentAuthorized", "PaymentCaptured"]);
    let charges: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_charges")
        .fetch_one(&till.charges_db)
        .await
        .unwrap();
    assert_eq!(charges, 1);
    till.close().await;
}

#[tokio::test]
async fn a_declined_card_says_why_each_time() {
    let till = Till::open().await;

    for (number, why) in [
        ("4000 0000 0000 9995", "INSUFFICIENT_FUNDS"),
        ("4000 0000 0000 9979", "STOLEN_CARD"),
        ("5555 5555 5555 4444", "CARD_UNKNOWN"),
    ] {
        let request = till.payment_by(number).await;
        for _ in 0..2 {
            let refused = till.authorize(&request).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert_eq!(reason(&refused), "CARD_DECLINED");
            assert_eq!(mesh_rpc::error_metadata(&refused, "decline_reason").unwrap(), why);
        }
        let payment = till.get(&request.request_id).await.unwrap();
        assert_eq!((payment.state(), &*payment.decline_reason), (PaymentState::Declined, why));
        assert_eq!(till.events(&request.request_id).await, ["PaymentDeclined"]);
    }
    till.close().await;
}

#[tokio::test]
async fn an_unknown_card_token_is_declined() {
    let till = Till::open().await;
    let mut request = till.payment_by(GOOD).await;
    request.card_token = "nobody's".to_owned();

    let refused = till.authorize(&request).await.unwrap_err();

    assert_eq!(reason(&refused), "CARD_DECLINED");
    let why = mesh_rpc::error_metadata(&refused, "decline_reason").unwrap();
    assert_eq!(why, "CARD_TOKEN_UNKNOWN");
    till.close().await;
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_its_key() {
    let till = Till::open().await;

    for number in [LOSES_ANSWERS, LOSES_REQUESTS] {
        let request = till.payment_by(number).await;
        let authorized = till.authorize(&request).await.unwrap();
        let captured = till.capture(&request.request_id, &new_id()).await.unwrap();

        assert_eq!(authorized.state(), PaymentState::Authorized);
        assert_eq!(captured.captured, Some(euros(12, 50)));
    }
    let lost: i64 = sqlx::query_scalar("SELECT count(*) FROM lost_answers")
        .fetch_one(&till.charges_db)
        .await
        .unwrap();
    assert_eq!(lost, 4, "the sandbox really lost the first of each");
    till.close().await;
}

#[tokio::test]
async fn a_charge_whose_answer_was_never_recorded_is_found_and_not_made_again() {
    let till = Till::open().await;
    let request = till.payment_by(SLOW).await;
    let id = &request.request_id;
    assert_unknown(till.authorize_within(&request, hurry()).await);
    let before = till.charge(id).await.unwrap();

    let payment = till.authorize(&request).await.unwrap();

    assert_eq!(before.state(), ChargeState::Authorized);
    assert_eq!(payment.state(), PaymentState::Authorized);
    assert_eq!(till.charge(id).await.unwrap(), before);
    till.close().await;
}

#[tokio::test]
async fn without_a_processor_the_intent_is_kept_and_the_outcome_unknown() {
    let mut till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    till.stop_processor().await;

    assert_unknown(till.authorize_within(&request, hurry()).await);
    let waiting = till.get(&request.request_id).await.unwrap();
    till.start_processor().await;
    let payment = till.authorize(&request).await.unwrap();

    assert_eq!(waiting.state(), PaymentState::Authorizing);
    assert_eq!(payment.state(), PaymentState::Authorized);
    till.close().await;
}

#[tokio::test]
async fn the_same_id_with_other_content_is_refused() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let first = till.authorize(&request).await.unwrap();
    let mut dearer = request.clone();
    dearer.amount = Some(euros(12, 51));

    let refused = till.authorize(&dearer).await.unwrap_err();

    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "REQUEST_CONTENT_DIFFERS");
    assert_eq!(till.get(&request.request_id).await.unwrap(), first);
    till.close().await;
}
