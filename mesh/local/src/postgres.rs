//! A PostgreSQL server of our own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use uuid::Uuid;

use crate::ca::{self, Authority, Holder, Issued};
use crate::{Home, ProcessSpec, Servers, User, tail, write_private};

/// What the name of a socket can be long, with its final zero left out (`sun_path`).
const LONGEST_SOCKET: usize = 107;
/// With certificates, nobody connects without TLS.
const TLS_ONLY: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// Whether data must outlive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// PostgreSQL's defaults: a commit is on disk.
    Default,
    /// Nothing waits for the disk. A killed server loses nothing all the same, a crashed machine
    /// does: for tests.
    None,
}

/// A database cluster, and how to run its server.
#[derive(Clone, Debug)]
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    user: Option<User>,
    port: u16,
    password: String,
    durability: Durability,
    tls: Option<Tls>,
}

/// How connections are encrypted.
#[derive(Clone, Debug)]
struct Tls {
    issued: Issued,
    /// Who may connect, and how.
    access: PathBuf,
}

impl Postgres {
    /// Creates the cluster `name` of the home, unless it is there. The server will listen on
    /// this loopback port and nowhere else.
    pub async fn prepare(
        home: &Home,
        name: &str,
        servers: &Servers,
        port: u16,
        durability: Durability,
    ) -> Result<Postgres> {
        let user = servers.postgres_user.clone();
        let dir = home.server_dir(name, user.as_ref())?;
        let password = password(&home.path(&format!("{name}.password")))?;
        let postgres = Postgres {
            bin: servers.postgres.clone(),
            data: dir.join("data"),
            user,
            port,
            password,
            durability,
            tls: None,
        };
        match fs::read_to_string(postgres.data.join("PG_VERSION")) {
            Ok(version) if version.trim() == servers.postgres_version.to_string() => {}
            Ok(version) => bail!(
                "{} was made by PostgreSQL {}, but {} is version {}: choose the other with \
                 MESH_POSTGRES=system or MESH_POSTGRES=wheel, or remove the data",
                postgres.data.display(),
                version.trim(),
                servers.postgres.display(),
                servers.postgres_version
            ),
            Err(_) => postgres.init(&dir).await?,
        }
        Ok(postgres)
    }

    /// Takes connections by TLS only, with a certificate of `authority`, which clients that verify
    /// the host accept. When it has been [reissued](Postgres::holder), SIGHUP makes the server read
    /// it.
    pub async fn with_tls(mut self, authority: &Authority) -> Result<Postgres> {
        self.check_tls().await?;
        let access = self.dir().join("pg_hba.tls.conf");
        ca::put(&access, TLS_ONLY, self.user.as_ref())?;
        let issued = authority.issue_to(&self.holder())?;
        self.tls = Some(Tls { issued, access });
        Ok(self)
    }

    /// Whom its certificate is issued to.
    pub fn holder(&self) -> Holder {
        Holder::Server { dir: self.dir().to_owned(), owner: self.user.clone() }
    }

    /// The certificate that it began with, if it has one.
    pub fn issued(&self) -> Option<&Issued> {
        self.tls.as_ref().map(|tls| &tls.issued)
    }

    /// The superuser's URL. It says how the connection is secured, too.
    pub fn url(&self) -> String {
        let Self { password, port, .. } = self;
        let security = self.tls.as_ref().map_or_else(String::new, |tls| {
            let trust = ca::query_escaped(&tls.issued.files.trust);
            format!("?sslmode=verify-full&sslrootcert={trust}")
        });
        format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres{security}")
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The same database by the server's socket, which costs a client on this machine less than a
    /// port does. Only users who may enter the cluster's directory can take it: ours. With
    /// certificates everybody takes the port.
    pub fn by_socket(&self, url: &str) -> String {
        match self.sockets() {
            Some(directory) if self.tls.is_none() => {
                format!("{url}?host={}", ca::query_escaped(directory))
            }
            _ => url.to_owned(),
        }
    }

    /// Where the server's socket is, if its name is not too long for one.
    fn sockets(&self) -> Option<&Path> {
        let directory = self.data.parent()?;
        let longest = directory.join(".s.PGSQL.65535");
        (longest.as_os_str().len() <= LONGEST_SOCKET).then_some(directory)
    }

    /// How to run the server.
    pub fn spec(&self, log: PathBuf, pid_file: Option<PathBuf>) -> ProcessSpec {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", quoted(self.sockets())),
            // Whoever may enter the directory.
            "unix_socket_permissions=0777".to_owned(),
            format!("port={}", self.port),
            "max_connections=400".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "logging_collector=off".to_owned(),
        ];
        if self.durability == Durability::None {
            settings.push("fsync=off".to_owned());
            settings.push("full_page_writes=off".to_owned());
        }
        if let Some(Tls { issued, access }) = &self.tls {
            let files = &issued.files;
            settings.push("ssl=on".to_owned());
            settings.push("ssl_min_protocol_version=TLSv1.3".to_owned());
            settings.push(format!("ssl_cert_file={}", files.certificate.display()));
            settings.push(format!("ssl_key_file={}", files.key.display()));
            settings.push(format!("hba_file={}", access.display()));
        }
        let mut args = vec![OsString::from("-D"), self.data.clone().into()];
        for setting in settings {
            args.push("-c".into());
            args.push(setting.into());
        }
        ProcessSpec {
            name: "postgres".to_owned(),
            replica: 0,
            program: self.bin.join("postgres"),
            args,
            env: vec![("LC_ALL".to_owned(), "C".to_owned())],
            directory: Some("/".into()),
            log,
            pid_file,
            user: self.user.clone(),
            // Fast shutdown: ends sessions instead of waiting for them.
            stop: Signal::INT,
        }
    }

    /// Waits until the server takes connections.
    pub async fn ready(&self, patience: Duration, log: &Path) -> Result<()> {
        let begun = Instant::now();
        loop {
            let error = match PgConnection::connect(&self.url()).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) => error,
            };
            if begun.elapsed() > patience {
                return Err(error).with_context(|| {
                    let said = tail(log, 5);
                    format!("PostgreSQL did not start; {} ends with\n{said}", log.display())
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The server's directory, which its user owns.
    fn dir(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// Some builds of PostgreSQL have no TLS in them.
    async fn check_tls(&self) -> Result<()> {
        let mut command = Command::new(self.bin.join("postgres"));
        command.args(["-C", "ssl_library", "-D"]).arg(&self.data);
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let output = command.output().await;
        let output =
            output.with_context(|| format!("cannot run {}/postgres", self.bin.display()))?;
        if String::from_utf8_lossy(&output.stdout).trim().is_empty() {
            bail!(
                "{} was built without TLS: choose another PostgreSQL with MESH_POSTGRES=system, or \
                 do without --mtls",
                self.bin.join("postgres").display()
            );
        }
        Ok(())
    }

    async fn init(&self, dir: &Path) -> Result<()> {
        // Made beside and renamed: a cluster whose making was interrupted is not taken for one.
        let next = dir.join("data.new");
        if next.exists() {
            fs::remove_dir_all(&next)?;
        }
        let password_file = dir.join("password.new");
        write_private(&password_file, &self.password)?;
        let mut command = Command::new(self.bin.join("initdb"));
        command
            .arg("--pgdata")
            .arg(&next)
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if self.durability == Durability::None {
            command.arg("--no-sync");
        }
        if let Some(user) = &self.user {
            chown(&password_file, Some(user.uid), Some(user.gid))?;
            command.uid(user.uid).gid(user.gid);
        }
        let output = command.output().await;
        fs::remove_file(&password_file)?;
        let output = output.with_context(|| format!("cannot run {}/initdb", self.bin.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("initdb could not create {}:\n{}", self.data.display(), said.trim_end());
        }
        fs::rename(&next, &self.data)?;
        Ok(())
    }
}

/// A directory as PostgreSQL reads it in a list of them.
fn quoted(directory: Option<&Path>) -> String {
    directory.map_or_else(String::new, |path| {
        format!("\"{}\"", path.display().to_string().replace('"', "\"\""))
    })
}

/// Reads the password in the file, or puts a new one there.
pub(crate) fn password(file: &Path) -> Result<String> {
    if let Ok(password) = fs::read_to_string(file)
        && !password.is_empty()
    {
        return Ok(password);
    }
    let password = Uuid::new_v4().simple().to_string();
    write_private(file, &password).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(password)
}
