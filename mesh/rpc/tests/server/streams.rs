//! Deadline, cancellation and flow control hold for streams of every kind.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use mesh_policy::values;
use mesh_rpc::Code;
use tokio::time::sleep;
use tonic::Request;

use crate::support::{Alive, Callee, Client, Handlers, MS, Raw, config, echo, empty, eventually};

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_at_its_deadline_and_does_not_run_ahead() {
    let (alive, made) = (Alive::default(), Arc::new(AtomicUsize::new(0)));
    let (lives, counter) = (alive.clone(), Arc::clone(&made));
    let handlers = Handlers::default().down(move |_| {
        let (life, counter) = (lives.begin(), Arc::clone(&counter));
        stream::repeat_with(move || {
            let _alive = &life;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(echo(&"x".repeat(16 << 10)))
        })
        .boxed()
    });
    let callee = Callee::start(config(), values::Server::default(), handlers).await;
    let mut raw = Raw::connect(&callee).await;

    let response = raw.post("Down", "200m", empty()).await;

    assert_eq!(response.status(), 200, "it has begun");
    eventually("the handler ends", || alive.count() == 0 && callee.in_flight("shed") == 0).await;
    let made = made.load(Ordering::SeqCst);
    assert!((1..200).contains(&made), "{made} messages for a window of 64 KiB");
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4", "told when it reads at last");
    callee.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_bounded_by_the_deadline() {
    let alive = Alive::default();
    let lives = alive.clone();
    let handlers = Handlers::default().up(move |mut requests| {
        let life = lives.begin();
        async move {
            let _alive = life;
            while requests.message().await?.is_some() {}
            Ok(echo("ended"))
        }
    });
    let callee = Callee::start(config(), values::Server::default(), handlers).await;
    let mut raw = Raw::connect(&callee).await;
    let trickle = stream::unfold((), |()| async {
        sleep(5 * MS).await;
        Some((Ok(Frame::data(Bytes::from_static(&[0]))), ()))
    });

    let response = raw.post("Up", "100m", BoxBody::new(StreamBody::new(trickle))).await;

    assert_eq!(response.headers()["grpc-status"], "4");
    eventually("the handler ends", || alive.count() == 0).await;
    callee.stop().await;
}

#[tokio::test]
async fn who_reads_a_bidirectional_stream_in_a_task_of_its_own_is_told_at_the_deadline() {
    let told = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&told);
    let handlers = Handlers::default().both(move |mut requests| {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let ended = loop {
                match requests.message().await {
                    Ok(Some(_)) => {}
                    ended => break ended,
                }
            };
            *seen.lock().unwrap() = Some(ended.map_err(|status| status.code()));
        });
        stream::pending().boxed()
    });
    let callee = Callee::start(config(), values::Server::default(), handlers).await;
    let mut raw = Raw::connect(&callee).await;

    let response = raw.post("Both", "100m", BoxBody::new(StreamBody::new(stream::pending()))).await;

    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
    eventually("the reader is told", || {
        matches!(*told.lock().unwrap(), Some(Err(Code::DeadlineExceeded)))
    })
    .await;
    callee.stop().await;
}

#[tokio::test]
async fn a_stream_that_panics_ends_as_an_internal_error() {
    let handlers = Handlers::default().down(|_| {
        stream::iter([0, 1, 2, 3])
            .map(|tick| if tick < 3 { Ok(echo("tick")) } else { panic!("secret") })
            .boxed()
    });
    let callee = Callee::start(config(), values::Server::default(), handlers).await;

    let mut ticks = Client(callee.channel()).down(Request::new(echo(""))).await.unwrap();
    let status = loop {
        match ticks.message().await {
            Ok(tick) => assert!(tick.is_some(), "no end without a word"),
            Err(status) => break status,
        }
    };

    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    let metrics = mesh_runtime::metrics::render().unwrap();
    assert!(metrics.contains("mesh_rpc_server_panics_total"), "counted");
    callee.stop().await;
}
