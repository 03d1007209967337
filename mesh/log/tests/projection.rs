//! Views that follow the log.

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicUsize, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Event, LogRow, Projection, View, ViewError};
use mesh_runtime::State;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::lab::{Happened, Lab, Node};

/// Writes every row down, in the order in which it comes.
#[derive(Clone, Default)]
struct Diary {
    /// The number of the event that the code cannot take; 0 for none.
    stumbles_at: Arc<AtomicI32>,
    panics: bool,
    batches: Arc<AtomicUsize>,
}

impl View for Diary {
    const NAME: &'static str = "diary";

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        rows: &'c [LogRow],
    ) -> BoxFuture<'c, Result<(), ViewError>> {
        async move {
            self.batches.fetch_add(1, Ordering::SeqCst);
            let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
            let write = "INSERT INTO diary (seq) SELECT * FROM unnest($1::bigint[])";
            sqlx::query(write).bind(seqs).execute(tx).await?;
            let bad = self.stumbles_at.load(Ordering::SeqCst);
            if rows.iter().any(|row| number(row) == bad) {
                assert!(!self.panics, "event {bad} is too much");
                return Err(ViewError::Broken(format!("event {bad} means nothing")));
            }
            Ok(())
        }
        .boxed()
    }
}

fn number(row: &LogRow) -> i32 {
    <Happened as prost::Message>::decode(row.body.clone()).unwrap().number
}

/// A lab with the diary's table, and as many events as are asked for.
async fn lab(events: i32) -> (Lab, PgPool) {
    let lab = Lab::start().await;
    let pool = lab.database.pool().await;
    let table = "CREATE TABLE diary (n bigint GENERATED ALWAYS AS IDENTITY, seq bigint NOT NULL)";
    sqlx::query(table).execute(&pool).await.unwrap();
    happen(&pool, 1..=events).await;
    (lab, pool)
}

async fn happen(pool: &PgPool, numbers: impl Iterator<Item = i32>) {
    for number in numbers {
        let event = Event::public(&Happened { number });
        let mut connection = pool.acquire().await.unwrap();
        mesh_log::append(&mut connection, Uuid::now_v7(), 1, &[event]).await.unwrap();
    }
}

async fn diary(pool: &PgPool) -> Vec<i64> {
    let read = "SELECT seq FROM diary ORDER BY n";
    sqlx::query_scalar(read).fetch_all(pool).await.unwrap_or_default()
}

/// Waits until the diary holds the whole log, and asserts that it does so in order, each row once.
async fn is_whole(pool: &PgPool) {
    mesh_testkit::eventually("the view to have caught up", async || {
        let behind = "SELECT NOT EXISTS (SELECT FROM log l
                      WHERE NOT EXISTS (SELECT FROM diary d WHERE d.seq = l.seq))";
        sqlx::query_scalar::<_, bool>(behind).fetch_one(pool).await.unwrap_or(false)
    })
    .await;
    let log: Vec<i64> =
        sqlx::query_scalar("SELECT seq FROM log ORDER BY seq").fetch_all(pool).await.unwrap();
    assert_eq!(diary(pool).await, log);
    let checkpoint: i64 =
        sqlx::query_scalar("SELECT position FROM projections").fetch_one(pool).await.unwrap();
    assert_eq!(Some(&checkpoint), log.last());
}

async fn stumbles(node: &Node) -> Option<String> {
    let conditions = node.service.health().readiness().conditions;
    let own = conditions.into_iter().find(|condition| condition.name == "diary").unwrap();
    (own.state == State::Degraded).then_some(own.why)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_view_begins_at_the_beginning_and_follows_in_batches() {
    let (lab, pool) = lab(700).await;
    let node = lab.node().await;
    let view = Diary::default();

    Projection::start(&node.service, &node.db, view.clone());

    is_whole(&pool).await;
    assert!(view.batches.load(Ordering::SeqCst) < 20, "700 rows come in few batches");
    happen(&pool, 701..=710).await;
    is_whole(&pool).await;
    assert_eq!(stumbles(&node).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_has_every_row_once_whoever_feeds_it_and_whatever_dies() {
    let (lab, pool) = lab(0).await;
    let (first, second) = (lab.node().await, lab.node().await);
    let view = Diary::default();
    for node in [&first, &second] {
        Projection::start(&node.service, &node.db, view.clone());
    }

    let admin = PgPool::connect(&lab.database.superuser_url()).await.unwrap();
    for round in 0..10 {
        happen(&pool, (1..=30).map(|n| round * 30 + n)).await;
        // Whoever feeds the view, and everybody else in this database: amid whatever they do.
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&admin)
        .await
        .unwrap();
    }
    first.stop().await;
    happen(&pool, 301..=350).await;

    is_whole(&pool).await;
    assert_eq!(stumbles(&second).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_whose_code_fails_stops_alone_and_at_the_very_row() {
    for panics in [false, true] {
        let (lab, pool) = lab(40).await;
        let node = lab.node().await;
        let stumbles_at = Arc::new(AtomicI32::new(30));
        let view = Diary { stumbles_at: Arc::clone(&stumbles_at), panics, ..Diary::default() };
        Projection::start(&node.service, &node.db, view.clone());

        let why =
            mesh_testkit::eventually("the view to stop", async || stumbles(&node).await).await;

        assert!(why.contains("row 30") && why.contains("event 30"), "{why}");
        assert_eq!(diary(&pool).await, (1..30).collect::<Vec<_>>(), "as far as it could");
        assert!(!node.service.has_failed(), "the service goes on");
        let metrics = mesh_runtime::metrics::render().unwrap();
        let stopped = metrics.lines().find(|line| line.starts_with("mesh_projection_stopped{"));
        assert!(stopped.is_some_and(|line| line.ends_with(" 1")), "{stopped:?}");

        // A process with better code goes on at that row, also while the first one still runs.
        let healed = lab.node().await;
        Projection::start(&healed.service, &healed.db, Diary::default());
        is_whole(&pool).await;
        node.stop().await;
        healed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_built_anew_while_it_is_fed() {
    let (lab, pool) = lab(50).await;
    let node = lab.node().await;
    Projection::start(&node.service, &node.db, Diary::default());
    is_whole(&pool).await;

    let mut tx = pool.begin().await.unwrap();
    sqlx::raw_sql("DELETE FROM projections; DELETE FROM diary").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(diary(&pool).await.len(), 0);
    happen(&pool, 51..=52).await;

    is_whole(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_know_that_it_was_replaced_adds_nothing() {
    let (lab, pool) = lab(20).await;
    let node = lab.node().await;
    Projection::start(&node.service, &node.db, Diary::default());
    is_whole(&pool).await;

    // What another replica's work looks like: the checkpoint has moved, with the rows that it adds.
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("UPDATE projections SET position = 25").execute(&mut *tx).await.unwrap();
    sqlx::query("INSERT INTO diary (seq) SELECT generate_series(21, 25)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    happen(&pool, 21..=30).await;

    is_whole(&pool).await;
    assert_eq!(stumbles(&node).await, None);
}
