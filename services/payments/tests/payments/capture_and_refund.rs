//! Taking what is reserved, and giving it back.

use futures::future::join_all;
use shop::payments::v1::PaymentState;
use tonic::Code;

use crate::till::{GOOD, REFUSES_CAPTURE, REFUSES_FIRST_REFUND, Till, euros, new_id, reason};

#[tokio::test]
async fn a_payment_is_captured_once_and_by_one_key() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let key = new_id();

    let captured = till.capture(id, &key).await.unwrap();
    let again = till.capture(id, &key).await.unwrap();
    let other = till.capture(id, &new_id()).await.unwrap_err();
    let authorized = till.authorize(&request).await.unwrap();

    assert_eq!(captured.state(), PaymentState::Captured);
    assert_eq!(
        (&captured.authorized, &captured.captured),
        (&Some(euros(0, 0)), &Some(euros(12, 50)))
    );
    assert_eq!(captured, again);
    assert_eq!(reason(&other), "PAYMENT_NOT_AUTHORIZED");
    assert_eq!(captured, authorized);
    assert_eq!(till.events(id).await, ["PaymentAuthorized", "PaymentCaptured"]);
    till.close().await;
}

#[tokio::test]
async fn a_capture_key_stands_for_one_payment() {
    let till = Till::open().await;
    let (one, two) = (till.payment_by(GOOD).await, till.payment_by(GOOD).await);
    till.authorize(&one).await.unwrap();
    till.authorize(&two).await.unwrap();
    let key = new_id();
    till.capture(&one.request_id, &key).await.unwrap();

    let refused = till.capture(&two.request_id, &key).await.unwrap_err();

    assert_eq!(reason(&refused), "REQUEST_CONTENT_DIFFERS");
    till.close().await;
}

#[tokio::test]
async fn what_is_not_authorized_is_not_captured() {
    let till = Till::open().await;
    let declined = till.payment_by("4000 0000 0000 0002").await;
    till.authorize(&declined).await.unwrap_err();

    let unknown = till.capture(&new_id(), &new_id()).await.unwrap_err();
    let refused = till.capture(&declined.request_id, &new_id()).await.unwrap_err();

    assert_eq!(
        (unknown.code(), reason(&unknown)),
        (Code::NotFound, "PAYMENT_NOT_FOUND".to_owned())
    );
    assert_eq!(reason(&refused), "PAYMENT_NOT_AUTHORIZED");
    till.close().await;
}

#[tokio::test]
async fn a_refused_capture_leaves_the_amount_reserved_until_it_is_undone() {
    let till = Till::open().await;
    let request = till.payment_by(REFUSES_CAPTURE).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let key = new_id();

    let refused = till.capture(id, &key).await.unwrap_err();
    let again = till.capture(id, &key).await.unwrap_err();
    let reserved = till.get(id).await.unwrap();
    let undone = till.undo(id).await.unwrap();

    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        (reason(&refused), reason(&again)),
        ("CAPTURE_REFUSED".into(), "CAPTURE_REFUSED".into())
    );
    assert_eq!(reserved.state(), PaymentState::Authorized);
    assert_eq!(undone.state(), PaymentState::Undone);
    assert_eq!(till.events(id).await, ["PaymentAuthorized", "PaymentVoided"]);
    till.close().await;
}

#[tokio::test]
async fn a_refund_is_given_once_and_never_more_than_was_taken() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let early = till.refund(id, &new_id(), euros(1, 0)).await.unwrap_err();
    till.capture(id, &new_id()).await.unwrap();
    let key = new_id();

    let refunds = join_all((0..20).map(|_| till.refund(id, &key, euros(2, 50)))).await;
    let differs = till.refund(id, &key, euros(2, 51)).await.unwrap_err();
    let too_large = till.refund(id, &new_id(), euros(10, 1)).await.unwrap_err();
    let mut dollars = euros(1, 0);
    dollars.currency_code = "USD".to_owned();
    let foreign = till.refund(id, &new_id(), dollars).await.unwrap_err();
    let rest = till.refund(id, &new_id(), euros(10, 0)).await.unwrap();

    assert_eq!(reason(&early), "PAYMENT_NOT_CAPTURED");
    assert!(refunds.into_iter().all(|it| it.unwrap().refunded == Some(euros(2, 50))));
    assert_eq!(reason(&differs), "REQUEST_CONTENT_DIFFERS");
    assert_eq!(reason(&too_large), "REFUND_TOO_LARGE");
    assert_eq!(
        (foreign.code(), reason(&foreign)),
        (Code::InvalidArgument, "CURRENCY_DIFFERS".into())
    );
    assert_eq!((rest.state(), rest.refunded), (PaymentState::Captured, Some(euros(12, 50))));
    let announced = ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded", "PaymentRefunded"];
    assert_eq!(till.events(id).await, announced);
    till.close().await;
}

#[tokio::test]
async fn a_refused_refund_succeeds_when_it_is_repeated() {
    let till = Till::open().await;
    let request = till.payment_by(REFUSES_FIRST_REFUND).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    till.capture(id, &new_id()).await.unwrap();
    let key = new_id();

    let refused = till.refund(id, &key, euros(12, 50)).await.unwrap_err();
    let another = till.refund(id, &new_id(), euros(0, 1)).await.unwrap_err();
    let refunded = till.refund(id, &key, euros(12, 50)).await.unwrap();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, "REFUND_REFUSED".into())
    );
    assert_eq!(reason(&another), "REFUND_TOO_LARGE", "what is on its way back is spoken for");
    assert_eq!(refunded.refunded, Some(euros(12, 50)));
    till.close().await;
}
