//! What this machine has, without installing anything.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::servers::{
    OLDEST_POSTGRES, postgres_version, python, system_nats, system_postgres, version_of,
};
use crate::{Home, Source, User, wheels};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder of its executables, or the executable.
    pub path: PathBuf,
    /// Its version.
    pub version: String,
}

/// A Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The interpreter.
    pub path: PathBuf,
    /// Its version, if it runs and can make environments that have pip.
    pub version: Option<String>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    /// PostgreSQL, and its major version.
    pub postgres: Option<(Place, u32)>,
    /// nats-server.
    pub nats: Option<Place>,
    /// Python 3, which installs what is missing.
    pub python: Option<Python>,
    /// What would be downloaded: names, versions, sizes. Empty if nothing would be.
    pub downloads: String,
    /// What is missing and may not be downloaded, because the environment insists on the system's.
    pub insisted: Vec<&'static str>,
}

impl Look {
    /// Looks where [`crate::Servers::find`] looks, and changes nothing.
    pub fn around(home: &Home) -> Result<Look> {
        let user = User::unprivileged().ok().flatten();
        let (postgres_from, nats_from) = (Source::of("MESH_POSTGRES")?, Source::of("MESH_NATS")?);
        let mut postgres = None;
        if postgres_from != Source::Wheel {
            postgres = system_postgres(user.as_ref());
        }
        if postgres.is_none() && postgres_from != Source::System {
            postgres = wheels::installed_postgres(home)
                .and_then(|folder| Some((folder.clone(), postgres_version(&folder, None)?)));
        }
        let mut nats = None;
        if nats_from != Source::Wheel {
            nats = system_nats();
        }
        if nats.is_none() && nats_from != Source::System {
            nats = Some(wheels::nats(home)).filter(|installed| installed.is_file());
        }
        let (mut missing, mut insisted) = (Vec::new(), Vec::new());
        for (is_missing, from, wheel, variable) in [
            (postgres.is_none(), postgres_from, wheels::POSTGRES, "MESH_POSTGRES"),
            (nats.is_none(), nats_from, wheels::NATS, "MESH_NATS"),
        ] {
            match (is_missing, from) {
                (true, Source::System) => insisted.push(variable),
                (true, Source::Any | Source::Wheel) => missing.push(wheel),
                (false, _) => {}
            }
        }
        let postgres = postgres.map(|(path, major)| {
            let version = version_of(&path.join("postgres"), None).unwrap_or_default();
            (Place { path, version: version.trim().to_owned() }, major)
        });
        let nats = nats.map(|path| {
            let version = version_of(&path, None).unwrap_or_default().trim().to_owned();
            Place { path, version }
        });
        let downloads = wheels::described(&missing);
        Ok(Look { postgres, nats, python: look_for_python(), downloads, insisted })
    }

    /// The oldest major version of PostgreSQL that will do.
    pub fn oldest_postgres() -> u32 {
        OLDEST_POSTGRES
    }
}

fn look_for_python() -> Option<Python> {
    let path = python().ok()?;
    let mut command = Command::new(&path);
    command.args(["-c", "import ensurepip, sys, venv; print(sys.version.split()[0])"]);
    let output = command.stdin(Stdio::null()).output().ok();
    let works = output.filter(|output| output.status.success());
    let version = works.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    Some(Python { path, version })
}
