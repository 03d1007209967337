//! How long connections live, and how many there may be.

use std::{io, net::SocketAddr, time::Duration};

use futures::future::BoxFuture;
use mesh_policy::values;
use mesh_rpc::{
    Code,
    server::{Accepted, Acceptor, Socket},
};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Request;

use crate::support::{
    Alive, Callee, Client, Handlers, MS, PATIENCE, Raw, config, echo, empty, eventually,
};

#[tokio::test]
async fn a_call_on_an_old_connection_has_its_grace_and_is_then_cancelled() {
    let alive = Alive::default();
    let values =
        values::Server { max_age: 100 * MS, age_grace: 200 * MS, ..values::Server::default() };
    let callee = Callee::start(config(), values, stuck(&alive)).await;
    let begin = Instant::now();

    let status = Client(callee.channel()).call(Request::new(echo("1"))).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(begin.elapsed() >= 280 * MS, "{:?}", begin.elapsed());
    assert!(begin.elapsed() < 4 * PATIENCE / 30, "not the call's own deadline of 5 s");
    assert_eq!(alive.count(), 0);
    callee.stop().await;
}

#[tokio::test]
async fn connections_that_were_made_together_do_not_part_together() {
    let values = values::Server { max_age: 1_000 * MS, ..values::Server::default() };
    let callee = Callee::start(config(), values, Handlers::default()).await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        let mut raw = Raw::connect(&callee).await;
        raw.post("Call", "1S", empty()).await;
        connections.push(tokio::spawn(async move {
            while raw.0.ready().await.is_ok() {
                tokio::time::sleep(MS).await;
            }
            begin.elapsed()
        }));
    }

    let mut ages = Vec::new();
    for connection in connections {
        ages.push(timeout(PATIENCE, connection).await.unwrap().unwrap());
    }

    // Late is what a busy machine makes them; early only their own share of ±10 % does.
    assert!(ages.iter().all(|age| *age >= 900 * MS), "{ages:?}");
    assert!(ages.iter().any(|age| *age < 990 * MS), "{ages:?}");
    callee.stop().await;
}

#[tokio::test]
async fn a_connection_without_calls_is_told_good_bye_and_one_with_a_call_is_not() {
    let alive = Alive::default();
    let values = values::Server { max_idle: 200 * MS, ..values::Server::default() };
    let callee = Callee::start(config(), values, stuck(&alive)).await;
    let client = Client(callee.channel());
    let busy = tokio::spawn(async move { client.call(Request::new(echo("1"))).await });
    eventually("it is worked on", || alive.count() == 1).await;
    let mut quiet = Raw::connect(&callee).await;

    let told = async {
        while quiet.0.ready().await.is_ok() {
            tokio::time::sleep(MS).await;
        }
    };
    timeout(PATIENCE, told).await.expect("the quiet one is told good-bye");

    eventually("and has gone", || callee.in_flight("connections") == 1).await;
    assert!(!busy.is_finished() && alive.count() == 1);
    busy.abort();
    eventually("the other goes when its call is over", || callee.in_flight("connections") == 0)
        .await;
    callee.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_at_once_and_counted() {
    let values = values::Server { connections: 2, ..values::Server::default() };
    let callee = Callee::start(config(), values, Handlers::default()).await;
    let (mut first, _second) = (Raw::connect(&callee).await, Raw::connect(&callee).await);
    eventually("two are there", || callee.in_flight("connections") == 2).await;

    let mut third = TcpStream::connect(callee.address).await.unwrap();
    let closed = timeout(PATIENCE, third.read(&mut [0])).await.unwrap();

    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let rows = callee.limits.table();
    let row = rows.iter().find(|row| row.layer == "connections").unwrap();
    assert_eq!((row.bound, row.refused["too_many"]), (Some(2.0), 1));
    assert_eq!(first.post("Call", "1S", empty()).await.status(), 200, "others do not notice");
    callee.values.send_modify(|values| values.connections = 3);
    let mut third = Raw::connect(&callee).await;
    assert_eq!(third.post("Call", "1S", empty()).await.status(), 200);
    callee.stop().await;
}

/// As a peer has whose certificate ends in a moment.
struct EndsIn(Duration);

impl Acceptor for EndsIn {
    fn accept(
        &self,
        socket: Socket,
        remote: SocketAddr,
    ) -> BoxFuture<'static, io::Result<Accepted>> {
        let ends = Some(Instant::now() + self.0);
        Box::pin(async move { Ok(Accepted { ends, ..Accepted::plain(socket, remote) }) })
    }
}

#[tokio::test]
async fn a_connection_does_not_outlive_the_end_that_its_acceptor_gave_it() {
    let alive = Alive::default();
    let values = values::Server { age_grace: 200 * MS, ..values::Server::default() };
    let ends_in = EndsIn(500 * MS);
    let callee =
        Callee::with(config(), values, stuck(&alive), |server| server.acceptor(ends_in)).await;
    let mut raw = Raw::connect(&callee).await;
    let begin = Instant::now();

    let response = raw.post("Call", "60S", empty()).await;

    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(begin.elapsed() >= 490 * MS, "{:?}", begin.elapsed());
    eventually("it has gone", || callee.in_flight("connections") == 0).await;
    assert_eq!(alive.count(), 0);
    callee.stop().await;
}

fn stuck(alive: &Alive) -> Handlers {
    let alive = alive.clone();
    Handlers::default().call(move |_| {
        let life = alive.begin();
        async move {
            let _alive = life;
            std::future::pending().await
        }
    })
}
