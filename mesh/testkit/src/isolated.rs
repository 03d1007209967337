//! Servers of a test's own, which it may stop, kill and start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use mesh_local::{
    BrokerUser, Durability, Home, Nats, Postgres, ProcessSpec, Signal, Supervised, free_port,
};

use crate::shared::TESTER;
use crate::{paths, patience, shared, sweep};

/// How long a server may take to end when asked.
const ENDING: Duration = Duration::from_secs(10);

/// A nats-server of the test's own. Ends with the value.
#[derive(Debug)]
pub struct IsolatedNats {
    nats: Nats,
    own: Own,
}

/// A PostgreSQL server of the test's own. Ends with the value.
#[derive(Debug)]
pub struct IsolatedPostgres {
    postgres: Postgres,
    own: Own,
}

/// The process and the directory of a test's own server.
#[derive(Debug)]
struct Own {
    home: Home,
    process: Supervised,
}

/// Starts a nats-server with JetStream that no other test uses.
///
/// # Panics
/// If it cannot be started, saying why.
pub async fn isolated_nats() -> IsolatedNats {
    nats_with(Vec::new()).await
}

/// Starts a nats-server that no other test uses and that has these users, too.
///
/// # Panics
/// If it cannot be started, saying why.
pub async fn nats_with(mut users: Vec<BrokerUser>) -> IsolatedNats {
    users.push(BrokerUser::everything(TESTER));
    let start = async move {
        shared::servers().await;
        let home = own_home()?;
        let servers = shared::executables().await;
        let nats = Nats::prepare(&home, "nats", servers, free_port()?, users)?;
        let process = supervise(&home, |log, pid| nats.spec(log, pid))?;
        nats.ready(patience(), &process.spec().log).await?;
        Ok::<_, anyhow::Error>(IsolatedNats { nats, own: Own { home, process } })
    };
    start.await.unwrap_or_else(|error| panic!("cannot start a nats-server: {error:?}"))
}

/// Starts a PostgreSQL server that no other test uses.
///
/// # Panics
/// If it cannot be started, saying why.
pub async fn isolated_postgres() -> IsolatedPostgres {
    let start = async {
        shared::servers().await;
        let home = own_home()?;
        let servers = shared::executables().await;
        let port = free_port()?;
        let postgres =
            Postgres::prepare(&home, "postgres", servers, port, Durability::None).await?;
        let process = supervise(&home, |log, pid| postgres.spec(log, pid))?;
        postgres.ready(patience(), &process.spec().log).await?;
        Ok::<_, anyhow::Error>(IsolatedPostgres { postgres, own: Own { home, process } })
    };
    start.await.unwrap_or_else(|error| panic!("cannot start PostgreSQL: {error:?}"))
}

impl IsolatedNats {
    /// The URL for a test, which may do everything; the same after every restart.
    pub fn url(&self) -> String {
        self.nats.url(TESTER)
    }

    /// The URL for one of the users that it was started with.
    pub fn url_of(&self, user: &str) -> String {
        self.nats.url(user)
    }

    /// The process, to send it signals. A killed one is started again after 100 ms.
    pub fn process(&self) -> &Supervised {
        &self.own.process
    }

    /// Where the streams lie on disk. To change anything there, take the server down first.
    pub fn data(&self) -> PathBuf {
        self.own.home.path("nats/data")
    }

    /// Kills the server (SIGKILL) and waits until it is back.
    pub async fn kill(&self) {
        self.own.kill().await;
        self.ready().await;
    }

    /// Kills the server (SIGKILL) and keeps it away.
    pub async fn down(&self) {
        self.own.process.down(Signal::KILL, ENDING).await;
    }

    /// Starts a server that was taken down, and waits until it answers.
    pub async fn up(&self) {
        self.own.process.up();
        self.ready().await;
    }

    async fn ready(&self) {
        let ready = self.nats.ready(patience(), &self.own.process.spec().log).await;
        ready.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

impl IsolatedPostgres {
    /// The superuser's URL; the same after every restart.
    pub fn superuser_url(&self) -> String {
        self.postgres.url()
    }

    /// Makes a service's database and role, and returns the role's URL.
    pub async fn database(&self, service: &str) -> Result<String> {
        crate::database::on_own_server(&self.postgres.url(), self.postgres.password(), service)
            .await
    }

    /// The process, to send it signals. A killed one is started again after 100 ms.
    pub fn process(&self) -> &Supervised {
        &self.own.process
    }

    /// Kills the server (SIGKILL) and waits until it is back.
    pub async fn kill(&self) {
        self.own.kill().await;
        self.ready().await;
    }

    /// Ends the server by a fast shutdown and keeps it away.
    pub async fn down(&self) {
        self.own.process.down(Signal::INT, ENDING).await;
    }

    /// Starts a server that was taken down, and waits until it answers.
    pub async fn up(&self) {
        self.own.process.up();
        self.ready().await;
    }

    async fn ready(&self) {
        let ready = self.postgres.ready(patience(), &self.own.process.spec().log).await;
        ready.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

impl Own {
    async fn kill(&self) {
        let before = self.process.status();
        self.process.signal(Signal::KILL);
        self.process.started(before.starts + 1).await;
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.process.abandon();
        if let Some(pid_file) = &self.process.spec().pid_file {
            let _ = std::fs::remove_file(pid_file);
        }
        // What cannot be removed now, a later test removes.
        let _ = self.home.remove();
    }
}

pub(crate) fn own_home() -> Result<Home> {
    let name = sweep::unique();
    Home::at(&paths::home().path("isolated").join(name))
}

fn supervise(
    home: &Home,
    spec: impl FnOnce(PathBuf, Option<PathBuf>) -> ProcessSpec,
) -> Result<Supervised> {
    let unique = home.root().file_name().unwrap_or_default();
    let pid_file = paths::home().run()?.join(Path::new(unique)).with_extension("pid");
    Ok(Supervised::start(spec(home.logs()?.join("log"), Some(pid_file))))
}
