//! The kit keeps its own promises.

use std::time::Instant;

use mesh_testkit::{Database, eventually, isolated_nats, isolated_postgres, nats, superuser_url};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, Row};

#[tokio::test]
async fn two_databases_of_a_service_have_its_schema_and_not_each_others_rows() {
    let migrations = migrations();
    let first = Database::empty("letters", &migrations).await;
    let second = Database::empty("letters", &migrations).await;
    let (first_pool, second_pool) = (first.pool().await, second.pool().await);

    sqlx::query("INSERT INTO letters VALUES (1)").execute(&first_pool).await.unwrap();

    let rows = sqlx::query("SELECT id FROM letters").fetch_all(&second_pool).await.unwrap();
    assert!(rows.is_empty());
    let owner = sqlx::query("SELECT tableowner FROM pg_tables WHERE tablename = 'letters'");
    let owner: String = owner.fetch_one(&second_pool).await.unwrap().get(0);
    assert_eq!(owner, "letters");
}

#[tokio::test]
async fn a_role_cannot_connect_to_the_database_of_another() {
    let mine = Database::blank("letters").await;
    let yours = Database::blank("parcels").await;
    let stranger = mine.url().replace(mine.name(), yours.name());

    let refused = PgConnection::connect(&stranger).await.unwrap_err();

    assert!(refused.to_string().contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn a_dropped_database_is_gone() {
    let database = Database::blank("letters").await;
    let name = database.name().to_owned();

    drop(database);

    let mut connection = PgConnection::connect(&superuser_url().await).await.unwrap();
    let found = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(name);
    assert!(found.fetch_optional(&mut connection).await.unwrap().is_none());
}

#[tokio::test]
async fn an_isolated_broker_keeps_its_streams_through_a_kill() {
    let shared = mesh_local::connect_nats(&nats().await).await.unwrap();
    let broker = isolated_nats().await;
    let client = mesh_local::connect_nats(&broker.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let config =
        async_nats::jetstream::stream::Config { name: "letters".to_owned(), ..Default::default() };
    jetstream.create_stream(config).await.unwrap();

    broker.kill().await;
    broker.down().await;
    broker.up().await;

    eventually("the stream to be there", async || jetstream.get_stream("letters").await.ok()).await;
    assert!(broker.data().is_dir());
    assert!(!broker.url().ends_with(&format!(":{}", shared.server_info().port)));
}

#[tokio::test]
async fn an_isolated_postgres_keeps_its_rows_through_a_kill() {
    let server = isolated_postgres().await;
    let url = server.database("letters").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .execute(&mut connection)
        .await
        .unwrap();

    server.kill().await;
    server.down().await;
    assert!(PgConnection::connect(&url).await.is_err());
    server.up().await;

    let mut connection = PgConnection::connect(&url).await.unwrap();
    let n: i32 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(n, 7);
}

#[tokio::test]
async fn eventually_asks_until_there_is_an_answer() {
    let mut asked = 0;

    let answer = eventually("the third answer", async || {
        asked += 1;
        (asked == 3).then_some("yes")
    })
    .await;

    assert_eq!(answer, "yes");
    let begun = Instant::now();
    eventually("the truth", async || begun.elapsed().as_millis() > 1).await;
}

fn migrations() -> Migrator {
    let create = Migration::new(
        1,
        "letters".into(),
        MigrationType::Simple,
        sqlx::SqlStr::from_static("CREATE TABLE letters (id int PRIMARY KEY)"),
        false,
    );
    Migrator { migrations: vec![create].into(), ..Migrator::DEFAULT }
}
