//! A nats-server of our own, with JetStream.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use crate::ca::{self, Authority, Holder, Issued};
use crate::postgres::password;
use crate::{BrokerUser, Home, ProcessSpec, Servers, derived_password, tail, write_private};

/// A broker's data and configuration, and how to run it.
#[derive(Clone, Debug)]
pub struct Nats {
    program: PathBuf,
    name: String,
    config: PathBuf,
    port: u16,
    /// The users' passwords follow from it.
    password: String,
    users: Vec<BrokerUser>,
    tls: Option<Issued>,
}

impl Nats {
    /// Writes the configuration of the broker `name` of the home: these users have one account, and
    /// nobody else may connect. It will listen on this loopback port and nowhere else.
    pub fn prepare(
        home: &Home,
        name: &str,
        servers: &Servers,
        port: u16,
        users: Vec<BrokerUser>,
    ) -> Result<Nats> {
        let dir = home.server_dir(name, None)?;
        let password = password(&home.path(&format!("{name}.password")))?;
        let config = dir.join("nats.conf");
        let program = servers.nats.clone();
        let name = name.to_owned();
        let nats = Nats { program, name, config, port, password, users, tls: None };
        nats.configure()?;
        Ok(nats)
    }

    /// Takes connections by TLS only, with a certificate of `authority`. When it has been
    /// [reissued](Nats::holder), SIGHUP makes the server read it.
    pub fn with_tls(mut self, authority: &Authority) -> Result<Nats> {
        self.tls = Some(authority.issue_to(&self.holder())?);
        self.configure()?;
        Ok(self)
    }

    /// Whom its certificate is issued to.
    pub fn holder(&self) -> Holder {
        let dir = self.config.parent().unwrap_or(&self.config).to_owned();
        Holder::Server { dir, owner: None }
    }

    /// The certificate that it began with, if it has one.
    pub fn issued(&self) -> Option<&Issued> {
        self.tls.as_ref()
    }

    fn configure(&self) -> Result<()> {
        let Self { name, config, port, .. } = self;
        let quoted = |user: &str| format!("\"{}\"", self.password_of(user));
        let users = self.users.iter().map(|user| user.configuration(&quoted(user.name())));
        let users: String = users.collect();
        let store = config.with_file_name("data");
        let tls = self.tls.as_ref().map_or_else(String::new, |issued| {
            let (certificate, key) = (&issued.files.certificate, &issued.files.key);
            format!(
                "tls {{ cert_file: {certificate:?}, key_file: {key:?}, min_version: \"1.3\" }}\n"
            )
        });
        let text = format!(
            "server_name: \"{name}\"\nlisten: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: {store:?} }}\n\
             authorization {{ users: [\n{users}] }}\n{tls}"
        );
        write_private(config, &text).with_context(|| format!("cannot write {}", config.display()))
    }

    /// The URL for one of its users, with the password. With TLS it also names the file of those to
    /// trust, as `tls_ca`, which [`connect_nats`](crate::connect_nats) understands.
    pub fn url(&self, user: &str) -> String {
        let (password, port) = (self.password_of(user), self.port);
        match &self.tls {
            None => format!("nats://{user}:{password}@127.0.0.1:{port}"),
            Some(issued) => {
                let trust = ca::query_escaped(&issued.files.trust);
                format!("tls://{user}:{password}@127.0.0.1:{port}?tls_ca={trust}")
            }
        }
    }

    fn password_of(&self, user: &str) -> String {
        derived_password(&self.password, user)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to run the server.
    pub fn spec(&self, log: PathBuf, pid_file: Option<PathBuf>) -> ProcessSpec {
        ProcessSpec {
            name: "nats".to_owned(),
            replica: 0,
            program: self.program.clone(),
            args: vec!["--config".into(), self.config.clone().into()],
            env: Vec::new(),
            directory: None,
            log,
            pid_file,
            user: None,
            stop: Signal::TERM,
        }
    }

    /// Waits until the server takes connections and has JetStream.
    pub async fn ready(&self, patience: Duration, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while !self.greets().await {
            if begun.elapsed() > patience {
                let said = tail(log, 5);
                bail!("nats-server did not start; {} ends with\n{said}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn greets(&self) -> bool {
        let greeting = async {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        let greeting = tokio::time::timeout(Duration::from_secs(1), greeting).await;
        matches!(greeting, Ok(Ok(line)) if line.contains("\"jetstream\":true"))
    }
}
