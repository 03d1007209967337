//! The deadline of a call ends what the database does for it.

use std::time::Duration;

use futures::FutureExt as _;
use mesh_log::SubmitError;
use mesh_runtime::{ServiceConfig, deadline};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    lab::{Lab, Node, sessions},
    proxy::Proxy,
};

const INSERT: &str = "INSERT INTO requests (key, digest, thing, version) VALUES ($1, '', $1, 1)";
const LONG: &str = "SELECT pg_sleep(60)::text";
/// No limit of the server's ends it.
const ENDLESS: &str = "SET statement_timeout = 0; SELECT pg_sleep(600)";

fn within<F: Future>(millis: u64, work: F) -> impl Future<Output = F::Output> {
    deadline::scope(Instant::now() + Duration::from_millis(millis), work)
}

async fn insert_then(node: &Node, then: &'static str) -> Result<(), SubmitError> {
    mesh_log::transact(&node.db, "work", move |tx| {
        async move {
            sqlx::query(INSERT).bind(Uuid::now_v7()).execute(&mut *tx).await?;
            sqlx::query(then).execute(tx).await?;
            Ok(())
        }
        .boxed()
    })
    .await
}

async fn written(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM requests").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn what_comes_after_its_deadline_takes_no_connection() {
    let lab = Lab::start().await;
    let node = lab.node().await;

    let change = within(0, insert_then(&node, "SELECT")).await;
    let question = within(0, sqlx::query("SELECT").execute(node.db.pool())).await;
    let long_question = within(0, node.db.pool().read()).await.map(drop);

    assert!(matches!(change, Err(SubmitError::Expired)), "{change:?}");
    for refused in [question.map(drop), long_question] {
        let refused = SubmitError::from(refused.unwrap_err());
        assert!(matches!(refused, SubmitError::Expired), "{refused:?}");
    }
    assert_eq!(node.db.pool().size(), 0);
}

#[tokio::test]
async fn a_pool_that_is_full_refuses_soon_and_says_so() {
    let lab = Lab::start().await;
    let node = lab.node_of(1).await;
    let _all = node.db.pool().acquire().await.unwrap();
    let begun = Instant::now();

    let refused = within(60_000, insert_then(&node, "SELECT")).await.unwrap_err();

    // Nobody who has no deadline waits longer than 5 s.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!((refused.code(), refused.reason()), (8, "POOL_EXHAUSTED"));
}

#[tokio::test]
async fn a_deadline_that_passes_in_front_of_the_pool_is_told_in_time() {
    let lab = Lab::start().await;
    let node = lab.node_of(1).await;
    let _all = node.db.pool().acquire().await.unwrap();

    // Within the deadline, and so before anybody drops the caller.
    let refused = within(400, async {
        let deadline = deadline::current().unwrap();
        tokio::time::timeout_at(deadline, insert_then(&node, "SELECT")).await
    });

    let refused = refused.await.unwrap().unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (4, "DEADLINE_PASSED"));
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_the_connection_that_is_being_made_to_the_next() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let config =
        ServiceConfig { database_url: Some(proxy.url.clone()), ..ServiceConfig::default() };
    let node = lab.node_with(config).await;
    proxy.delay(Duration::from_millis(600));

    let refused = within(400, node.db.pool().acquire()).await.map(drop);

    let refused = SubmitError::from(refused.unwrap_err());
    assert!(matches!(refused, SubmitError::Expired), "{refused:?}");
    mesh_testkit::eventually("the connection", async || node.db.pool().idle() == 1).await;
}

#[tokio::test]
async fn a_pool_whose_last_connection_is_being_made_is_not_full() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let config = ServiceConfig {
        database_url: Some(proxy.url.clone()),
        database_pool: 1,
        ..ServiceConfig::default()
    };
    let node = lab.node_with(config).await;
    proxy.delay(Duration::from_millis(800));

    let ask = || within(30_000, sqlx::query("SELECT").execute(node.db.pool()));
    let (first, second) = tokio::join!(ask(), ask());

    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
}

/// Nobody has a connection: it is the database that is away, and not the pool that is too small.
#[tokio::test]
async fn a_database_that_is_away_is_no_full_pool() {
    let lab = Lab::start().await;
    let proxy = Proxy::start(lab.database.url()).await;
    let config = ServiceConfig {
        database_url: Some(proxy.url.clone()),
        database_pool: 1,
        ..ServiceConfig::default()
    };
    let node = lab.node_with(config).await;
    proxy.delay(Duration::from_secs(60));

    let pool = node.db.pool().clone();
    let first = tokio::spawn(async move { sqlx::query("SELECT").execute(&pool).await.map(drop) });
    mesh_testkit::eventually("its turn", async || node.db.pool().size() == 1).await;
    let refused = within(2_000, sqlx::query("SELECT").execute(node.db.pool())).await;

    let refused = SubmitError::from(refused.unwrap_err());
    assert_eq!((refused.code(), refused.reason()), (4, "DEADLINE_PASSED"));
    let refused = SubmitError::from(first.await.unwrap().unwrap_err());
    assert_eq!((refused.code(), refused.reason()), (14, "DATABASE_UNAVAILABLE"));
}

#[tokio::test]
async fn the_server_ends_a_closure_s_statement_when_the_time_is_over() {
    let lab = Lab::start().await;
    let (node, admin) = (lab.node_of(1).await, lab.database.pool().await);

    // Warm, so that no time is spent on making the connection.
    insert_then(&node, "SELECT").await.unwrap();
    let ended = within(1500, insert_then(&node, LONG)).await;

    assert!(matches!(ended, Err(SubmitError::Expired)), "{ended:?}");
    assert_eq!(written(&admin).await, 1, "nothing was done");
    assert_eq!(sessions(&admin, "state = 'active' AND query LIKE '%pg_sleep%'").await, 0);
    assert_eq!(node.db.pool().size(), 1, "the connection is as good as before");
    insert_then(&node, "SELECT").await.unwrap();
}

#[tokio::test]
async fn the_server_ends_a_long_read_when_the_time_is_over_and_tells_the_next_nothing_of_it() {
    let lab = Lab::start().await;
    let node = lab.node_of(1).await;
    let admin = lab.database.pool().await;
    sqlx::query("SELECT").execute(node.db.pool()).await.unwrap();

    let ended = within(1500, async {
        let mut connection = node.db.pool().read().await?;
        sqlx::query(LONG).execute(&mut *connection).await?;
        Ok::<_, SubmitError>(())
    })
    .await;

    assert!(matches!(ended, Err(SubmitError::Expired)), "{ended:?}");
    assert_eq!(sessions(&admin, "state = 'active' AND query LIKE '%pg_sleep%'").await, 0);
    let limit: String =
        sqlx::query_scalar("SHOW statement_timeout").fetch_one(node.db.pool()).await.unwrap();
    assert_eq!((limit.as_str(), node.db.pool().size()), ("10s", 1));
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_soon_gives_its_connection_back_and_ends_at_the_server() {
    let lab = Lab::start().await;
    let node = lab.node_of(1).await;
    let admin = lab.database.pool().await;
    sqlx::query("SELECT").execute(node.db.pool()).await.unwrap();

    let ended = within(1500, sqlx::raw_sql(ENDLESS).execute(node.db.pool())).await;
    let dropped = sqlx::raw_sql(ENDLESS).execute(node.db.pool());
    let dropped = tokio::time::timeout(Duration::from_millis(1500), dropped).await;

    let ended = SubmitError::from(ended.unwrap_err());
    assert!(matches!(ended, SubmitError::TimedOut) && ended.code() == 4, "{ended:?}");
    assert!(dropped.is_err(), "{dropped:?}");
    let next: i32 = sqlx::query_scalar("SELECT 1").fetch_one(node.db.pool()).await.unwrap();
    assert_eq!(next, 1);
    mesh_testkit::eventually("the statements to end", async || {
        sessions(&admin, "state = 'active' AND query LIKE '%pg_sleep%'").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_closure_that_goes_on_after_its_caller_s_deadline_is_undone() {
    let lab = Lab::start().await;
    let (node, admin) = (lab.node().await, lab.database.pool().await);

    let ended: Result<(), SubmitError> = within(200, async {
        mesh_log::transact(&node.db, "work", |tx| {
            async move {
                loop {
                    sqlx::query(INSERT).bind(Uuid::now_v7()).execute(&mut *tx).await?;
                }
            }
            .boxed()
        })
        .await
    })
    .await;

    assert!(matches!(ended, Err(SubmitError::Expired)), "{ended:?}");
    assert_eq!(written(&admin).await, 0);
    mesh_testkit::eventually("the transaction to end", async || {
        sessions(&admin, "xact_start IS NOT NULL AND backend_type = 'client backend'").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_transaction_in_which_a_statement_failed_is_not_said_to_be_committed() {
    let lab = Lab::start().await;
    let (node, admin) = (lab.node().await, lab.database.pool().await);

    let ended: Result<(), SubmitError> = mesh_log::transact(&node.db, "work", |tx| {
        async move {
            sqlx::query(INSERT).bind(Uuid::now_v7()).execute(&mut *tx).await?;
            // Not looked at, as if it did not matter.
            let _ = sqlx::query("SELECT 1 / 0").execute(tx).await;
            Ok(())
        }
        .boxed()
    })
    .await;

    assert!(matches!(ended, Err(SubmitError::Database(_))), "{ended:?}");
    assert_eq!(written(&admin).await, 0);
}
