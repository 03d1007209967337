//! Commands that are gathered into one transaction.

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Gather, SubmitError, Work};
use sqlx::PgConnection;

use crate::lab::Lab;

/// Inserts rows; a command that names a row twice breaks the table's rule.
struct Insert;

impl Work for Insert {
    type Command = i64;
    type Outcome = i64;

    fn label(_: &i64) -> &'static str {
        "insert"
    }

    fn apply<'c>(
        &'c self,
        tx: &'c mut PgConnection,
        commands: &'c [i64],
    ) -> BoxFuture<'c, sqlx::Result<Vec<i64>>> {
        async move {
            sqlx::query("INSERT INTO numbers SELECT unnest($1::bigint[])")
                .bind(commands)
                .execute(tx)
                .await?;
            Ok(commands.to_vec())
        }
        .boxed()
    }
}

async fn numbers(lab: &Lab) -> sqlx::PgPool {
    let pool = lab.database.pool().await;
    sqlx::query("CREATE TABLE numbers (n bigint PRIMARY KEY)").execute(&pool).await.unwrap();
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_that_cannot_be_written_does_not_fail_its_neighbours() {
    let lab = Lab::start().await;
    let pool = numbers(&lab).await;
    let node = lab.node().await;
    let gather = Gather::start(&node.db, &node.service, Insert);

    let submitted = (0..100).map(|n| {
        let gather = gather.clone();
        async move { gather.submit(n % 90).await }
    });
    let outcomes = futures::future::join_all(submitted).await;

    let failed = outcomes.iter().filter(|o| matches!(o, Err(SubmitError::Database(_)))).count();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM numbers").fetch_one(&pool).await.unwrap();
    assert_eq!((failed, count), (10, 90));
}

#[tokio::test]
async fn a_command_whose_deadline_has_passed_is_not_carried_out() {
    let lab = Lab::start().await;
    let pool = numbers(&lab).await;
    let node = lab.node().await;
    let gather = Gather::start(&node.db, &node.service, Insert);
    let past = tokio::time::Instant::now();

    let late = mesh_runtime::deadline::scope(past, gather.submit(1)).await;

    assert!(matches!(late, Err(SubmitError::Expired)), "{late:?}");
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM numbers").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_and_the_batch_repeated() {
    let lab = Lab::start().await;
    numbers(&lab).await;
    let node = lab.node().await;
    let gather = Gather::start(&node.db, &node.service, Insert);
    gather.submit(1).await.unwrap();
    let id = node.db.replica().id().unwrap().to_string();

    let mut admin =
        sqlx::postgres::PgPool::connect(lab.database.url()).await.unwrap().acquire().await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = $1 AND query LIKE '%numbers%' OR query = 'COMMIT'
           AND datname = current_database() AND pid <> pg_backend_pid()",
    )
    .bind(id)
    .fetch_one(&mut *admin)
    .await
    .unwrap();

    assert!(ended >= 1, "the writer's session was ended");
    assert_eq!(gather.submit(2).await.unwrap(), 2);
}
