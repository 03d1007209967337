//! Rates and bulkheads, and what the table says about them.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use mesh_policy::values;
use mesh_rpc::{Code, reason};
use tokio::time::Instant;
use tonic::{Request, Status, transport::server::TcpConnectInfo};

use crate::support::{
    Alive, Callee, Client, Handlers, MS, Raw, SERVICE, config, echo, empty, eventually,
};

#[tokio::test]
async fn one_service_takes_no_more_than_its_part_until_its_streams_have_ended() {
    let handlers = Handlers::default()
        .down(|_| stream::iter([Ok(echo("first"))]).chain(stream::pending()).boxed());
    let values = values::Server::default();
    let callee = Callee::with(config(), values, handlers, |server| server.bound(SERVICE, 1)).await;
    let client = Client(callee.channel());
    let mut ticks = client.down(Request::new(echo(""))).await.unwrap();
    ticks.message().await.unwrap();

    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused).as_deref(), Some("SERVICE_BUSY"));
    assert!(pushback(&refused) > 0);
    assert_eq!(callee.in_flight("bulkhead"), 1);

    drop(ticks);
    eventually("the stream has ended", || callee.in_flight("bulkhead") == 0).await;
    client.call(Request::new(echo("1"))).await.unwrap();
    callee.stop().await;
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back() {
    let values = values::Server {
        peer_rate: Some(values::Rate { per_second: 0.1, burst: 3 }),
        ..values::Server::default()
    };
    let callee = Callee::with(config(), values, Handlers::default(), |server| {
        server.callers(|extensions| {
            let peer: &TcpConnectInfo = extensions.get()?;
            Some(Arc::from(peer.remote_addr?.ip().to_string()))
        })
    })
    .await;
    let client = Client(callee.channel());

    for _ in 0..3 {
        client.call(Request::new(echo("1"))).await.unwrap();
    }
    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();

    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused).as_deref(), Some("RATE_LIMITED"));
    assert!((1..=10_000).contains(&pushback(&refused)), "{refused:?}");
    let rows = callee.limits.table();
    let peer = rows.iter().find(|row| row.scope == "peer").unwrap();
    assert_eq!((peer.keys, peer.refused["rate"]), (1, 1));

    callee.values.send_modify(|values| values.peer_rate = None);
    eventually("the rate is gone", || {
        callee.limits.table().iter().all(|row| row.layer != "rate" || row.bound.is_none())
    })
    .await;
    client.call(Request::new(echo("1"))).await.unwrap();
    callee.stop().await;
}

#[tokio::test]
async fn a_full_server_tells_when_to_come_back_and_the_table_counts_it() {
    let handlers = Handlers::default()
        .down(|_| stream::iter([Ok(echo("first"))]).chain(stream::pending()).boxed());
    let values = values::Server {
        bulkhead: values::Bulkhead { calls: 1, queue: 0 },
        ..values::Server::default()
    };
    let callee = Callee::start(config(), values, handlers).await;
    let client = Client(callee.channel());
    let mut ticks = client.down(Request::new(echo(""))).await.unwrap();
    ticks.message().await.unwrap();

    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();

    assert_eq!(reason(&refused).as_deref(), Some("OVERLOADED"));
    assert!(pushback(&refused) > 0);
    let rows = callee.limits.table();
    let shed = rows.iter().find(|row| row.layer == "shed").unwrap();
    assert_eq!((shed.bound, shed.in_flight, shed.refused["default"]), (Some(1.0), 1, 1));

    callee.values.send_modify(|values| values.bulkhead.calls = 2);
    eventually("there is another place", || {
        callee.limits.table().iter().any(|row| row.layer == "shed" && row.bound == Some(2.0))
    })
    .await;
    client.call(Request::new(echo("1"))).await.unwrap();
    drop(ticks);
    callee.stop().await;
}

#[tokio::test]
async fn a_deadline_spent_in_the_queue_is_exceeded_in_time() {
    let alive = Alive::default();
    let lives = alive.clone();
    let handlers = Handlers::default().call(move |_| {
        let life = lives.begin();
        async move {
            let _alive = life;
            std::future::pending().await
        }
    });
    let values = values::Server {
        bulkhead: values::Bulkhead { calls: 1, queue: 10 },
        ..values::Server::default()
    };
    let callee = Callee::start(config(), values, handlers).await;
    let client = Client(callee.channel());
    let blocker = tokio::spawn(async move { client.call(Request::new(echo("1"))).await });
    eventually("one is worked on", || alive.count() == 1).await;
    let mut raw = Raw::connect(&callee).await;
    let begin = Instant::now();

    let response = raw.post("Call", "100m", empty()).await;

    assert_eq!(response.headers()["grpc-status"], "4", "not CANCELLED");
    assert!(begin.elapsed() >= 100 * MS);
    let rows = callee.limits.table();
    let shed = rows.iter().find(|row| row.layer == "shed").unwrap();
    assert_eq!((shed.in_flight, shed.queued, shed.refused["expired"]), (1, 0, 1));
    assert_eq!(alive.count(), 1, "it was never worked on");
    blocker.abort();
    callee.stop().await;
}

fn pushback(status: &Status) -> u64 {
    let value = status.metadata().get("grpc-retry-pushback-ms").expect("has a pushback");
    value.to_str().unwrap().parse().unwrap()
}
