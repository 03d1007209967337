//! The servers that all tests of a checkout share.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mesh_local::{
    BrokerUser, Durability, Home, Identity, Nats, Postgres, ProcessSpec, Progress, Servers, Signal,
    free_port, replace,
};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::{paths, sweep};

/// Stops the servers once nobody has touched the heartbeat for two minutes. A shell script, because
/// it has to outlive every test process. It takes `servers.json` away and looks once more before
/// it acts: a test that comes in between either sees no file, or is seen.
const WATCHER: &str = r#"
cd "$1" || exit 1
while kill -0 "$2" 2>/dev/null || kill -0 "$3" 2>/dev/null; do
  sleep 5
  [ -n "$(find heartbeat -mmin -2 2>/dev/null)" ] && continue
  mv servers.json servers.stopping 2>/dev/null
  if [ -n "$(find heartbeat -mmin -2 2>/dev/null)" ]; then
    mv servers.stopping servers.json
    continue
  fi
  kill -INT "$2" 2>/dev/null
  kill "$3" 2>/dev/null
  rm -f servers.stopping
  exit 0
done
"#;
const HEARTBEAT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
/// The user of a test's broker that may do everything.
pub(crate) const TESTER: &str = "tester";

/// How to reach the shared servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SharedServers {
    pub postgres_url: String,
    pub postgres_password: String,
    postgres: Identity,
    pub nats_url: String,
    nats: Identity,
}

/// The running servers; started if they do not run.
///
/// # Panics
/// If they cannot be started, saying why.
pub(crate) async fn servers() -> &'static SharedServers {
    static SHARED: OnceCell<SharedServers> = OnceCell::const_new();
    SHARED
        .get_or_init(async || match find_or_start().await {
            Ok(shared) => shared,
            Err(error) => panic!("the servers for tests cannot be started: {error:?}"),
        })
        .await
}

/// The servers' executables.
///
/// # Panics
/// If they are neither on this machine nor can be installed, saying why.
pub(crate) async fn executables() -> &'static Servers {
    static EXECUTABLES: OnceCell<Servers> = OnceCell::const_new();
    EXECUTABLES
        .get_or_init(async || match Servers::find(&paths::home(), &mut Progress::stderr()).await {
            Ok(servers) => servers,
            Err(error) => panic!("tests need PostgreSQL and nats-server: {error:?}"),
        })
        .await
}

async fn find_or_start() -> Result<SharedServers> {
    let home = paths::home();
    let lock = lock(&home, "lock").await?;
    beat(home.path("heartbeat").as_path())?;
    let begun = Instant::now();
    let shared = loop {
        if let Some(shared) = running(&home).await {
            break shared;
        }
        match start(&home).await {
            Ok(shared) => break shared,
            // The watcher may be stopping the last ones.
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    sweep::processes(&home).await?;
    sweep::databases(&shared.postgres_url).await?;
    lock.unlock()?;
    Ok(shared)
}

/// Takes a lock of the home that other test processes respect.
pub(crate) async fn lock(home: &Home, name: &str) -> Result<File> {
    let path = home.path(name);
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await??)
}

/// Keeps the servers alive for as long as this process lives.
fn beat(heartbeat: &Path) -> Result<()> {
    fs::write(heartbeat, "")?;
    let heartbeat = heartbeat.to_owned();
    thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        loop {
            thread::sleep(HEARTBEAT);
            if fs::write(&heartbeat, "").is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

async fn running(home: &Home) -> Option<SharedServers> {
    let text = fs::read_to_string(home.path("servers.json")).ok()?;
    let shared: SharedServers = serde_json::from_str(&text).ok()?;
    let both = shared.postgres.alive() && shared.nats.alive();
    if both && PgConnection::connect(&shared.postgres_url).await.is_ok() {
        return Some(shared);
    }
    // One without the other, or not answering: begin anew.
    shared.postgres.signal(Signal::INT);
    shared.nats.signal(Signal::TERM);
    let begun = Instant::now();
    while (shared.postgres.alive() || shared.nats.alive()) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn start(home: &Home) -> Result<SharedServers> {
    let servers = executables().await;
    let name = format!("postgres-{}", servers.postgres_version);
    let postgres = Postgres::prepare(home, &name, servers, free_port()?, Durability::None).await?;
    let users = vec![BrokerUser::everything(TESTER)];
    let nats = Nats::prepare(home, "nats", servers, free_port()?, users)?;
    let logs = home.logs()?;
    let postgres_spec = postgres.spec(logs.join("postgres.log"), None);
    let nats_spec = nats.spec(logs.join("nats.log"), None);

    let postgres_is = spawn(&postgres_spec)?;
    let nats_is = spawn(&nats_spec)?;
    let up = tokio::try_join!(
        postgres.ready(Duration::from_secs(15), &postgres_spec.log),
        nats.ready(Duration::from_secs(15), &nats_spec.log),
    );
    if let Err(error) = up {
        postgres_is.signal(Signal::INT);
        nats_is.signal(Signal::TERM);
        return Err(error);
    }
    let shared = SharedServers {
        postgres_url: postgres.url(),
        postgres_password: postgres.password().to_owned(),
        postgres: postgres_is,
        nats_url: nats.url(TESTER),
        nats: nats_is,
    };
    replace(&home.path("servers.json"), &serde_json::to_string(&shared)?)?;
    watch(home, &shared)?;
    Ok(shared)
}

fn spawn(spec: &ProcessSpec) -> Result<Identity> {
    let child = spec
        .command()?
        .spawn()
        .with_context(|| format!("cannot start {}", spec.program.display()))?;
    Identity::of(child.id())
        .with_context(|| format!("{} ended at once, see {}", spec.name, spec.log.display()))
}

fn watch(home: &Home, shared: &SharedServers) -> Result<()> {
    Command::new("sh")
        .args(["-c", WATCHER, "mesh-test-watcher"])
        .arg(home.root())
        .args([shared.postgres.pid.to_string(), shared.nats.pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start sh")?;
    Ok(())
}
