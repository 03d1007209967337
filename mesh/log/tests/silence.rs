//! Database connections whose peer is gone without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{LogRow, Projection, Reader, Streams, View, ViewError, append};
use mesh_runtime::{ServiceConfig, deadline};
use sqlx::PgConnection;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    lab::{Happened, Lab, Node, change},
    proxy::Proxy,
};

const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fell_silent_are_given_up_and_replaced() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let node = behind(&proxy, &lab).await;
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
    let outcome = timeout(mesh_testkit::patience(), committing).await;
    assert!(matches!(outcome, Ok(Ok(Ok(_)))), "{outcome:?}");
    assert_eq!(streams.load(key).await.unwrap().unwrap().version, 1);
}

/// Everything else goes on, so nothing but the reader itself can notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_connection_fell_silent_reads_on_by_another() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let node = behind(&proxy, &lab).await;
    let mut reader = Reader::new(&node.db, 0);
    assert!(reader.next(10).await.unwrap().is_empty());

    proxy.silence_the_last();
    let key = happen(&lab).await;
    let begun = Instant::now();
    let hit = timeout(mesh_testkit::patience(), reader.next(10)).await;

    assert!(matches!(hit, Ok(Err(_))), "the silence was not noticed, or not there: {hit:?}");
    assert!(begun.elapsed() > Duration::from_secs(10), "the server has its time to answer");
    let rows = reader.next(10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.key).collect::<Vec<_>>(), [key]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_commit_met_silence_has_its_rows_once() {
    let lab = Lab::start().await;
    let pool = lab.database.pool().await;
    sqlx::query("CREATE TABLE heard (key uuid NOT NULL)").execute(&pool).await.unwrap();
    let proxy = Arc::new(Proxy::start(lab.database.url()).await);
    let node = behind(&proxy, &lab).await;
    let keys = [happen(&lab).await, happen(&lab).await];
    let batches = Arc::new(AtomicUsize::new(0));

    let view = Heard { proxy: Arc::clone(&proxy), batches: Arc::clone(&batches) };
    Projection::start(&node.service, &node.db, view);

    let heard = mesh_testkit::eventually("the view to have caught up", async || {
        let read = "SELECT key FROM heard ORDER BY key";
        let heard: Vec<Uuid> = sqlx::query_scalar(read).fetch_all(&pool).await.unwrap();
        (!heard.is_empty()).then_some(heard)
    })
    .await;
    assert_eq!(heard, keys);
    assert!(batches.load(Ordering::SeqCst) > 1, "the first commit was to be lost");
}

/// Writes down what it hears of. After the first batch its connection falls silent.
struct Heard {
    proxy: Arc<Proxy>,
    batches: Arc<AtomicUsize>,
}

impl View for Heard {
    const NAME: &'static str = "heard";

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        rows: &'c [LogRow],
    ) -> BoxFuture<'c, Result<(), ViewError>> {
        async move {
            let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
            let write = "INSERT INTO heard (key) SELECT * FROM unnest($1::uuid[])";
            sqlx::query(write).bind(keys).execute(tx).await?;
            if self.batches.fetch_add(1, Ordering::SeqCst) == 0 {
                self.proxy.silence_the_last();
            }
            Ok(())
        }
        .boxed()
    }
}

async fn behind(proxy: &Proxy, lab: &Lab) -> Node {
    lab.node_with(ServiceConfig {
        database_url: Some(proxy.url.clone()),
        database_pool: CONNECTIONS as u32,
        ..ServiceConfig::default()
    })
    .await
}

/// An event that did not come through the proxy.
async fn happen(lab: &Lab) -> Uuid {
    let key = Uuid::now_v7();
    let event = mesh_log::Event::public(&Happened { number: 1 });
    let pool = lab.database.pool().await;
    let mut connection = pool.acquire().await.unwrap();
    append(&mut connection, key, 1, &[event]).await.unwrap();
    key
}
