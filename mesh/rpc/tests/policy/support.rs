//! A service with a policy file that a test writes.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use mesh_policy::{Effective, Table};
use mesh_rpc::policy::LivePolicy;
use mesh_runtime::{Service, ServiceConfig};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

/// Longer than anything here should take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a file is looked at.
pub const OFTEN: Duration = Duration::from_millis(2);
/// A hang-up reaches every service of the process: who counts and who sends one take turns.
pub static HANGUPS: Mutex<()> = Mutex::const_new(());
pub const LIST: &str = "mesh.operator.v1.SagasService/ListSagas";

pub struct Turned {
    pub service: Service,
    pub file: PathBuf,
    pub policy: LivePolicy,
    changes: watch::Receiver<Arc<Effective>>,
}

impl Turned {
    /// A service whose file says `text`.
    pub async fn start(name: &'static str, text: &str, every: Duration) -> Self {
        let file = path(name);
        fs::write(&file, text).unwrap();
        let service = begin(name).await;
        let policy = LivePolicy::start_with(&service, contracts(), Some(&file), every).unwrap();
        let changes = policy.follow();
        Self { service, file, policy, changes }
    }

    /// Replaces the file as operators should: whole.
    pub fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }

    /// Waits for other values.
    pub async fn changed(&mut self) -> Arc<Effective> {
        timeout(PATIENCE, self.changes.changed()).await.expect("changes in time").unwrap();
        Arc::clone(&self.changes.borrow_and_update())
    }

    /// Waits until the admin port says this of the file.
    pub async fn file_is(&self, state: &str) -> Value {
        let asked = async {
            loop {
                let table = table(&self.service).await;
                if table["file"]["state"] == state {
                    return table;
                }
                sleep(OFTEN).await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("the file is never {state}"))
    }

    pub fn attempts(&self) -> u32 {
        self.policy.method(LIST).unwrap().retry.attempts
    }
}

pub async fn begin(name: &'static str) -> Service {
    let config = ServiceConfig { log_level: "off".to_owned(), ..ServiceConfig::default() };
    Service::begin(name, &config).await.unwrap()
}

pub fn contracts() -> Arc<Table> {
    Arc::new(Table::from_descriptors(&[mesh_proto::DESCRIPTORS]).unwrap())
}

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-{name}.toml"))
}

/// What the admin port shows.
pub async fn table(service: &Service) -> Value {
    let mut stream = TcpStream::connect(service.admin_addr()).await.unwrap();
    let request = "GET /policy HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// How often the files of a service were applied or refused.
pub fn reloads(service: &str, outcome: &str) -> u64 {
    let text = mesh_runtime::metrics::render().unwrap();
    let is_it = |line: &&str| {
        line.starts_with("mesh_policy_reloads_total{")
            && line.contains(&format!("service=\"{service}\""))
            && line.contains(&format!("outcome=\"{outcome}\""))
    };
    let line = text.lines().find(is_it);
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Waits until something holds.
pub async fn until(holds: impl Fn() -> bool) {
    let asked = async {
        while !holds() {
            sleep(OFTEN * 10).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("it holds in time");
}
