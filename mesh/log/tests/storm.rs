//! Callers who go away at any moment, hundreds of them at once.

use std::time::Duration;

use futures::FutureExt as _;
use mesh_log::Database;
use mesh_runtime::deadline;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::Instant;
use uuid::Uuid;

use crate::lab::{Lab, sessions};

const WORKERS: u64 = 15;
const CALLS: usize = 60;
const CONNECTIONS: u32 = 6;
const INSERT: &str = "INSERT INTO requests (key, digest, thing, version) VALUES ($1, '', $2, 1)";

/// Writes two rows, with a pause between.
async fn write_two(db: &Database, pause: f64) -> sqlx::Result<()> {
    let thing = Uuid::now_v7();
    mesh_log::transact(db, "storm", move |tx| {
        async move {
            for _ in 0..2 {
                sqlx::query(INSERT).bind(Uuid::now_v7()).bind(thing).execute(&mut *tx).await?;
                sqlx::query("SELECT pg_sleep($1)").bind(pause).execute(&mut *tx).await?;
            }
            Ok(())
        }
        .boxed()
    })
    .await
}

async fn read_twice(db: &Database, pause: f64) -> sqlx::Result<()> {
    let mut connection = db.pool().read().await?;
    for _ in 0..2 {
        sqlx::query("SELECT pg_sleep($1)").bind(pause).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn ask(db: &Database, pause: f64) -> sqlx::Result<()> {
    // A text of its own each time: dropped while it is prepared, too.
    let sql = AssertSqlSafe(format!("SELECT pg_sleep($1) AS n{}", Uuid::now_v7().simple()));
    sqlx::query(sql).bind(pause).execute(db.pool()).await.map(drop)
}

/// Calls one after the other, each dropped at a moment of its own; returns how many came through.
async fn call(db: Database, seed: u64, usual: Duration) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = 0;
    for _ in 0..CALLS {
        let pause = random.random_range(0.0..0.002);
        let gone = usual.mul_f64(random.random_range(0.0..4.0));
        let time = Duration::from_millis(random.random_range(20..400));
        let which = random.random_range(0..3);
        let work = async {
            match which {
                0 => write_two(&db, pause).await,
                1 => read_twice(&db, pause).await,
                _ => ask(&db, pause).await,
            }
        };
        let work = deadline::scope(Instant::now() + time, work);
        let came = tokio::time::timeout(gone, work).await.is_ok_and(|done| done.is_ok());
        done += usize::from(came);
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancelled_callers_leaves_the_pool_whole_and_outside_of_transactions() {
    let lab = Lab::start().await;
    let node = lab.node_of(CONNECTIONS).await;
    let (pool, admin) = (node.db.pool(), lab.database.pool().await);
    let all = || futures::future::try_join_all((0..CONNECTIONS).map(|_| pool.acquire()));
    all().await.unwrap();

    // What a busy machine takes for one call: none of the moments is missed on any.
    let begun = Instant::now();
    write_two(&node.db, 0.001).await.unwrap();
    let usual = begun.elapsed().max(Duration::from_millis(10));

    let workers = (0..WORKERS).map(|seed| tokio::spawn(call(node.db.clone(), seed, usual)));
    let done = futures::future::try_join_all(workers).await.unwrap();

    let (done, calls) = (done.iter().sum::<usize>(), WORKERS as usize * CALLS);
    assert!(0 < done && done < calls, "{done} of {calls} came through: no storm");
    // All that there can be, at once: a place that was lost would be missed.
    let whole = mesh_testkit::eventually("the pool to be whole", async || all().await.ok()).await;
    for mut connection in whole {
        // Inside a transaction this would be refused, or older than the statement.
        let fresh: bool = sqlx::raw_sql("SELECT now() = statement_timestamp()")
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get(0))
            .unwrap();
        let limit: String =
            sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut *connection).await.unwrap();
        assert_eq!((fresh, limit.as_str()), (true, "10s"));
        let insert = sqlx::query(INSERT).bind(Uuid::now_v7()).bind(Uuid::nil());
        insert.execute(&mut *connection).await.unwrap();
    }
    assert_eq!(pool.size(), CONNECTIONS);
    mesh_testkit::eventually("every transaction to end", async || {
        sessions(&admin, "state LIKE 'idle in transaction%'").await == 0
    })
    .await;
    let halves: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT thing FROM requests WHERE thing <> $1
                               GROUP BY thing HAVING count(*) <> 2) AS half",
    )
    .bind(Uuid::nil())
    .fetch_one(&admin)
    .await
    .unwrap();
    let probes: i64 = sqlx::query_scalar("SELECT count(*) FROM requests WHERE thing = $1")
        .bind(Uuid::nil())
        .fetch_one(&admin)
        .await
        .unwrap();
    assert_eq!((halves, probes), (0, i64::from(CONNECTIONS)), "all or nothing, and for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dropped_caller_began_is_carried_out() {
    let lab = Lab::start().await;
    let (node, admin) = (lab.node().await, lab.database.pool().await);

    let dropped = tokio::time::timeout(Duration::from_millis(50), write_two(&node.db, 0.2)).await;

    assert!(dropped.is_err(), "{dropped:?}");
    mesh_testkit::eventually("both rows", async || {
        let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM requests");
        rows.fetch_one(&admin).await.unwrap() == 2
    })
    .await;
}
