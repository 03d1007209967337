//! A service ends in order and in time, whatever its callers do.

use std::{future::pending, sync::Arc, time::Duration};

use mesh_rpc::{Code, Disposition, disposition};
use mesh_runtime::ServiceConfig;
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Callee, PATIENCE, config, get, http, saga};

/// Much longer than a test waits: a drain that takes it was held up.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn neither_an_idle_connection_nor_a_health_watch_holds_up_the_drain() {
    let callee = Callee::start(ServiceConfig { drain: LONG, ..config() }, |id| async { Ok(id) });
    let callee = callee.await;
    let _idle = TcpStream::connect(callee.address).await.unwrap();
    let mut health = HealthClient::new(callee.channel("watch"));
    let watch = health.watch(Request::new(HealthCheckRequest::default())).await;
    let mut watch = watch.unwrap().into_inner();
    watch.message().await.unwrap();

    callee.stop().await;

    let mut ended = watch.message().await;
    while let Ok(Some(_)) = ended {
        ended = watch.message().await;
    }
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_service_ends() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (bell, gate) = (Arc::clone(&arrived), Arc::clone(&go));
    let callee = Callee::start(ServiceConfig { drain: LONG, ..config() }, move |id| {
        let (bell, gate) = (Arc::clone(&bell), Arc::clone(&gate));
        async move {
            bell.notify_one();
            gate.acquire().await.unwrap().forget();
            Ok(id)
        }
    })
    .await;
    let channel = callee.channel("in flight");
    let call = tokio::spawn(async move { get(&channel, Request::new(saga("1"))).await });
    arrived.notified().await;

    callee.service.stop();
    let answer = http(callee.service.admin_addr(), "GET", "/readyz").await;
    let stopped_early = callee.service.stopped().is_cancelled();
    go.add_permits(1);

    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"draining\":true"));
    assert!(!stopped_early, "background tasks go on while calls are answered");
    callee.stop().await;
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_at_the_drain_limit() {
    let arrived = Arc::new(Notify::new());
    let bell = Arc::clone(&arrived);
    let drain = Duration::from_millis(200);
    let callee = Callee::start(ServiceConfig { drain, ..config() }, move |_| {
        bell.notify_one();
        pending()
    })
    .await;
    let channel = callee.channel("stuck");
    let call = tokio::spawn(async move { get(&channel, Request::new(saga("1"))).await });
    arrived.notified().await;
    let begin = Instant::now();

    callee.stop().await;

    assert!(begin.elapsed() >= drain, "it had its time");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(disposition(&status), Disposition::MaybeProcessed);
}

#[tokio::test]
async fn background_tasks_end_after_the_last_call() {
    let callee = Callee::echo().await;
    let (stopped, ended) = (callee.service.stopped(), Arc::new(Notify::new()));
    let bell = Arc::clone(&ended);
    callee.service.spawn("test", async move {
        stopped.cancelled().await;
        bell.notify_one();
    });

    callee.stop().await;

    timeout(PATIENCE, ended.notified()).await.expect("finish waits for it");
}

#[tokio::test]
async fn a_background_task_that_panics_ends_the_service() {
    let callee = Callee::echo().await;

    callee.service.spawn("test", async { panic!("on purpose") });

    timeout(PATIENCE, callee.service.finish()).await.expect("ends by itself");
    assert!(callee.service.has_failed());
}
