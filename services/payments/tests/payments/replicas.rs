//! Two replicas on one database, each with batches of its own.

use futures::{future::join_all, join};
use mesh_runtime::{ServiceConfig, Started};
use shop::payments::v1::PaymentState;
use tonic::Code;

use crate::till::{Books, GOOD, NEVER, NO_BROKER, Till, reason};

#[tokio::test]
async fn a_new_payment_is_made_once_whichever_replicas_are_asked_at_once() {
    let till = Till::open().await;
    let (other, started) = another(&till).await;
    let wanted = join_all((0..40).map(|_| till.payment_by(GOOD))).await;

    // The same payments in opposite order, so that neither has rows to wait at when both decide.
    let (here, there) = join!(
        join_all(wanted.iter().map(|payment| till.authorize(payment))),
        join_all(wanted.iter().rev().map(|payment| other.authorize(payment))),
    );

    for (one, same) in here.into_iter().zip(there.into_iter().rev()) {
        assert_eq!(one.unwrap(), same.unwrap());
    }
    for payment in &wanted {
        assert_eq!(till.events(&payment.request_id).await, ["PaymentAuthorized"]);
    }
    end(other, started).await;
    till.close().await;
}

#[tokio::test]
async fn a_payment_is_undone_or_refused_whichever_replica_hears_of_it_first() {
    let till = Till::open().await;
    let (other, started) = another(&till).await;
    let wanted = join_all((0..40).map(|_| till.payment_by(GOOD))).await;

    let (authorized, undone) = join!(
        join_all(wanted.iter().map(|payment| till.authorize(payment))),
        join_all(wanted.iter().rev().map(|payment| other.undo(&payment.request_id))),
    );

    for answer in undone {
        answer.unwrap();
    }
    for refused in authorized.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(reason(&refused), "CANCELLED_BEFORE_ARRIVAL");
    }
    for payment in &wanted {
        assert_eq!(till.get(&payment.request_id).await.unwrap().state(), PaymentState::Undone);
    }
    end(other, started).await;
    till.close().await;
}

/// One more replica of payments, on the same database.
async fn another(till: &Till) -> (Books, Started) {
    let service = ServiceConfig {
        database_url: Some(till.database.url().parse().unwrap()),
        nats_url: Some(NO_BROKER.parse().unwrap()),
        discovery: format!("processor=static:{}", till.processor_addr),
        ..ServiceConfig::default()
    };
    let started =
        payments::start(payments::Config { service, settle_after_ms: NEVER }).await.unwrap();
    let pools = (till.db.clone(), till.charges_db.clone());
    (Books::new(started.grpc, till.processor_addr, pools.0, pools.1), started)
}

async fn end(books: Books, started: Started) {
    drop(books);
    started.service.stop();
    started.service.finish().await;
}
