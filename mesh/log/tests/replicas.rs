//! Several processes on one database.

use mesh_log::{Awake, Change, Streams};
use uuid::Uuid;

use crate::lab::{Lab, Node, change};

fn awake(node: &Node, key: Uuid) -> Change {
    Change { awake: Awake::Yes, owner: node.db.replica().id(), ..change(key, 0, 1) }
}

#[tokio::test]
async fn streams_of_a_replica_that_ended_are_taken_over() {
    let lab = Lab::start().await;
    let (gone, left) = (lab.node().await, lab.node().await);
    let key = Uuid::now_v7();
    let streams: Streams = Streams::start(&gone.db, &gone.service);
    streams.commit(awake(&gone, key)).await.unwrap();
    let mine: Streams = Streams::start(&left.db, &left.service);

    gone.stop().await;

    let me = left.db.replica().id().unwrap();
    mesh_testkit::eventually("the stream to be taken over", async || {
        mine.load(key).await.unwrap().unwrap().owner == Some(me)
    })
    .await;
    assert_eq!(mine.awake(me).await.unwrap().len(), 1);
}

/// More than are taken over at a time, and one that somebody holds.
#[tokio::test]
async fn however_many_streams_a_replica_had_all_are_taken_over() {
    const MANY: usize = 1_200;
    let lab = Lab::start().await;
    let (gone, left) = (lab.node().await, lab.node().await);
    let (dead, me) = (gone.db.replica().id().unwrap(), left.db.replica().id().unwrap());
    let streams: Streams = Streams::start(&gone.db, &gone.service);
    let keys: Vec<Uuid> = (0..MANY).map(|_| Uuid::now_v7()).collect();
    let written = keys.iter().map(|key| streams.commit(awake(&gone, *key)));
    futures::future::try_join_all(written).await.unwrap();
    let pool = lab.database.pool().await;
    let mut holder = pool.begin().await.unwrap();
    let hold = "SELECT FROM streams WHERE id = $1 FOR UPDATE";
    sqlx::query(hold).bind(keys[700]).execute(&mut *holder).await.unwrap();

    gone.stop().await;

    let count = |sql: &'static str, id: Uuid| sqlx::query_scalar::<_, i64>(sql).bind(id);
    let owned = "SELECT count(*) FROM streams WHERE owner = $1";
    mesh_testkit::eventually("all but one to be taken over", async || {
        count(owned, me).fetch_one(&pool).await.unwrap() == MANY as i64 - 1
    })
    .await;
    let known = "SELECT count(*) FROM replicas WHERE id = $1";
    assert_eq!(count(known, dead).fetch_one(&pool).await.unwrap(), 1, "one is left");
    holder.rollback().await.unwrap();
    mesh_testkit::eventually("the last one to be taken over", async || {
        count(owned, me).fetch_one(&pool).await.unwrap() == MANY as i64
            && count(known, dead).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    assert_eq!(left.db.replica().id(), Some(me), "whoever takes over keeps its session");
}

#[tokio::test]
async fn a_replica_that_keeps_silent_loses_its_sessions_and_comes_back_under_a_new_id() {
    let lab = Lab::start().await;
    let (silent, left) = (lab.node().await, lab.node().await);
    let before = silent.db.replica().id().unwrap();
    let mut admin = lab.database.pool().await.acquire().await.unwrap();

    // What a stopped process looks like from the database: it holds its lock and is not seen. Its
    // heartbeat is held up by a lock on its row.
    sqlx::raw_sql("BEGIN").execute(&mut *admin).await.unwrap();
    sqlx::query("UPDATE replicas SET seen = now() - interval '6 seconds' WHERE id = $1")
        .bind(before)
        .execute(&mut *admin)
        .await
        .unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut *admin).await.unwrap();

    // It may have shown life before anybody looked; then nothing is to happen. Ask again.
    mesh_testkit::eventually("a new id", async || {
        sqlx::query("UPDATE replicas SET seen = now() - interval '6 seconds' WHERE id = $1")
            .bind(before)
            .execute(&mut *admin)
            .await
            .unwrap();
        silent.db.replica().id().is_some_and(|id| id != before)
    })
    .await;
    assert!(left.db.replica().id().is_some());
}

#[tokio::test]
async fn a_lease_has_one_holder_and_passes_on() {
    let lab = Lab::start().await;
    let (first, second) = (lab.node().await, lab.node().await);
    let lease = first.db.replica().lead("work").await;

    let db = second.db.clone();
    let waiting = db.replica().lead("work");
    tokio::pin!(waiting);
    let early = futures::poll!(&mut waiting);
    assert!(early.is_pending());
    drop(lease);

    let passed = tokio::time::timeout(mesh_testkit::patience(), waiting).await.unwrap();
    assert!(!passed.lost().is_cancelled());
    second.stop().await;
    assert!(passed.lost().is_cancelled());
}
