//! The Collector of observe/collector, built and running.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_local::{ProcessSpec, Signal, Supervised, free_port, tail};
use mesh_testkit::{patience, workspace};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::signals::Signals;
use crate::toolchains::go;

const FOLDER: &str = "observe/collector";
const READY: &str = "Everything is ready";
const ENDING: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// A Collector with configuration that is shipped. Ends with the value.
pub struct Collector {
    process: Supervised,
    listens: String,
    folder: PathBuf,
}

impl Collector {
    /// Builds it and starts it with these files of its configuration and these variables of theirs, under
    /// a name that no other test uses; none if this machine cannot build it, which is said.
    pub async fn start(name: &str, configs: &[&str], settings: &[(&str, &str)]) -> Option<Self> {
        let program = go::program("collector", FOLDER, ".")?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("collector-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let listens = format!("127.0.0.1:{}", free_port().unwrap());
        let log = folder.join("log");
        let own = [
            ("COLLECTOR_LISTEN", listens.clone()),
            ("COLLECTOR_METRICS_PORT", free_port().unwrap().to_string()),
            ("COLLECTOR_FOLDER", folder.to_str().unwrap().to_owned()),
        ];
        let asked = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let given = |config: &&str| {
            ["--config".into(), workspace().join(FOLDER).join(config).into_os_string()]
        };
        let process = Supervised::start(ProcessSpec {
            name: "collector".to_owned(),
            replica: 0,
            program,
            args: configs.iter().flat_map(given).collect(),
            env: own.into_iter().chain(asked).map(|(name, it)| (name.to_owned(), it)).collect(),
            directory: None,
            log: log.clone(),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        });
        let collector = Self { process, listens, folder };
        collector.ready(&log).await;
        Some(collector)
    }

    async fn ready(&self, log: &Path) {
        let begun = Instant::now();
        while !fs::read_to_string(log).is_ok_and(|said| said.contains(READY)) {
            assert!(
                begun.elapsed() < patience(),
                "the Collector does not start\n{}",
                tail(log, 20)
            );
            sleep(PAUSE).await;
        }
    }

    /// What `OTLP_ENDPOINT` is to be set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listens)
    }

    /// What it has kept in its files so far.
    pub fn kept(&self) -> Signals {
        let read = |kind: &str| fs::read_to_string(self.folder.join(kind)).unwrap_or_default();
        Signals::parse(&["traces.json", "metrics.json", "logs.json"].map(read).concat())
    }

    /// Lets it end in order: it decides about what it still holds.
    pub async fn ends(&self) {
        self.process.stop(ENDING).await;
        assert_eq!(self.process.status().last_end.as_deref(), Some("exit status: 0"));
    }

    /// The lines of its log that are more than information.
    pub fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.process.spec().log).unwrap();
        let lines = log.lines().filter(|line| !line.is_empty());
        let (fine, complaints): (Vec<_>, Vec<_>) = lines.partition(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["level"] == "info"
        });
        assert!(!fine.is_empty(), "it says nothing");
        complaints.into_iter().map(str::to_owned).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.process.abandon();
    }
}
