//! Undoing in every state, before, during and after what it undoes.

use futures::future::{join, join_all};
use shop::{payments::v1::PaymentState, processor::v1::ChargeState};
use tonic::Code;

use crate::till::{
    GOOD, LOSES_ANSWERS, LOSES_REQUESTS, REFUSES_FIRST_REFUND, SLOW, Till, assert_unknown, blame,
    euros, hurry, new_id, reason, why,
};

#[tokio::test]
async fn an_undo_that_comes_first_refuses_what_comes_later() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;

    let undone = till.undo(id).await.unwrap();
    let again = till.undo(id).await.unwrap();
    let authorize = till.authorize(&request).await.unwrap_err();
    let capture = till.capture(id, &new_id()).await.unwrap_err();
    let charge = till.charge(id).await.unwrap_err();

    assert_eq!((undone.state(), again.state()), (PaymentState::Undone, PaymentState::Undone));
    assert_eq!(authorize.code(), Code::FailedPrecondition);
    assert_eq!(reason(&authorize), "CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(reason(&capture), "CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(charge.code(), Code::NotFound, "the card was never asked");
    assert!(till.events(id).await.is_empty());
    till.close().await;
}

#[tokio::test]
async fn an_authorized_payment_is_voided() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let request = till.payment_by(number).await;
        let id = &request.request_id;
        till.authorize(&request).await.unwrap();

        let undone = till.undo(id).await.unwrap();
        let again = till.undo(id).await.unwrap();
        let late = till.authorize(&request).await.unwrap_err();

        assert_eq!(undone.state(), PaymentState::Undone);
        assert_eq!(undone, again);
        assert_eq!(undone.authorized, Some(euros(0, 0)));
        assert_eq!(reason(&late), "CANCELLED_BEFORE_ARRIVAL");
        assert_eq!(till.charge(id).await.unwrap().state(), ChargeState::Voided);
        assert_eq!(till.events(id).await, ["PaymentAuthorized", "PaymentVoided"]);
    }
    till.close().await;
}

#[tokio::test]
async fn a_payment_that_is_still_authorizing_is_undone() {
    let till = Till::open().await;
    let request = till.payment_by(SLOW).await;
    let id = &request.request_id;
    assert_unknown(till.authorize_within(&request, hurry()).await);
    assert_eq!(till.get(id).await.unwrap().state(), PaymentState::Authorizing);

    let undone = till.undo(id).await.unwrap();
    let late = till.authorize(&request).await.unwrap_err();

    assert_eq!(undone.state(), PaymentState::Undone);
    assert_eq!(till.charge(id).await.unwrap().state(), ChargeState::Voided);
    assert_eq!(reason(&late), "CANCELLED_BEFORE_ARRIVAL");
    till.close().await;
}

#[tokio::test]
async fn a_payment_that_never_reached_the_processor_leaves_a_mark_there() {
    let mut till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.stop_processor().await;
    assert_unknown(till.authorize_within(&request, hurry()).await);
    assert_unknown(till.undo_within(id, hurry()).await);
    let undoing = till.get(id).await.unwrap();
    till.start_processor().await;

    let late = till.authorize(&request).await.unwrap_err();
    let undone = till.undo(id).await.unwrap();

    assert_eq!(undoing.state(), PaymentState::Undoing);
    assert_eq!(reason(&late), "CANCELLED_BEFORE_ARRIVAL");
    assert_eq!(undone.state(), PaymentState::Undone);
    let charge = till.charge(id).await.unwrap();
    assert_eq!((charge.state(), charge.amount), (ChargeState::Voided, None));
    till.close().await;
}

#[tokio::test]
async fn a_declined_payment_stays_declined() {
    let till = Till::open().await;
    let request = till.payment_by("4000 0000 0000 0069").await;
    till.authorize(&request).await.unwrap_err();

    let undone = till.undo(&request.request_id).await.unwrap();

    assert_eq!(undone.state(), PaymentState::Declined);
    till.close().await;
}

#[tokio::test]
async fn a_payment_that_is_still_capturing_is_settled_and_given_back() {
    let till = Till::open().await;
    let request = till.payment_by(SLOW).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let key = new_id();
    assert_unknown(till.capture_within(id, &key, hurry()).await);
    assert_eq!(till.get(id).await.unwrap().state(), PaymentState::Capturing);

    let undone = till.undo_within(id, Some(mesh_testkit::patience())).await.unwrap();
    let late = till.capture(id, &key).await.unwrap_err();

    assert_eq!(undone.state(), PaymentState::Undone);
    assert_eq!((&undone.captured, &undone.refunded), (&Some(euros(12, 50)), &Some(euros(12, 50))));
    assert_eq!(reason(&late), "CANCELLED_BEFORE_ARRIVAL");
    let announced = ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"];
    assert_eq!(till.events(id).await, announced);
    till.close().await;
}

#[tokio::test]
async fn a_captured_payment_gives_back_what_is_left() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let request = till.payment_by(number).await;
        let id = &request.request_id;
        till.authorize(&request).await.unwrap();
        till.capture(id, &new_id()).await.unwrap();
        till.refund(id, &new_id(), euros(2, 0)).await.unwrap();

        let undone = till.undo(id).await.unwrap();
        let again = till.undo(id).await.unwrap();

        assert_eq!(undone.state(), PaymentState::Undone);
        assert_eq!(undone.refunded, Some(euros(12, 50)));
        assert_eq!(undone, again);
        let refund = till.refund(id, &new_id(), euros(0, 1)).await.unwrap_err();
        assert_eq!(reason(&refund), "PAYMENT_NOT_CAPTURED");
    }
    till.close().await;
}

#[tokio::test]
async fn a_refund_that_is_refused_is_repeated_with_the_undo() {
    let till = Till::open().await;
    let request = till.payment_by(REFUSES_FIRST_REFUND).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    till.capture(id, &new_id()).await.unwrap();

    let refused = till.undo(id).await.unwrap_err();
    let undone = till.undo(id).await.unwrap();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, "REFUND_REFUSED".into())
    );
    assert_eq!((undone.state(), undone.refunded), (PaymentState::Undone, Some(euros(12, 50))));
    till.close().await;
}

#[tokio::test]
async fn an_undo_under_the_key_of_another_one_is_refused_and_leaves_nothing_behind() {
    let till = Till::open().await;
    let (key, first) = (new_id(), new_id());
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.undo_by(&first, &key, None).await.unwrap();
    let before = till.rows().await;

    let refused = till.undo_by(id, &key, None).await.unwrap_err();
    let after = till.rows().await;
    let both = join(till.undo_by(id, &key, None), till.authorize(&request)).await;

    assert_eq!(blame(refused), why("REQUEST_CONTENT_DIFFERS", "request_id"));
    assert_eq!(after, before);
    assert_eq!(blame(both.0.unwrap_err()), why("REQUEST_CONTENT_DIFFERS", "request_id"));
    assert_eq!(both.1.unwrap().state(), PaymentState::Authorized);
    till.close().await;
}

#[tokio::test]
async fn an_undo_races_what_it_undoes_and_nothing_stays_taken() {
    let till = Till::open().await;
    let mut requests = Vec::new();
    for _ in 0..12 {
        requests.push(till.payment_by(GOOD).await);
    }

    let race = async |request| {
        let buy = async {
            till.authorize(request).await?;
            till.capture(&request.request_id, &new_id()).await
        };
        join(buy, till.undo(&request.request_id)).await
    };
    let ends = join_all(requests.iter().map(race)).await;

    for (request, (bought, undone)) in requests.iter().zip(ends) {
        assert_eq!(reason(&bought.unwrap_err()), "CANCELLED_BEFORE_ARRIVAL");
        assert_eq!(undone.unwrap().state(), PaymentState::Undone);
        let payment = till.get(&request.request_id).await.unwrap();
        assert_eq!((payment.state(), &payment.captured), (PaymentState::Undone, &payment.refunded));
    }
    till.close().await;
}
