//! Database connections whose peer is gone without a word.

use std::time::Duration;

use mesh_log::Streams;
use mesh_runtime::{ServiceConfig, deadline};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    lab::{Lab, change},
    proxy::Proxy,
};

const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fell_silent_are_given_up_and_replaced() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let node = lab
        .node_with(ServiceConfig {
            database_url: Some(proxy.url.clone()),
            database_pool: CONNECTIONS as u32,
            ..ServiceConfig::default()
        })
        .await;
    let streams: Streams = Streams::start(&node.db, &node.service);
    streams.commit(change(Uuid::now_v7(), 0, 1)).await.unwrap();
    let all = || futures::future::try_join_all((0..CONNECTIONS).map(|_| node.db.pool().acquire()));
    all().await.unwrap();
    mesh_testkit::eventually("all to be back", async || node.db.pool().idle() == CONNECTIONS).await;

    proxy.silence();
    // A commit on a silent connection is given up after a fixed time, and made on another.
    let key = Uuid::now_v7();
    let committing = tokio::spawn({
        let streams = streams.clone();
        async move { streams.commit(change(key, 0, 1)).await }
    });
    let asked = (0..CONNECTIONS).map(|_| {
        let deadline = Instant::now() + Duration::from_millis(300);
        deadline::scope(deadline, sqlx::query("SELECT").execute(node.db.pool()))
    });
    let answers = futures::future::join_all(asked).await;

    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    mesh_testkit::eventually("every place in the pool to be of use again", async || {
        let Ok(mut connections) = all().await else { return false };
        let asked = connections.iter_mut().map(|c| sqlx::query("SELECT").execute(&mut **c));
        futures::future::try_join_all(asked).await.is_ok()
    })
    .await;
    let outcome = tokio::time::timeout(mesh_testkit::patience(), committing).await;
    assert!(matches!(outcome, Ok(Ok(Ok(_)))), "{outcome:?}");
    assert_eq!(streams.load(key).await.unwrap().unwrap().version, 1);
}
