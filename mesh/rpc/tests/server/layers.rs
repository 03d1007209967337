//! The layers in front of a stranger's tonic server.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream};
use mesh_policy::values;
use mesh_rpc::{
    Code, reason,
    server::{
        Bulkhead, CatchPanicLayer, DeadlineLayer, DrainGate, Gate as _, Limits, RateLimit, Shed,
    },
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;

use crate::support::{Client, Handlers, MS, Raw, channel, echo, empty, eventually};

#[tokio::test]
async fn every_layer_fits_in_front_of_a_tonic_server() {
    let (shed, bulkhead) = (Shed::new(values::Bulkhead { calls: 2, queue: 0 }), Bulkhead::new(1));
    let (drain, rate) = (DrainGate::new(), RateLimit::new(|_| None));
    let handlers = Handlers::default()
        .call(|text| async move {
            assert_ne!(text, "panic");
            Ok(echo(&text))
        })
        .down(|_| stream::iter([Ok(echo("first"))]).chain(stream::pending()).boxed());
    let limits = Limits { default: Duration::from_secs(60), max: Duration::from_secs(60) };
    let server = tonic::transport::Server::builder()
        .layer(CatchPanicLayer)
        .layer(drain.clone().layer())
        .layer(DeadlineLayer::new(move |_| Some(limits)))
        .layer(shed.clone().layer())
        .layer(rate.clone().layer())
        .layer(bulkhead.clone().layer())
        .add_service(handlers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let client = Client(channel(address));

    assert_eq!(client.call(Request::new(echo("1"))).await.unwrap(), "1");
    let panicked = client.call(Request::new(echo("panic"))).await.unwrap_err();
    assert_eq!(panicked.code(), Code::Internal);
    a_stream_holds_its_places_until_it_ends(&client, &shed, &bulkhead, &drain).await;
    a_deadline_ends_a_stream(address).await;

    rate.set(Some(values::Rate { per_second: 0.001, burst: 1 }), None);
    client.call(Request::new(echo("1"))).await.unwrap();
    let limited = client.call(Request::new(echo("1"))).await.unwrap_err();
    assert_eq!(reason(&limited).as_deref(), Some("RATE_LIMITED"));

    assert_eq!(drain.drained(Duration::from_secs(10)).await, 0);
    drain.close();
    let late = client.call(Request::new(echo("1"))).await.unwrap_err();
    assert_eq!(reason(&late).as_deref(), Some("STOPPING"));
}

async fn a_stream_holds_its_places_until_it_ends(
    client: &Client,
    shed: &Shed,
    bulkhead: &Bulkhead,
    drain: &DrainGate,
) {
    let mut ticks = client.down(Request::new(echo(""))).await.unwrap();
    ticks.message().await.unwrap();
    let under_way = || (shed.numbers().in_flight, bulkhead.numbers().in_flight, drain.in_flight());
    assert_eq!(under_way(), (1, 1, 1));

    let busy = client.call(Request::new(echo("1"))).await.unwrap_err();
    assert_eq!(reason(&busy).as_deref(), Some("SERVICE_BUSY"));

    drop(ticks);
    eventually("its places are free", || under_way() == (0, 0, 0)).await;
}

async fn a_deadline_ends_a_stream(address: SocketAddr) {
    let mut raw = Raw::to(address).await;
    let begin = tokio::time::Instant::now();

    let response = raw.post("Down", "100m", empty()).await;

    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "4", "not tonic's CANCELLED");
    assert!(begin.elapsed() >= 100 * MS);
}
