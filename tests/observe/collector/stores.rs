//! With the stores that compose.yaml names: a line leads to its trace, and a trace to its lines.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use mesh_local::{ProcessSpec, Signal, Supervised, free_port, http};
use mesh_testkit::{eventually, workspace};
use meshctl::traces::{Door, Limits};
use serde_json::Value;
use shop::orders::v1::OrderState;

use super::{NOWHERE, bought, process::Collector};
use crate::{objectives::prometheus::encoded, shop::Shop, toolchains::go};

#[tokio::test(flavor = "multi_thread")]
async fn a_line_in_the_log_store_leads_to_a_trace_that_is_kept_and_back() {
    let Some(logs) = Logs::start().await else { return };
    let traces = Door::open(0, Limits::default()).await.unwrap();
    let kept_at = traces.endpoint();
    let settings = [
        ("COLLECTOR_DECISION_WAIT", "1s"),
        ("COLLECTOR_SHARE_PERCENT", "100"),
        ("LOGS_ENDPOINT", &logs.takes()),
        ("TRACES_ENDPOINT", kept_at.trim_start_matches("http://")),
    ];
    let configs = ["config.yaml", "stores.yaml"];
    let Some(collector) = Collector::start("stores", &configs, &settings).await else { return };
    let endpoint = collector.endpoint();
    let shop = Shop::open_with(|options| options.env_of_all("OTLP_ENDPOINT", &endpoint)).await;
    let order = bought(&shop, NOWHERE, OrderState::Rejected).await;
    let placed = lines_of_process(&shop, &order);

    // From a line about the order to its trace.
    let line = eventually("a line about the order", async || {
        logs.about(&format!("order_id:\"{order}\"")).await.into_iter().next()
    })
    .await;
    let trace = line["trace_id"].as_str().unwrap().to_owned();
    eventually("the trace", async || {
        let spans = traces.buffer().spans();
        spans.iter().any(|it| it.trace_id == trace && it.attribute("order_id") == order)
    })
    .await;

    // From the trace to every line that was logged in it.
    eventually("every line of the trace", async || {
        let lines = logs.about(&format!("trace_id:\"{trace}\"")).await;
        let said: BTreeSet<_> = lines.iter().map(key).collect();
        placed.is_subset(&said)
    })
    .await;
    let stories: BTreeSet<_> = logs
        .about(&format!("trace_id:\"{trace}\""))
        .await
        .iter()
        .map(|line| line["correlation_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(stories.len(), 1, "one story: {stories:?}");
    shop.platform.shutdown().await;
    collector.ends().await;
    assert_eq!(collector.complaints(), [""; 0]);
}

/// What services wrote to stdout about an order: who, and what.
fn lines_of_process(shop: &Shop, order: &str) -> BTreeSet<(String, String)> {
    let processes = shop.platform.services();
    let lines = processes.iter().flat_map(|process| {
        let name = process.name().to_owned();
        let log = process.log();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.into_iter().map(move |line| (name.clone(), line))
    });
    let about = |line: &Value| line["order_id"] == order || line["saga_id"] == order;
    let said: BTreeSet<_> = lines
        .filter(|(_, line)| about(line))
        .map(|(name, line)| (name, line["message"].as_str().unwrap().to_owned()))
        .collect();
    assert!(said.len() > 4, "{said:?}");
    said
}

fn key(line: &Value) -> (String, String) {
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    (text("service.name"), text("_msg"))
}

/// A VictoriaLogs of our own. Ends with the value.
struct Logs {
    process: Supervised,
    address: SocketAddr,
}

impl Logs {
    /// None if this machine cannot build it, which is said.
    async fn start() -> Option<Self> {
        let package = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs";
        let program = go::program("victoria-logs", "observe/logs", package)?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("victoria-logs");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let process = Supervised::start(ProcessSpec {
            name: "victoria-logs".to_owned(),
            replica: 0,
            program,
            args: vec![
                format!("-httpListenAddr={address}").into(),
                format!("-storageDataPath={}", folder.join("data").display()).into(),
            ],
            env: Vec::new(),
            directory: Some(workspace()),
            log: folder.join("log"),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        });
        eventually("the log store to be ready", async || http::is_ok(address, "/health").await)
            .await;
        Some(Self { process, address })
    }

    /// Where it takes lines.
    fn takes(&self) -> String {
        format!("http://{}/insert/opentelemetry/v1/logs", self.address)
    }

    /// The lines that a LogsQL query finds.
    async fn about(&self, query: &str) -> Vec<Value> {
        let path = format!("/select/logsql/query?query={}&limit=1000", encoded(query));
        let (status, body) = http::request(self.address, "GET", &path).await.unwrap();
        assert_eq!(status, 200, "{body}");
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.process.abandon();
    }
}
