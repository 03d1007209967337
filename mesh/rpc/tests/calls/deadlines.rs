//! A call ends at its deadline, on both sides and all the way down.

use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_rpc::{Channel, Code, Deadline, Disposition, disposition, timeout_request};
use tokio::net::{TcpListener, TcpStream};
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Callee, PATIENCE, config, get, saga};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_caller_gives_up_at_the_deadline_on_a_callee_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = Channel::new("caller", "silent", &[silent.local_addr().unwrap()]).unwrap();

    let status = get(&channel, timeout_request(saga("1"), SHORT)).await.unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(disposition(&status), Disposition::NotSent, "it never said that it speaks HTTP/2");
}

#[tokio::test]
async fn a_callee_ends_the_call_at_the_deadline_whether_or_not_the_caller_does() {
    let callee = Callee::start(config(), |_| pending()).await;
    let stream = TcpStream::connect(callee.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://callee/mesh.operator.v1.SagasService/GetSaga")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "100m")
        .body(Full::<Bytes>::new(Bytes::from_static(&[0, 0, 0, 0, 0])))
        .unwrap();

    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap();

    assert_eq!(response.unwrap().headers()["grpc-status"], "4");
    callee.stop().await;
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline() {
    let callee = Callee::echo().await;
    // Long enough for the first message on a busy machine.
    let request = timeout_request(HealthCheckRequest::default(), 10 * SHORT);

    let watch = HealthClient::new(callee.channel("stream")).watch(request).await;

    let mut watch = watch.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some(), "what came before the deadline arrives");
    assert_eq!(watch.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    callee.stop().await;
}

#[tokio::test]
async fn a_handler_passes_on_what_is_left_of_its_deadline() {
    let leaf = Callee::start(config(), |_| async { Ok(remaining_micros()) }).await;
    let to_leaf = leaf.channel("leaf");
    let middle = Callee::start(config(), move |id| {
        let to_leaf = to_leaf.clone();
        async move {
            let here: u64 = remaining_micros().parse().unwrap();
            let there: u64 = get(&to_leaf, Request::new(saga(&id))).await?.parse().unwrap();
            Ok(format!("{}", here - there))
        }
    })
    .await;
    let request = timeout_request(saga("1"), Duration::from_secs(2));

    let margin: u64 = get(&middle.channel("middle"), request).await.unwrap().parse().unwrap();

    assert!(margin >= 5_000, "5 ms are kept for the way back, not {margin} µs");
    middle.stop().await;
    leaf.stop().await;
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_its_contracts_and_a_longer_one_is_cut() {
    let callee = Callee::start(config(), |_| async { Ok(remaining_micros()) }).await;
    let channel = callee.channel("contract");

    let without: u64 = get(&channel, Request::new(saga("1"))).await.unwrap().parse().unwrap();
    let longer = timeout_request(saga("1"), Duration::from_secs(3600));
    let longer: u64 = get(&channel, longer).await.unwrap().parse().unwrap();

    assert!((4_000_000..=5_000_000).contains(&without), "{without}");
    assert!((29_000_000..=30_000_000).contains(&longer), "{longer}");
    callee.stop().await;
}

#[tokio::test]
async fn a_call_that_is_too_late_is_not_sent() {
    let callee = Callee::echo().await;

    let status = Deadline::after(Duration::from_micros(100))
        .scope(get(&callee.channel("late"), Request::new(saga("1"))))
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(disposition(&status), Disposition::NotSent);
    callee.stop().await;
}

#[tokio::test]
async fn a_spawned_part_of_a_call_keeps_its_deadline() {
    let deadline = Deadline::after(Duration::from_secs(1));

    let (spawned, plain) = deadline
        .scope(async {
            let spawned = Deadline::spawn(async { Ok::<_, Infallible>(Deadline::current()) });
            let plain = tokio::spawn(async { Deadline::current() });
            (spawned.await.unwrap().unwrap(), plain.await.unwrap())
        })
        .await;

    assert_eq!((spawned, plain), (Some(deadline), None));
}

fn remaining_micros() -> String {
    Deadline::current().expect("a handler has a deadline").remaining().as_micros().to_string()
}
