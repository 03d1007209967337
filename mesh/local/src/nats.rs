//! A nats-server of our own, with JetStream.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use crate::postgres::password;
use crate::{Home, ProcessSpec, Servers, tail, write_private};

/// A broker's data and configuration, and how to run it.
#[derive(Clone, Debug)]
pub struct Nats {
    program: PathBuf,
    config: PathBuf,
    port: u16,
    password: String,
}

const USER: &str = "mesh";

impl Nats {
    /// Writes the configuration of the broker `name` of the home. It will listen on this
    /// loopback port and nowhere else.
    pub fn prepare(home: &Home, name: &str, servers: &Servers, port: u16) -> Result<Nats> {
        let dir = home.server_dir(name, None)?;
        let password = password(&home.path(&format!("{name}.password")))?;
        let config = dir.join("nats.conf");
        let store = dir.join("data");
        let text = format!(
            "server_name: \"{name}\"\nlisten: \"127.0.0.1:{port}\"\n\
             jetstream {{ store_dir: {store:?} }}\n\
             authorization {{ user: {USER}, password: \"{password}\" }}\n"
        );
        write_private(&config, &text)
            .with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Nats { program: servers.nats.clone(), config, port, password })
    }

    /// The URL, with user and password.
    pub fn url(&self) -> String {
        format!("nats://{USER}:{}@127.0.0.1:{}", self.password, self.port)
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
