//! What `up` was asked for, handed to the process that supervises it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use mesh_local::{Home, write_private};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::project::{Project, target_around};
use crate::services;

const FILE: &str = "plan.json";

/// What runs, and from which executables.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// How many processes a service has, if not one.
    pub replicas: BTreeMap<String, u32>,
    /// The services that share one process.
    pub in_process: Vec<String>,
    /// The folder with the services' executables.
    pub binaries: PathBuf,
    /// The executable that runs the services of one process.
    pub meshctl: PathBuf,
}

impl Plan {
    /// Plans what is asked for, and builds the executables unless they lie beside an installed
    /// meshctl.
    pub async fn make(
        project: &Project,
        replicas: BTreeMap<String, u32>,
        in_process: Vec<String>,
        release: bool,
    ) -> Result<Plan> {
        for service in &in_process {
            services::check(service)?;
            if replicas.get(service).is_some_and(|count| *count > 1) {
                bail!("{service} cannot run in the shared process and in several of its own");
            }
        }
        let meshctl = std::env::current_exe().context("cannot tell which executable this is")?;
        let names = services::names()?;
        if let Some(binaries) = installed(&meshctl, &names) {
            return Ok(Plan { replicas, in_process, binaries, meshctl });
        }
        let mut packages: Vec<&str> = names.iter().map(String::as_str).collect();
        packages.retain(|name| !in_process.iter().any(|within| within == name));
        let folder = if release { "release" } else { "debug" };
        let binaries = project.target().join(folder);
        let mut program = meshctl;
        if !in_process.is_empty() && target_around(&program).is_none_or(|_| release) {
            packages.push("meshctl");
            program = binaries.join("meshctl");
        }
        if !packages.is_empty() {
            build(project, &packages, release).await?;
        }
        Ok(Plan { replicas, in_process, binaries, meshctl: program })
    }

    /// Hands the plan to the supervisor.
    pub fn save(&self, home: &Home) -> Result<()> {
        Ok(write_private(&home.path(FILE), &serde_json::to_string_pretty(self)?)?)
    }

    /// The plan that was handed over.
    pub fn load(home: &Home) -> Result<Plan> {
        let path = home.path(FILE);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// The folder of an installed meshctl, if all services lie beside it.
fn installed(meshctl: &Path, names: &[String]) -> Option<PathBuf> {
    let folder = meshctl.parent()?;
    let complete = names.iter().all(|name| folder.join(name).is_file());
    (complete && target_around(meshctl).is_none()).then(|| folder.to_owned())
}

/// Builds with cargo, which shows its own progress.
async fn build(project: &Project, packages: &[&str], release: bool) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&project.root).args(["build", "--bins"]).stdin(Stdio::null());
    if std::env::var_os("CI").is_some() {
        command.arg("--quiet");
    }
    for package in packages {
        command.args(["--package", package]);
    }
    if release {
        command.arg("--release");
    }
    let status = command.status().await.context("cannot run cargo: is Rust installed?")?;
    if !status.success() {
        bail!("the services do not build in {}: see above", project.root.display());
    }
    Ok(())
}
