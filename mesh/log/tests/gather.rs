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

/// Notes how large each batch was.
struct Sizes(std::sync::mpsc::Sender<usize>);

impl Work for Sizes {
    type Command = i64;
    type Outcome = ();

    const ONE_STATEMENT: bool = true;
    const WRITES: bool = false;
    /// Longer than any pause of a busy machine.
    const PACE: std::time::Duration = std::time::Duration::from_secs(2);

    fn label(_: &i64) -> &'static str {
        "size"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        commands: &'c [i64],
    ) -> BoxFuture<'c, sqlx::Result<Vec<()>>> {
        async move {
            sqlx::query("SELECT").execute(connection).await?;
            let _ = self.0.send(commands.len());
            Ok(vec![(); commands.len()])
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_lone_command_never_waits_and_crowded_ones_come_in_fewer_batches() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (sender, sizes) = std::sync::mpsc::channel();
    let gather = Gather::start(&node.db, &node.service, Sizes(sender));
    let submit = |count| futures::future::join_all((0..count).map(|n| gather.submit(n)));

    let begun = std::time::Instant::now();
    for _ in 0..3 {
        submit(1).await;
    }
    let alone = begun.elapsed();
    submit(5).await;
    // Two that come apart, while the pace holds the next batch back.
    futures::join!(submit(1), async {
        tokio::time::sleep(Sizes::PACE / 10).await;
        submit(1).await
    });

    assert_eq!(sizes.try_iter().collect::<Vec<_>>(), [1, 1, 1, 5, 2]);
    assert!(alone < Sizes::PACE, "lone commands were held back: {alone:?}");
}

/// Inserts, and fails once in its own way, after its first success.
struct Failing {
    how: &'static str,
    attempts: std::sync::atomic::AtomicU32,
}

impl Failing {
    fn second(how: &'static str) -> Self {
        Self { how, attempts: 0.into() }
    }
}

impl Work for Failing {
    type Command = i64;
    type Outcome = i64;

    /// Each statement of `apply` commits by itself.
    const ONE_STATEMENT: bool = true;

    fn label(_: &i64) -> &'static str {
        "fail"
    }

    fn apply<'c>(
        &'c self,
        connection: &'c mut PgConnection,
        commands: &'c [i64],
    ) -> BoxFuture<'c, sqlx::Result<Vec<i64>>> {
        use std::sync::atomic::Ordering::Relaxed;
        async move {
            let fails = self.attempts.fetch_add(1, Relaxed) == 1;
            if fails && self.how == LOST_RACE {
                sqlx::raw_sql(LOST_RACE).execute(connection).await?;
                return Ok(commands.to_vec());
            }
            sqlx::query("INSERT INTO numbers SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING")
                .bind(commands)
                .execute(&mut *connection)
                .await?;
            if fails {
                sqlx::raw_sql(self.how).execute(connection).await?;
            }
            Ok(commands.to_vec())
        }
        .boxed()
    }
}

const LOST_RACE: &str = "DO $$ BEGIN PERFORM pg_sleep(2);
    RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$";
const LOST_CONNECTION: &str = "SELECT pg_sleep(2), pg_terminate_backend(pg_backend_pid())";

async fn rows(pool: &sqlx::PgPool) -> Vec<i64> {
    sqlx::query_scalar("SELECT n FROM numbers ORDER BY n").fetch_all(pool).await.unwrap()
}

/// One who has little time, and one who has enough.
async fn hasty_and_patient<W: Work<Command = i64, Outcome = i64>>(
    gather: &Gather<W>,
) -> (Result<i64, SubmitError>, Result<i64, SubmitError>) {
    let soon = tokio::time::Instant::now() + std::time::Duration::from_millis(1500);
    tokio::join!(mesh_runtime::deadline::scope(soon, gather.submit(1)), gather.submit(2))
}

#[tokio::test]
async fn a_command_that_expires_before_another_attempt_is_not_carried_out() {
    let lab = Lab::start().await;
    let pool = numbers(&lab).await;
    let node = lab.node().await;
    let gather = Gather::start(&node.db, &node.service, Failing::second(LOST_RACE));
    gather.submit(0).await.unwrap();

    let (hasty, patient) = hasty_and_patient(&gather).await;

    assert!(matches!(hasty, Err(SubmitError::Expired)), "{hasty:?}");
    assert_eq!((patient.unwrap(), rows(&pool).await), (2, vec![0, 2]));
}

#[tokio::test]
async fn a_command_that_expires_while_a_connection_is_made_is_not_carried_out() {
    let lab = Lab::start().await;
    let pool = numbers(&lab).await;
    let proxy = crate::proxy::Proxy::start(lab.database.url()).await;
    let config = mesh_runtime::ServiceConfig {
        database_url: Some(proxy.url.clone()),
        ..mesh_runtime::ServiceConfig::default()
    };
    let node = lab.node_with(config).await;
    let gather = Gather::start(&node.db, &node.service, Insert);
    proxy.delay(std::time::Duration::from_millis(2000));

    let (hasty, patient) = hasty_and_patient(&gather).await;

    assert!(matches!(hasty, Err(SubmitError::Expired)), "{hasty:?}");
    assert_eq!((patient.unwrap(), rows(&pool).await), (2, vec![2]));
}

#[tokio::test]
async fn of_a_command_that_may_have_been_carried_out_nobody_says_that_it_was_not() {
    let lab = Lab::start().await;
    let pool = numbers(&lab).await;
    let node = lab.node().await;
    let gather = Gather::start(&node.db, &node.service, Failing::second(LOST_CONNECTION));
    gather.submit(0).await.unwrap();

    let (hasty, patient) = hasty_and_patient(&gather).await;

    assert!(matches!(hasty, Err(SubmitError::Database(_))), "{hasty:?}");
    assert_eq!((patient.unwrap(), rows(&pool).await), (2, vec![0, 1, 2]));
}
