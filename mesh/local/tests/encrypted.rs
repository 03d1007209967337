//! PostgreSQL and nats-server take connections by TLS only, and change certificates while they run.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_local::{
    Authority, BrokerUser, Durability, Home, Nats, Postgres, Progress, Servers, Signal, Source,
    Supervised, connect_nats, ensure_database, free_port,
};
use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn postgres_takes_encrypted_connections_only_and_clients_verify_it() {
    let home = home("tls-postgres");
    // The wheel's PostgreSQL has no TLS.
    let servers = servers(&home, Source::System).await;
    let authority = Authority::open(&home.path("identity")).unwrap();
    let stranger = Authority::open(&home.path("stranger")).unwrap();
    let port = free_port().unwrap();
    let postgres =
        Postgres::prepare(&home, "postgres", &servers, port, Durability::None).await.unwrap();
    let postgres = postgres.with_tls(&authority).await.unwrap();
    let log = home.path("postgres.log");
    let process = Supervised::start(postgres.spec(log.clone(), None));
    postgres.ready(PATIENCE, &log).await.unwrap();

    let mine = ensure_database(&postgres.url(), "mine", "secret").await.unwrap();
    assert_eq!(version(&mine).await.unwrap(), "TLSv1.3");
    let plain = mine.split('?').next().unwrap();
    let refused = version(&format!("{plain}?sslmode=disable")).await.unwrap_err().to_string();
    assert!(refused.contains("no encryption"), "{refused}");
    let strangers = stranger.trust();
    let strangers = format!("{plain}?sslmode=verify-full&sslrootcert={}", strangers.display());
    let refused = version(&strangers).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    // Replaced while it runs: whoever connects from now on sees the stranger's.
    stranger.issue_to(&postgres.holder()).unwrap();
    process.signal(Signal::HUP);
    let patience = tokio::time::timeout(PATIENCE, async {
        while version(&strangers).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    patience.await.expect("the new certificate is read");
    process.stop(PATIENCE).await;
    home.wipe("postgres").unwrap();
}

#[tokio::test]
async fn postgres_without_tls_says_what_to_do() {
    let home = home("tls-wheel");
    let servers = servers(&home, Source::Wheel).await;
    let authority = Authority::open(&home.path("identity")).unwrap();
    let port = free_port().unwrap();
    let postgres =
        Postgres::prepare(&home, "postgres", &servers, port, Durability::None).await.unwrap();

    let error = postgres.with_tls(&authority).await.unwrap_err().to_string();

    assert!(error.contains("without TLS") && error.contains("MESH_POSTGRES=system"), "{error}");
    home.wipe("postgres").unwrap();
}

#[tokio::test]
async fn nats_takes_encrypted_connections_only_and_clients_verify_it() {
    let home = home("tls-nats");
    let servers = servers(&home, Source::Any).await;
    let authority = Authority::open(&home.path("identity")).unwrap();
    let stranger = Authority::open(&home.path("stranger")).unwrap();
    let users = vec![BrokerUser::everything("root")];
    let nats = Nats::prepare(&home, "nats", &servers, free_port().unwrap(), users).unwrap();
    let nats = nats.with_tls(&authority).unwrap();
    let log = home.path("nats.log");
    let process = Supervised::start(nats.spec(log.clone(), None));
    nats.ready(PATIENCE, &log).await.unwrap();
    let url = nats.url("root");
    let (address, _) = url.split_once('?').unwrap();
    let strangers = format!("{address}?tls_ca={}", stranger.trust().display());
    let (_, server) = url.split_once('@').unwrap();

    connect_nats(&url).await.unwrap().flush().await.unwrap();
    assert!(connect_nats(&strangers).await.is_err(), "another authority's");
    assert!(connect_nats(&format!("tls://{server}")).await.is_err(), "nobody's");

    // Replaced while it runs: whoever connects from now on sees the stranger's.
    stranger.issue_to(&nats.holder()).unwrap();
    process.signal(Signal::HUP);
    let patience = tokio::time::timeout(PATIENCE, async {
        while connect_nats(&strangers).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    patience.await.expect("the new certificate is read");
    process.stop(PATIENCE).await;
    home.wipe("nats").unwrap();
}

#[test]
fn a_key_is_its_owners_only() {
    let home = home("keys");
    let authority = Authority::open(&home.path("identity")).unwrap();

    let files = authority.issue("orders").unwrap().files;

    for path in [&files.key, &home.path("identity/ca.key")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let dir = files.key.parent().unwrap();
    assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(authority.issue("../orders").is_err(), "no way out of the directory");
    assert!(authority.issue("").is_err());
}

/// The TLS version of a connection, if there is one.
async fn version(url: &str) -> sqlx::Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut connection)
        .await
}

fn home(name: &str) -> Home {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let project = Home::of_project(&project).unwrap();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("encrypted-{name}"));
    let home = Home::at(&root).unwrap().sharing_wheels(&project);
    home.wipe("postgres").unwrap();
    home
}

async fn servers(home: &Home, postgres: Source) -> Servers {
    Servers::find_from(home, postgres, Source::Any, &mut Progress::hidden()).await.unwrap()
}
