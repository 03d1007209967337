//! Taking a part of what is reserved, and undoing that.

use futures::future::join_all;
use prost::Message as _;
use shop::{
    payments::v1::{PaymentCaptured, PaymentState},
    processor::v1::ChargeState,
};
use uuid::Uuid;

use crate::till::{
    GOOD, LOSES_ANSWERS, LOSES_REQUESTS, REFUSES_CAPTURE, SLOW, Till, assert_unknown, blame, euros,
    hurry, new_id, why,
};

#[tokio::test]
async fn a_part_is_captured_once_and_the_rest_is_free_again() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let request = till.payment_by(number).await;
        let id = &request.request_id;
        till.authorize(&request).await.unwrap();
        let key = new_id();

        let taken = join_all((0..20).map(|_| till.take(id, &key, euros(5, 0)))).await;
        let again = till.take(id, &key, euros(5, 0)).await.unwrap();
        let differs = till.take(id, &key, euros(5, 1)).await.unwrap_err();
        let all = till.capture(id, &key).await.unwrap_err();
        let rest = till.take(id, &new_id(), euros(7, 50)).await.unwrap_err();

        assert!(taken.into_iter().all(|it| it.unwrap() == again), "twenty at once");
        assert_eq!(again.state(), PaymentState::Captured);
        assert_eq!(again.amount, Some(euros(12, 50)));
        assert_eq!((&again.authorized, &again.captured), (&Some(euros(0, 0)), &Some(euros(5, 0))));
        assert_eq!(blame(differs), why("REQUEST_CONTENT_DIFFERS", "request_id"));
        assert_eq!(blame(all), why("REQUEST_CONTENT_DIFFERS", "request_id"));
        assert_eq!(blame(rest), why("PAYMENT_NOT_AUTHORIZED", "payment_id"));
        let charge = till.charge(id).await.unwrap();
        assert_eq!((charge.state(), &charge.captured), (ChargeState::Captured, &again.captured));
        assert_eq!(charge.authorized, Some(euros(0, 0)));
        assert_eq!(till.events(id).await, ["PaymentAuthorized", "PaymentCaptured"]);
        assert_eq!(till.released(id).await, Some(euros(7, 50)));
    }
    till.close().await;
}

#[tokio::test]
async fn more_than_is_reserved_is_not_captured_and_all_of_it_is() {
    let till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let reserved = till.get(id).await.unwrap();
    let mut dollars = euros(1, 0);
    dollars.currency_code = "USD".to_owned();

    let too_large = till.take(id, &new_id(), euros(12, 51)).await.unwrap_err();
    let foreign = till.take(id, &new_id(), dollars).await.unwrap_err();
    let untouched = till.get(id).await.unwrap();
    let all = till.take(id, &new_id(), euros(12, 50)).await.unwrap();

    assert_eq!(blame(too_large), why("CAPTURE_TOO_LARGE", "amount"));
    assert_eq!(blame(foreign), why("CURRENCY_DIFFERS", "amount.currency_code"));
    assert_eq!(untouched, reserved);
    assert_eq!(all.captured, Some(euros(12, 50)));
    assert_eq!(till.released(id).await, None);
    till.close().await;
}

#[tokio::test]
async fn a_refused_part_leaves_all_of_it_reserved() {
    let till = Till::open().await;
    let request = till.payment_by(REFUSES_CAPTURE).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();

    let refused = till.take(id, &new_id(), euros(5, 0)).await.unwrap_err();
    let reserved = till.get(id).await.unwrap();
    let undone = till.undo(id).await.unwrap();

    assert_eq!(blame(refused), why("CAPTURE_REFUSED", "payment_id"));
    assert_eq!(reserved.authorized, Some(euros(12, 50)));
    assert_eq!(undone.state(), PaymentState::Undone);
    till.close().await;
}

#[tokio::test]
async fn a_captured_part_is_undone_and_nothing_stays_taken() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let request = till.payment_by(number).await;
        let id = &request.request_id;
        till.authorize(&request).await.unwrap();
        till.take(id, &new_id(), euros(5, 0)).await.unwrap();

        let key = new_id();
        let at_once = join_all((0..20).map(|_| till.undo_by(id, &key, None))).await;
        let undone = till.undo_by(id, &key, None).await.unwrap();
        let again = till.undo(id).await.unwrap();

        assert!(at_once.into_iter().all(|it| it.unwrap() == undone));
        assert_eq!(undone, again);
        assert_eq!(undone.state(), PaymentState::Undone);
        assert_eq!((&undone.captured, &undone.refunded), (&Some(euros(5, 0)), &Some(euros(5, 0))));
        let announced = ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"];
        assert_eq!(till.events(id).await, announced);
    }
    till.close().await;
}

#[tokio::test]
async fn a_part_that_is_still_capturing_is_settled_and_given_back() {
    let till = Till::open().await;
    let request = till.payment_by(SLOW).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    let key = new_id();
    assert_unknown(till.take_within(id, &key, Some(euros(5, 0)), hurry()).await);
    assert_eq!(till.get(id).await.unwrap().state(), PaymentState::Capturing);

    let undone = till.undo_within(id, Some(mesh_testkit::patience())).await.unwrap();
    let late = till.take(id, &key, euros(5, 0)).await.unwrap_err();

    assert_eq!(undone.state(), PaymentState::Undone);
    assert_eq!((&undone.captured, &undone.refunded), (&Some(euros(5, 0)), &Some(euros(5, 0))));
    assert_eq!(blame(late), why("CANCELLED_BEFORE_ARRIVAL", "payment_id"));
    till.close().await;
}

#[tokio::test]
async fn a_capture_that_is_older_than_captures_of_parts_takes_all_of_it() {
    let mut till = Till::open().await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    till.stop_processor().await;
    let key = new_id();
    assert_unknown(till.capture_within(id, &key, hurry()).await);
    let before = sqlx::query("UPDATE payments SET capture_minor = NULL");
    before.execute(&till.db).await.unwrap();

    till.start_processor().await;
    let captured = till.capture(id, &key).await.unwrap();

    assert_eq!(captured.state(), PaymentState::Captured);
    assert_eq!(captured.captured, Some(euros(12, 50)));
    till.close().await;
}

impl Till {
    /// What the event of the capture says is free again.
    async fn released(&self, payment: &str) -> Option<shop::common::v1::Money> {
        let body: Vec<u8> = sqlx::query_scalar(
            "SELECT body FROM log WHERE key = $1 AND type = 'shop.payments.v1.PaymentCaptured'",
        )
        .bind(payment.parse::<Uuid>().unwrap())
        .fetch_one(&self.db)
        .await
        .unwrap();
        PaymentCaptured::decode(&*body).unwrap().released
    }
}
