//! Somebody who was woken: runs the commands of a walk on a shop, and reads what they show.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mesh_local::{Prometheus, http};
use mesh_testkit::{PlatformOptions, eventually, patience, program, skipped};
use meshctl::top::Metrics;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::page::{Alert, Step};
use super::screen::{Names, named, read};
use crate::objectives::prometheus::Watch;
use crate::observe::Traced;
use crate::shop::{SERVICES, Shop};

const PAUSE: Duration = Duration::from_millis(100);
/// What [`Alert`]s are about where no Prometheus tells.
const LATE: f64 = 30.0;

/// A shop as `up` leaves it, somebody who looks at it, and a Prometheus that does, too.
pub struct Operator {
    traced: Traced,
    program: PathBuf,
    home: PathBuf,
    watch: Option<Watch>,
    names: Names,
}

impl Operator {
    /// At a shop that runs; `name` is the walk's.
    pub async fn at_work(name: &str) -> Self {
        let traced = Traced::open_with(PlatformOptions::isolated_postgres).await;
        let program = program("meshctl").await;
        let home = home(&traced.shop);
        let state = serde_json::to_string_pretty(&state(&traced)).unwrap();
        std::fs::write(home.join("state.json"), state).unwrap();
        let watch = match Prometheus::find() {
            Ok(prometheus) => Some(Watch::start(name, prometheus, &traced.shop).await),
            Err(missing) => {
                skipped("Prometheus", &missing.to_string());
                None
            }
        };
        if let Some(watch) = &watch {
            watch.works().await;
        }
        Self { traced, program, home, watch, names: Names::new() }
    }

    pub fn shop(&self) -> &Shop {
        &self.traced.shop
    }

    /// Waits until an alert wakes somebody; without Prometheus, until what it is about is there.
    pub async fn woken_by(&self, alert: &Alert) {
        if alert.name == "RelayLag" {
            // The age that the alert waits for is more than anybody's patience.
            eventually("half of the lag", async || self.lag(&alert.service).await > LATE / 2.0)
                .await;
            eventually("the lag", async || self.lag(&alert.service).await > LATE).await;
        }
        let Alert { name, service, severity } = alert;
        if let Some(watch) = &self.watch {
            watch.fires(&(name.clone(), service.clone(), severity.clone())).await;
            return;
        }
        eventually(&format!("what {name} is about"), async || match name.as_str() {
            "CallsFailing" => {
                let late = [("rpc_response_status_code", "DEADLINE_EXCEEDED")];
                let calls = "rpc_server_call_duration_seconds_count";
                self.shop().metric(service, calls, &late).await > 0.0
            }
            "ServiceGone" => {
                !http::is_ok(self.shop().platform.service(service).admin(), "/metrics").await
            }
            "RelayLag" => true,
            other => panic!("nobody knows what {other} is about"),
        })
        .await;
    }

    async fn lag(&self, service: &str) -> f64 {
        let metrics = Metrics::parse(&self.shop().platform.service(service).metrics().await);
        metrics.largest("mesh_relay_lag_seconds", service).unwrap_or_default()
    }

    /// Tells the operator what a name stands for.
    pub fn told(&mut self, name: &'static str, value: &str) {
        self.names.insert(name, value.to_owned());
    }

    /// What was seen where a name stands.
    pub fn saw(&self, name: &str) -> &str {
        self.names.get(name).unwrap_or_else(|| panic!("no {name} was on any screen"))
    }

    /// Runs each command until it shows what the page says.
    pub async fn walks(&mut self, steps: &[Step]) {
        for step in steps {
            let begun = Instant::now();
            let command = named(&step.command, &self.names);
            self.names = loop {
                let screen = self.screen(&command).await;
                match read(&step.shows, &screen, &self.names) {
                    Ok(names) => break names,
                    Err(line) => assert!(
                        begun.elapsed() < patience(),
                        "`{command}` does not show\n{line}\nbut\n{screen}"
                    ),
                }
                sleep(PAUSE).await;
            };
        }
    }

    /// What a command prints.
    async fn screen(&self, command: &str) -> String {
        let mut process = match command.strip_prefix("cargo mesh ") {
            Some(arguments) => {
                let mut process = Command::new(&self.program);
                process.args(arguments.split(' '));
                process
            }
            None => {
                let mut process = Command::new("sh");
                process.args(["-c", command]);
                process
            }
        };
        process.env("MESH_HOME", &self.home).env("CI", "1").stdin(Stdio::null());
        let output = process.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }

    pub async fn goes_home(self) {
        drop(self.watch);
        self.traced.shop.platform.shutdown().await;
    }
}

/// The home of the platform's services, in which the servers' logs are found, too.
fn home(shop: &Shop) -> PathBuf {
    let log = shop.platform.service("orders").process().spec().log.clone();
    let logs = log.parent().unwrap();
    let nats = &shop.platform.nats().process().spec().log;
    let postgres = &shop.platform.postgres().process().spec().log;
    for (name, log) in [("nats.0.log", nats), ("postgres.0.log", postgres)] {
        std::os::unix::fs::symlink(log, logs.join(name)).unwrap();
    }
    logs.parent().map(Path::to_owned).unwrap()
}

/// What `up` would have written.
fn state(traced: &Traced) -> Value {
    let platform = &traced.shop.platform;
    let instance = |service: &&str| {
        let process = platform.service(service);
        let instance = json!({
            "grpc": process.grpc(),
            "admin": process.admin(),
            "pid": process.pid().unwrap(),
            "database_url": platform.database_url(service),
        });
        ((*service).to_owned(), json!([instance]))
    };
    let services: serde_json::Map<String, Value> = SERVICES.iter().map(instance).collect();
    let pid = |process: &mesh_local::Supervised| process.pid().unwrap();
    json!({
        "version": 1,
        "services": services,
        "nats": { "url": platform.operator_nats(), "pid": pid(platform.nats().process()) },
        "postgres": {
            "url": platform.postgres().superuser_url(),
            "pid": pid(platform.postgres().process()),
        },
        "caller": { "key": platform.service_keys().private("meshctl") },
        "users": platform.user_keys().private(),
        "traces": { "address": traced.door.address() },
    })
}
