//! Several refunds of one payment: each is told, and together they never exceed what was taken.

use futures::future::join_all;
use shop::payments::v1::{PaymentState, RefundState};
use tonic::Code;

use crate::till::{
    GOOD, LOSES_ANSWERS, LOSES_REQUESTS, REFUSES_FIRST_REFUND, SLOW, Till, assert_unknown, blame,
    euros, hurry, new_id, why,
};

impl Till {
    /// A payment of which 10.00 EUR were taken.
    async fn taken_by(&self, number: &str) -> String {
        let request = self.payment_by(number).await;
        self.authorize(&request).await.unwrap();
        self.take(&request.request_id, &new_id(), euros(10, 0)).await.unwrap();
        request.request_id
    }

    /// Whole euros and the state of each refund, the oldest first.
    async fn given(&self, payment: &str) -> Vec<(i64, RefundState)> {
        let refunds = self.refunds(payment).await;
        for refund in &refunds {
            let is_done = refund.state() == RefundState::Succeeded;
            assert_eq!(refund.payment_id, payment);
            assert!(refund.create_time.is_some());
            assert_eq!(refund.complete_time.is_some(), is_done);
        }
        refunds.iter().map(|it| (it.amount.as_ref().unwrap().units, it.state())).collect()
    }
}

use RefundState::{Pending, Succeeded};

#[tokio::test]
async fn each_refund_is_told_with_its_amount_and_state() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let id = &till.taken_by(number).await;
        let keys = [new_id(), new_id(), new_id()];

        let first = till.refund(id, &keys[0], euros(2, 0)).await.unwrap();
        let second = till.refund(id, &keys[1], euros(3, 0)).await.unwrap();
        let again = till.refund(id, &keys[0], euros(2, 0)).await.unwrap();
        let differs = till.refund(id, &keys[0], euros(2, 1)).await.unwrap_err();
        let too_large = till.refund(id, &new_id(), euros(5, 1)).await.unwrap_err();
        let third = till.refund(id, &keys[2], euros(5, 0)).await.unwrap();
        let nothing_left = till.refund(id, &new_id(), euros(0, 1)).await.unwrap_err();

        assert_eq!((first.refunded, second.refunded), (Some(euros(2, 0)), Some(euros(5, 0))));
        assert_eq!(again.refunded, Some(euros(5, 0)), "nothing is given twice");
        assert_eq!(blame(differs), why("REQUEST_CONTENT_DIFFERS", "request_id"));
        assert_eq!(blame(too_large), why("REFUND_TOO_LARGE", "amount"));
        assert_eq!(blame(nothing_left), why("REFUND_TOO_LARGE", "amount"));
        assert_eq!((third.state(), third.refunded), (PaymentState::Captured, Some(euros(10, 0))));
        assert_eq!(till.given(id).await, [(2, Succeeded), (3, Succeeded), (5, Succeeded)]);
        let told: Vec<_> = till.refunds(id).await.into_iter().map(|it| it.refund_id).collect();
        assert_eq!(told, keys);
    }
    till.close().await;
}

#[tokio::test]
async fn thirty_refunds_at_once_give_back_what_was_taken_and_no_more() {
    let till = Till::open().await;
    let id = &till.taken_by(GOOD).await;

    let refunds = (0..30).map(|_| async { till.refund(id, &new_id(), euros(1, 0)).await });
    let answers = join_all(refunds).await;

    let (given, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (10, 20));
    for answer in refused {
        assert_eq!(blame(answer.unwrap_err()), why("REFUND_TOO_LARGE", "amount"));
    }
    assert_eq!(till.get(id).await.unwrap().refunded, Some(euros(10, 0)));
    assert_eq!(till.given(id).await, [(1, Succeeded); 10]);
    till.close().await;
}

#[tokio::test]
async fn a_refund_is_given_while_another_one_is_unknown() {
    let till = Till::open().await;
    let id = &till.taken_by(SLOW).await;
    let key = new_id();
    assert_unknown(till.refund_within(id, &key, euros(6, 0), hurry()).await);

    let before = till.get(id).await.unwrap();
    let too_large = till.refund(id, &new_id(), euros(5, 0)).await.unwrap_err();
    let other = till.refund(id, &new_id(), euros(4, 0)).await.unwrap();
    let between = till.given(id).await;
    let late = till.refund(id, &key, euros(6, 0)).await.unwrap();

    assert_eq!(before.refunded, Some(euros(0, 0)));
    assert_eq!(blame(too_large), why("REFUND_TOO_LARGE", "amount"));
    assert_eq!(other.refunded, Some(euros(4, 0)));
    assert_eq!(between, [(6, Pending), (4, Succeeded)]);
    assert_eq!(late.refunded, Some(euros(10, 0)));
    assert_eq!(till.given(id).await, [(6, Succeeded), (4, Succeeded)]);
    till.close().await;
}

#[tokio::test]
async fn a_refused_refund_stays_pending_and_holds_up_no_other() {
    let till = Till::open().await;
    let id = &till.taken_by(REFUSES_FIRST_REFUND).await;
    let key = new_id();

    let refused = till.refund(id, &key, euros(3, 0)).await.unwrap_err();
    let told = till.given(id).await;
    let other = till.refund(id, &new_id(), euros(4, 0)).await.unwrap();
    let again = till.refund(id, &key, euros(3, 0)).await.unwrap();

    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(blame(refused), why("REFUND_REFUSED", "payment_id"));
    assert_eq!(told, [(3, Pending)]);
    assert_eq!((other.refunded, again.refunded), (Some(euros(4, 0)), Some(euros(7, 0))));
    assert_eq!(till.given(id).await, [(3, Succeeded), (4, Succeeded)]);
    till.close().await;
}

#[tokio::test]
async fn an_undo_after_refunds_gives_back_what_is_left_as_one_more() {
    let till = Till::open().await;

    for number in [GOOD, LOSES_ANSWERS, LOSES_REQUESTS] {
        let id = &till.taken_by(number).await;
        till.refund(id, &new_id(), euros(2, 0)).await.unwrap();
        till.refund(id, &new_id(), euros(3, 0)).await.unwrap();

        let undone = till.undo(id).await.unwrap();
        let late = till.refund(id, &new_id(), euros(1, 0)).await.unwrap_err();

        assert_eq!((undone.state(), undone.refunded), (PaymentState::Undone, Some(euros(10, 0))));
        assert_eq!(blame(late), why("PAYMENT_NOT_CAPTURED", "payment_id"));
        assert_eq!(till.given(id).await, [(2, Succeeded), (3, Succeeded), (5, Succeeded)]);
    }
    till.close().await;
}

#[tokio::test]
async fn an_undo_settles_a_refund_that_is_unknown_first() {
    let till = Till::open().await;
    let id = &till.taken_by(SLOW).await;
    assert_unknown(till.refund_within(id, &new_id(), euros(6, 0), hurry()).await);

    let undone = till.undo_within(id, Some(mesh_testkit::patience())).await.unwrap();

    assert_eq!((undone.state(), undone.refunded), (PaymentState::Undone, Some(euros(10, 0))));
    assert_eq!(till.given(id).await, [(6, Succeeded), (4, Succeeded)]);
    till.close().await;
}

#[tokio::test]
async fn an_undo_after_a_refused_refund_gives_back_both() {
    let till = Till::open().await;
    let id = &till.taken_by(REFUSES_FIRST_REFUND).await;
    till.refund(id, &new_id(), euros(3, 0)).await.unwrap_err();

    let undone = till.undo(id).await.unwrap();

    assert_eq!((undone.state(), undone.refunded), (PaymentState::Undone, Some(euros(10, 0))));
    assert_eq!(till.given(id).await, [(3, Succeeded), (7, Succeeded)]);
    till.close().await;
}
