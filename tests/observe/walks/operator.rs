//! Somebody who was woken: runs the commands of a walk on a shop, and reads what they show.

use std::time::Duration;

use mesh_local::{Prometheus, http};
use mesh_testkit::{PlatformOptions, eventually, patience, skipped};
use meshctl::top::Metrics;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::page::{Alert, Step};
use super::screen::{Names, named, read};
use crate::home::Home;
use crate::objectives::prometheus::Watch;
use crate::observe::Traced;
use crate::shop::Shop;

const PAUSE: Duration = Duration::from_millis(100);
/// What [`Alert`]s are about where no Prometheus tells.
const LATE: f64 = 30.0;

/// A shop as `up` leaves it, somebody who looks at it, and a Prometheus that does, too.
pub struct Operator {
    traced: Traced,
    home: Home,
    watch: Option<Watch>,
    names: Names,
}

impl Operator {
    /// At a shop that runs; `name` is the walk's.
    pub async fn at_work(name: &str) -> Self {
        let traced = Traced::open_with(PlatformOptions::isolated_postgres).await;
        let home = Home::of(&traced.shop, servers(&traced)).await;
        link_logs(&traced.shop, &home);
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
        Self { traced, home, watch, names: Names::new() }
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
            Some(arguments) => self.home.mesh(arguments.split(' ')),
            None => {
                let mut process = self.home.command("sh");
                process.args(["-c", command]);
                process
            }
        };
        let output = process.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&output.stdout) + &text(&output.stderr)
    }

    pub async fn goes_home(self) {
        drop(self.watch);
        self.traced.shop.platform.shutdown().await;
    }
}

/// Lets the servers' logs be found beside those of the services.
fn link_logs(shop: &Shop, home: &Home) {
    let logs = home.root().join("logs");
    let nats = &shop.platform.nats().process().spec().log;
    let postgres = &shop.platform.postgres().process().spec().log;
    for (name, log) in [("nats.0.log", nats), ("postgres.0.log", postgres)] {
        std::os::unix::fs::symlink(log, logs.join(name)).unwrap();
    }
}

/// What `up` would have written of the servers, too.
fn servers(traced: &Traced) -> Value {
    let postgres = traced.shop.platform.postgres();
    json!({
        "postgres": {
            "url": postgres.superuser_url(),
            "pid": postgres.process().pid().unwrap(),
        },
        "traces": { "address": traced.door.address() },
    })
}
