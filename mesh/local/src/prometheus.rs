//! A Prometheus of our own, if the machine has one.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::servers::{on_path, version_of};
use crate::{Home, ProcessSpec, http, tail, write_private};

const VARIABLE: &str = "MESH_PROMETHEUS";
const USUAL: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/opt/prometheus", "/opt/homebrew/bin"];

/// What is scraped, and how often.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// How often targets are scraped and rules evaluated.
    pub every: Duration,
    /// The addresses that show `/metrics`, by job.
    pub jobs: Vec<(String, Vec<SocketAddr>)>,
}

/// A Prometheus server's data and configuration, and how to run it.
#[derive(Clone, Debug)]
pub struct Prometheus {
    program: PathBuf,
    dir: PathBuf,
    config: PathBuf,
    port: u16,
}

impl Prometheus {
    /// The `prometheus` executable: what `MESH_PROMETHEUS` names, else on PATH or in the usual
    /// folders. An error says what is missing and how to get it.
    pub fn find() -> Result<PathBuf> {
        if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
            let named = PathBuf::from(named);
            if version_of(&named, None).is_none() {
                bail!("{VARIABLE}={}: no Prometheus runs from there", named.display());
            }
            return Ok(named);
        }
        program("prometheus").context(
            "Prometheus is not here: install it (Debian, Ubuntu: `apt install prometheus`; macOS: \
             `brew install prometheus`; or a release from https://prometheus.io/download), put it \
             on PATH or name it in MESH_PROMETHEUS",
        )
    }

    /// The `promtool` executable, which comes with Prometheus.
    pub fn find_promtool() -> Option<PathBuf> {
        program("promtool")
    }

    /// Writes the configuration of the server `name` of the home: its rules, as file name and text,
    /// and what it scrapes. It will listen on this loopback port and nowhere else.
    pub fn prepare(
        home: &Home,
        name: &str,
        program: PathBuf,
        port: u16,
        rules: &[(String, String)],
        scrape: &Scrape,
    ) -> Result<Prometheus> {
        let dir = home.path(name);
        let folder = dir.join("rules");
        // What an earlier version wrote is not a rule of this one.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for (file, text) in rules {
            fs::write(folder.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        let config = dir.join("prometheus.yaml");
        write_private(&config, &configuration(&folder, scrape))
            .with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Prometheus { program, dir, config, port })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The same for people.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// How to run the server.
    pub fn spec(&self, log: PathBuf, pid_file: Option<PathBuf>) -> ProcessSpec {
        let flag = |name: &str, value: &Path| {
            let mut flag = std::ffi::OsString::from(format!("--{name}="));
            flag.push(value);
            flag
        };
        ProcessSpec {
            name: "prometheus".to_owned(),
            replica: 0,
            program: self.program.clone(),
            args: vec![
                flag("config.file", &self.config),
                flag("storage.tsdb.path", &self.dir.join("data")),
                format!("--web.listen-address={}", self.address()).into(),
                // Which trace a bucket of a histogram came from.
                "--enable-feature=exemplar-storage".into(),
                "--log.level=warn".into(),
            ],
            env: Vec::new(),
            directory: None,
            log,
            pid_file,
            user: None,
            stop: Signal::TERM,
        }
    }

    /// Waits until the server answers queries.
    pub async fn ready(&self, patience: Duration, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while !http::is_ok(self.address(), "/-/ready").await {
            if begun.elapsed() > patience {
                let said = tail(log, 5);
                bail!("Prometheus did not start; {} ends with\n{said}", log.display());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let usual = USUAL.iter().map(|folder| Path::new(folder).join(name));
    on_path(name).chain(usual).find(|found| version_of(found, None).is_some())
}

/// A job is a service, so that alerts can name the one that is gone. Services that share a process
/// all show the series of all: of those with a service, each job keeps its own.
fn configuration(rules: &Path, scrape: &Scrape) -> String {
    let every = scrape.every.as_millis();
    let files = rules.join("*.yaml");
    let mut text = format!(
        "global:\n  scrape_interval: {every}ms\n  scrape_timeout: {every}ms\n  \
         evaluation_interval: {every}ms\nrule_files:\n  - {files:?}\nscrape_configs:\n"
    );
    for (job, addresses) in &scrape.jobs {
        let targets: Vec<String> = addresses.iter().map(|it| format!("\"{it}\"")).collect();
        let targets = targets.join(", ");
        let _ = write!(
            text,
            "  - job_name: \"{job}\"\n    static_configs:\n      - targets: [{targets}]\n    \
             metric_relabel_configs:\n      - source_labels: [service]\n        \
             regex: \"({job})?\"\n        action: keep\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Scrape, configuration};

    #[test]
    fn every_service_is_a_job_with_all_its_replicas() {
        let jobs = vec![
            ("a".to_owned(), vec![([127, 0, 0, 1], 1).into()]),
            ("b".to_owned(), vec![([127, 0, 0, 1], 2).into(), ([127, 0, 0, 1], 3).into()]),
        ];

        let text = configuration(Path::new("/r"), &Scrape { every: Duration::from_secs(5), jobs });

        assert!(text.contains("scrape_interval: 5000ms\n") && text.contains("- \"/r/*.yaml\"\n"));
        let b = "job_name: \"b\"\n    static_configs:\n      - targets: [\"127.0.0.1:2\", \"127.0.0.1:3\"]\n";
        assert!(text.contains(b), "{text}");
        assert!(text.ends_with("regex: \"(b)?\"\n        action: keep\n"), "{text}");
    }
}
