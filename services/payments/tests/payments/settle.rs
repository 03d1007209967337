//! What was left open is settled without anybody asking again.

use mesh_testkit::eventually;
use shop::payments::v1::PaymentState;

use crate::till::{
    GOOD, REFUSES_FIRST_REFUND, SLOW, Till, assert_unknown, euros, hurry, new_id, reason,
};

/// Milliseconds after which the sweeper of these tests takes over.
const SOON: u32 = 300;

impl Till {
    async fn reaches(&self, payment: &str, state: PaymentState) {
        let there = async || self.get(payment).await.unwrap().state() == state;
        eventually("the sweeper to settle the payment", there).await;
    }
}

#[tokio::test]
async fn a_sweeper_settles_an_authorization_a_capture_and_an_undo() {
    let till = Till::open_sweeping_after(SOON).await;
    let request = till.payment_by(SLOW).await;
    let id = &request.request_id;

    assert_unknown(till.authorize_within(&request, hurry()).await);
    till.reaches(id, PaymentState::Authorized).await;
    assert_unknown(till.capture_within(id, &new_id(), hurry()).await);
    till.reaches(id, PaymentState::Captured).await;
    assert_unknown(till.undo_within(id, hurry()).await);
    till.reaches(id, PaymentState::Undone).await;

    let payment = till.get(id).await.unwrap();
    assert_eq!((payment.captured, payment.refunded), (Some(euros(12, 50)), Some(euros(12, 50))));
    till.close().await;
}

#[tokio::test]
async fn a_sweeper_asks_again_once_the_processor_is_back() {
    let mut till = Till::open_sweeping_after(SOON).await;
    let request = till.payment_by(GOOD).await;
    let id = &request.request_id;
    till.stop_processor().await;
    assert_unknown(till.authorize_within(&request, hurry()).await);

    till.start_processor().await;

    till.reaches(id, PaymentState::Authorized).await;
    assert_eq!(till.events(id).await, ["PaymentAuthorized"]);
    till.close().await;
}

#[tokio::test]
async fn a_sweeper_repeats_a_refund_that_was_refused() {
    let till = Till::open_sweeping_after(SOON).await;
    let request = till.payment_by(REFUSES_FIRST_REFUND).await;
    let id = &request.request_id;
    till.authorize(&request).await.unwrap();
    till.capture(id, &new_id()).await.unwrap();

    let refused = till.refund(id, &new_id(), euros(3, 0)).await.unwrap_err();

    assert_eq!(reason(&refused), "REFUND_REFUSED");
    let refunded = async || till.get(id).await.unwrap().refunded == Some(euros(3, 0));
    eventually("the refund to be given", refunded).await;
    till.close().await;
}
