//! Transactions and callers that go away.

use std::time::Duration;

use futures::FutureExt as _;
use uuid::Uuid;

use crate::lab::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_caller_leaves_no_connection_inside_a_transaction() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    for n in 0..200_u64 {
        let db = node.db.clone();
        let work = mesh_log::transact(&db, "work", |tx| {
            async move {
                sqlx::query(
                    "INSERT INTO requests (key, digest, thing, version) VALUES ($1, '', $1, 1)",
                )
                .bind(Uuid::now_v7())
                .execute(tx)
                .await
                .map(drop)
            }
            .boxed()
        });
        let _ = tokio::time::timeout(Duration::from_micros(n * 20), work).await
            as Result<Result<(), sqlx::Error>, _>;
    }

    mesh_testkit::eventually("every transaction to end", async || {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(node.db.pool())
        .await
        .unwrap();
        open == 0
    })
    .await;
    // A connection that were still inside one would refuse this.
    for _ in 0..20 {
        sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .execute(node.db.pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn work_that_panics_is_rolled_back() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let db = node.db.clone();

    let panicked = tokio::spawn(async move {
        mesh_log::transact::<(), sqlx::Error, _>(&db, "work", |tx| {
            async move {
                sqlx::query(
                    "INSERT INTO requests (key, digest, thing, version) VALUES ($1, '', $1, 1)",
                )
                .bind(Uuid::now_v7())
                .execute(tx)
                .await?;
                panic!("on purpose")
            }
            .boxed()
        })
        .await
    })
    .await;

    assert!(panicked.is_err());
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM requests")
        .fetch_one(node.db.pool())
        .await
        .unwrap();
    assert_eq!(count, 0);
}
