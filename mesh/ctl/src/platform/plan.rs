//! What `up` was asked for, handed to the process that supervises it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use mesh_local::{Home, write_private};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::Replacement;
use crate::output;
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
    /// The services that other programs than their own run as.
    #[serde(default)]
    pub replaced: BTreeMap<String, Replacement>,
    /// The folder with the services' executables.
    pub binaries: PathBuf,
    /// The executable that runs the services of one process.
    pub meshctl: PathBuf,
    /// Whether connections are encrypted and both ends show certificates.
    #[serde(default)]
    pub mtls: bool,
    /// Whether no traces are kept.
    #[serde(default)]
    pub untraced: bool,
    /// The checkout whose manifests are applied, if every process is behind a sidecar.
    #[serde(default)]
    pub istio: Option<PathBuf>,
    /// The versions of which a service has one process more.
    #[serde(default)]
    pub canaries: BTreeMap<String, String>,
    /// The Prometheus that observes everything, if it is asked for and there is one.
    #[serde(default)]
    pub prometheus: Option<PathBuf>,
}

impl Plan {
    /// Plans what is asked for, and builds the executables unless they lie beside an installed
    /// meshctl.
    pub async fn make(
        project: &Project,
        replicas: BTreeMap<String, u32>,
        in_process: Vec<String>,
        replaced: BTreeMap<String, Replacement>,
        release: bool,
    ) -> Result<Plan> {
        for service in &in_process {
            services::check(service)?;
            if replicas.get(service).is_some_and(|count| *count > 1) {
                bail!("{service} cannot run in the shared process and in several of its own");
            }
            if replaced.contains_key(service) {
                bail!("{service} cannot run in the shared process and as another program");
            }
        }
        let meshctl = std::env::current_exe().context("cannot tell which executable this is")?;
        let names = services::names()?;
        if let Some(binaries) = installed(&meshctl, &names) {
            return Ok(Plan { replaced, ..Plan::of(replicas, in_process, binaries, meshctl) });
        }
        let mut packages: Vec<&str> = names.iter().map(String::as_str).collect();
        packages.retain(|name| !in_process.iter().any(|within| within == name));
        packages.retain(|name| !replaced.contains_key(*name));
        let folder = if release { "release" } else { "debug" };
        let binaries = project.target().join(folder);
        let mut program = meshctl;
        if !in_process.is_empty() && target_around(&program).is_none_or(|_| release) {
            packages.push("meshctl");
            program = binaries.join("meshctl");
        }
        if !packages.is_empty() {
            announce(&binaries, &packages);
            // Cargo unites the features of what it builds together. Whoever runs meshctl through
            // cargo has built it, and it depends on everything that services do and on more: built
            // without it, the services' dependencies would have fewer features, and be compiled once
            // again.
            if !packages.contains(&"meshctl") {
                packages.push("meshctl");
            }
            build(project, &packages, release).await?;
        }
        Ok(Plan { replaced, ..Plan::of(replicas, in_process, binaries, program) })
    }

    fn of(
        replicas: BTreeMap<String, u32>,
        in_process: Vec<String>,
        binaries: PathBuf,
        meshctl: PathBuf,
    ) -> Plan {
        Plan {
            replicas,
            in_process,
            replaced: BTreeMap::new(),
            binaries,
            meshctl,
            mtls: false,
            untraced: false,
            istio: None,
            canaries: BTreeMap::new(),
            prometheus: None,
        }
    }

    /// The same, with or without mutual TLS.
    pub fn with_mtls(self, mtls: bool) -> Plan {
        Plan { mtls, ..self }
    }

    /// The same behind sidecars, by the manifests of this checkout; with one process more of each of
    /// these services, of another version.
    pub fn with_istio(self, istio: Option<PathBuf>, canaries: BTreeMap<String, String>) -> Plan {
        Plan { istio, canaries, ..self }
    }

    /// The same, with or without traces of everything that it does.
    pub fn with_untraced(self, untraced: bool) -> Plan {
        Plan { untraced, ..self }
    }

    /// The same, observed by this Prometheus.
    pub fn with_prometheus(self, prometheus: Option<PathBuf>) -> Plan {
        Plan { prometheus, ..self }
    }

    /// Hands the plan to the supervisor.
    pub fn save(&self, home: &Home) -> Result<()> {
        Ok(write_private(&home.path(FILE), &serde_json::to_string_pretty(self)?)?)
    }

    /// The services whose processes were started before their program was last built.
    pub fn outdated(&self, home: &Home) -> Vec<String> {
        let modified = |path: PathBuf| fs::metadata(path).and_then(|file| file.modified());
        let Ok(entries) = fs::read_dir(home.path("run")) else { return Vec::new() };
        // A process writes its file, orders.0.pid, when it starts.
        let files = entries.flatten().map(|entry| entry.file_name());
        let names = files.filter_map(|file| {
            let file = file.to_str()?;
            let (name, _) = file.strip_suffix(".pid")?.split_once('.')?;
            if self.replaced.contains_key(name) {
                return None;
            }
            let program = self.binaries.join(name);
            let started = modified(home.path("run").join(file)).ok()?;
            (modified(program).ok()? > started).then(|| name.to_owned())
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The plan that was handed over.
    pub fn load(home: &Home) -> Result<Plan> {
        let path = home.path(FILE);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Whether all services lie beside this program, so that nothing has to be built.
pub fn is_installed() -> bool {
    let names = services::names().unwrap_or_default();
    std::env::current_exe().is_ok_and(|meshctl| installed(&meshctl, &names).is_some())
}

/// The folder of an installed meshctl, if all services lie beside it.
fn installed(meshctl: &Path, names: &[String]) -> Option<PathBuf> {
    let folder = meshctl.parent()?;
    let complete = names.iter().all(|name| folder.join(name).is_file());
    (complete && target_around(meshctl).is_none()).then(|| folder.to_owned())
}

/// Says what takes so long the first time; later cargo is done before anybody wonders.
fn announce(binaries: &Path, packages: &[&str]) {
    let missing = packages.iter().filter(|name| !binaries.join(name).is_file()).count();
    if missing > 0 {
        let all = packages.len();
        eprintln!(
            "  building {missing} of {all} services: 3 to 10 minutes the first time, seconds later …"
        );
    }
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
    let status = command.status().await.with_context(|| {
        format!("cannot run cargo: `{} doctor` says what is missing", output::program())
    })?;
    if !status.success() {
        bail!(
            "the services do not build in {}: cargo says why above; if a tool is missing, `{} \
             doctor` says which",
            project.root.display(),
            output::program()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_program_that_was_built_after_its_process_started_is_named() {
        let root = std::env::temp_dir().join(format!("plan-{}", uuid::Uuid::new_v4().simple()));
        let home = Home::at(&root).unwrap();
        let plan = Plan::of(BTreeMap::new(), Vec::new(), root.clone(), root.join("meshctl"));
        let now = SystemTime::now();
        let earlier = now - Duration::from_secs(60);
        let made = |path: PathBuf, at| File::create(path).unwrap().set_modified(at).unwrap();
        made(root.join("orders"), now);
        made(root.join("catalog"), earlier);
        let run = home.run().unwrap();
        for process in ["orders.0.pid", "orders.1.pid"] {
            made(run.join(process), earlier);
        }
        made(run.join("catalog.0.pid"), now);
        made(run.join("postgres.pid"), earlier);

        assert_eq!(plan.outdated(&home), ["orders"]);

        made(run.join("orders.0.pid"), now);
        made(run.join("orders.1.pid"), now);
        assert_eq!(plan.outdated(&home), [""; 0]);
        home.remove().unwrap();
    }
}
