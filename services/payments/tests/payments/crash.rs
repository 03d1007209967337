//! Payments is killed at every step, and what was begun is finished by repeating it.

use mesh_testkit::{Platform, PlatformOptions};
use shop::{
    common::v1::Money,
    payments::v1::{AuthorizePaymentRequest, Payment, PaymentState},
};
use sqlx::PgPool;
use tonic::Status;

use crate::till::{Books, GOOD, LOSES_ANSWERS, euros, new_id};

/// A step: the label of its intent, the label of its outcome, and its keys.
#[derive(Clone, Copy, Debug)]
enum Step {
    Authorize,
    Capture,
    Refund,
    Undo,
}

impl Step {
    fn label(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::Undo => "undo",
        }
    }

    async fn take(
        self,
        books: &Books,
        request: &AuthorizePaymentRequest,
        key: &str,
    ) -> Result<Payment, Status> {
        let id = &request.request_id;
        match self {
            Self::Authorize => books.authorize(request).await,
            Self::Capture => books.take(id, key, euros(5, 0)).await,
            Self::Refund => books.refund(id, key, euros(1, 0)).await,
            Self::Undo => books.undo(id).await,
        }
    }

    /// What is taken and given back in the end.
    fn moves(self) -> (Option<Money>, Option<Money>) {
        let (captured, refunded) = match self {
            Self::Authorize | Self::Undo => (0, 0),
            Self::Capture => (5, 0),
            Self::Refund => (5, 3),
        };
        (Some(euros(captured, 0)), Some(euros(refunded, 0)))
    }

    async fn prepare(self, books: &Books, request: &AuthorizePaymentRequest) {
        if !matches!(self, Self::Authorize) {
            books.authorize(request).await.unwrap();
        }
        if matches!(self, Self::Refund) {
            books.take(&request.request_id, &new_id(), euros(5, 0)).await.unwrap();
            books.refund(&request.request_id, &new_id(), euros(2, 0)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn payments_may_die_at_any_point_of_any_step_and_charges_once() {
    let options = PlatformOptions::new(&["payments", "processor"]).open();
    let platform = Platform::start(options).await;
    let books = Books::new(
        platform.grpc("payments"),
        platform.grpc("processor"),
        PgPool::connect(platform.database_url("payments")).await.unwrap(),
        PgPool::connect(platform.database_url("processor")).await.unwrap(),
    );
    let payments = platform.service("payments");

    for (step, ends_as) in [
        (Step::Authorize, PaymentState::Authorized),
        (Step::Capture, PaymentState::Captured),
        (Step::Refund, PaymentState::Captured),
        (Step::Undo, PaymentState::Undone),
    ] {
        let label = step.label();
        for (card, point) in [
            (GOOD, format!("{label}_intent:before_commit")),
            (GOOD, format!("{label}_intent:after_commit")),
            (GOOD, format!("{label}:before_call")),
            (LOSES_ANSWERS, format!("{label}:after_call")),
            (GOOD, format!("{label}:before_commit")),
            (GOOD, format!("{label}:after_commit")),
        ] {
            let request = books.payment_by(card).await;
            step.prepare(&books, &request).await;
            let key = new_id();
            let starts = payments.arm(&point).await;

            let lost = step.take(&books, &request, &key).await;
            payments.restarted(starts).await;
            payments.ready().await;
            let found = step.take(&books, &request, &key).await;

            assert!(lost.is_err(), "{point}: {lost:?}");
            let found = found.unwrap();
            assert_eq!(found.state(), ends_as, "{point}");
            let (captured, refunded) = step.moves();
            assert_eq!((found.captured, found.refunded), (captured, refunded), "{point}");
            books.audit().await;
        }
    }
    drop(books);
    platform.shutdown().await;
}
