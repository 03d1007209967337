//! A server that follows a policy.

use std::{future::pending, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use mesh_policy::{Effective, Overlay, Table, values};
use mesh_rpc::{Code, policy::LivePolicy, reason};
use tonic::Request;

use crate::support::{
    Callee, Client, DESCRIPTORS, Handlers, PATIENCE, SERVICE, config, echo, eventually,
};

const HANDLERS_TIME: Duration = Duration::from_secs(60);

fn policy(overlay: &str) -> LivePolicy {
    let contracts = Table::from_descriptors(&[&DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap();
    let overlay = Overlay::parse(overlay).unwrap();
    LivePolicy::fixed(Effective::new(Arc::new(contracts), &overlay).unwrap())
}

async fn callee(overlay: &str, handlers: Handlers) -> Callee {
    let policy = policy(overlay);
    let more = |server: mesh_rpc::Server| server.policy(&policy);
    Callee::with(config(), values::Server::default(), handlers, more).await
}

#[tokio::test]
async fn a_call_ends_at_the_longest_deadline_that_an_operator_left_it() {
    let handlers = Handlers::default().call(|_| pending());
    let short = format!("[methods.'{SERVICE}/Call']\nmax_deadline = '100ms'\n");
    let callee = callee(&short, handlers).await;
    let mut request = Request::new(echo(""));
    request.set_timeout(HANDLERS_TIME);

    let ended = tokio::time::timeout(PATIENCE, Client(callee.channel()).call(request)).await;

    assert_eq!(ended.expect("in time").unwrap_err().code(), Code::DeadlineExceeded);
    callee.stop().await;
}

#[tokio::test]
async fn a_server_takes_no_more_calls_than_an_operator_allows() {
    let handlers = Handlers::default()
        .down(|_| stream::iter([Ok(echo("first"))]).chain(stream::pending()).boxed());
    let callee = callee("[server]\nbulkhead = { calls = 1, queue = 0 }\n", handlers).await;
    let client = Client(callee.channel());
    let mut ticks = client.down(Request::new(echo(""))).await.unwrap();
    ticks.message().await.unwrap();

    let refused = client.call(Request::new(echo("1"))).await.unwrap_err();

    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(reason(&refused).is_some());
    drop(ticks);
    eventually("the stream has ended", || callee.in_flight("shed") == 0).await;
    client.call(Request::new(echo("1"))).await.unwrap();
    callee.stop().await;
}
