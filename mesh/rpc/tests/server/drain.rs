//! The end, in its order, for calls of every shape.

use std::{io, time::Duration};

use futures::{StreamExt as _, stream};
use mesh_policy::values;
use mesh_rpc::{Code, server::shield};
use mesh_runtime::ServiceConfig;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};
use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Alive, Callee, Client, Handlers, MS, PATIENCE, Raw, config, echo, empty, eventually,
};

const DRAIN: Duration = Duration::from_millis(300);

#[tokio::test]
async fn the_end_comes_in_order_unready_good_bye_cancelled_cut() {
    let alive = Alive::default();
    let pre_stop = Duration::from_secs(2);
    let config = ServiceConfig { pre_stop, drain: DRAIN, ..config() };
    let lives = alive.clone();
    let handlers = Handlers::default().call(move |text| {
        let life = lives.begin();
        async move {
            let _alive = life;
            if text == "stuck" { std::future::pending().await } else { Ok(echo(&text)) }
        }
    });
    let callee = Callee::start(config, values::Server::default(), handlers).await;
    let client = Client(callee.channel());
    let (stuck, address) = (client.clone(), callee.address);
    let stuck = tokio::spawn(async move { stuck.call(Request::new(echo("stuck"))).await });
    eventually("the call is under way", || alive.count() == 1).await;
    let mut raw = Raw::connect(&callee).await;
    raw.post("Call", "1S", empty()).await;

    let begin = Instant::now();
    callee.service.stop();
    // First it is unready, and answers who comes none the less.
    let health = HealthClient::new(callee.channel()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.unwrap().into_inner().status(), ServingStatus::NotServing);
    let late = Client(callee.channel()).call(Request::new(echo("late"))).await;
    assert!(begin.elapsed() > pre_stop || late.unwrap() == "late");
    assert!(begin.elapsed() > pre_stop || raw.0.ready().await.is_ok(), "no good-bye yet");

    // Then connections are told good-bye, and nobody new is let in.
    let parted = async {
        while raw.0.ready().await.is_ok() {
            sleep(5 * MS).await
        }
    };
    tokio::time::timeout(PATIENCE, parted).await.expect("told good-bye");
    assert!(begin.elapsed() >= pre_stop);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

    // Calls have the drain's time; then they are cancelled, and told why.
    let status = stuck.await.unwrap().unwrap_err();
    assert!(begin.elapsed() >= pre_stop + DRAIN, "it had its time");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "the server stopped before it had answered")
    );
    assert_eq!(alive.count(), 0);
    callee.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_hold_up_the_end() {
    let alive = Alive::default();
    let config = ServiceConfig { drain: DRAIN, ..config() };
    let lives = alive.clone();
    let handlers = Handlers::default().down(move |_| {
        let life = lives.begin();
        let message = echo(&"x".repeat(16 << 10));
        stream::repeat_with(move || Ok(message.clone())).inspect(move |_| _ = &life).boxed()
    });
    let callee = Callee::start(config, values::Server::default(), handlers).await;
    let mut raw = Raw::connect(&callee).await;
    let _unread = raw.post("Down", "60S", empty()).await;
    assert_eq!(alive.count(), 1);

    callee.stop().await;

    assert_eq!(alive.count(), 0);
}

#[tokio::test]
async fn shielded_work_ends_before_the_service_does() {
    let alive = Alive::default();
    let config = ServiceConfig { drain: 100 * MS, ..config() };
    let lives = alive.clone();
    let handlers = Handlers::default().call(move |text| {
        let life = lives.begin();
        async move {
            let commit = shield(async move {
                let _alive = life;
                sleep(400 * MS).await;
            });
            commit.await.expect("has time");
            Ok(echo(&text))
        }
    });
    let callee = Callee::start(config, values::Server::default(), handlers).await;
    let client = Client(callee.channel());
    let call = tokio::spawn(async move { client.call(Request::new(echo("1"))).await });
    eventually("it has begun", || alive.count() == 1).await;

    callee.stop().await;

    assert_eq!(alive.count(), 0, "the commit was not cut with its call");
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
}
