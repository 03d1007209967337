//! A real Prometheus that scrapes a test's platform, with the generated rules on a faster clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mesh_local::{Declaration, Home, Indicator, Prometheus, Scrape, Supervised, free_port, http};
use mesh_testkit::eventually;
use meshctl::generate::observe::{Clock, rule_files};
use serde_json::Value;

use super::declarations;
use crate::shop::{SERVICES, Shop};

const STARTING: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_millis(500);
/// The longest time that histograms know: how fast this machine is, is not what is tested.
const ANY_TIME: Duration = Duration::from_secs(60);

/// A server that ends with the value.
pub struct Watch {
    server: Prometheus,
    process: Supervised,
    begun: SystemTime,
}

/// What fires: its name, what it is about, and how severe it is.
pub type Firing = (String, String, String);

impl Watch {
    /// Begins to scrape every process of the shop, with data of its own under this name. An hour of the
    /// rules is a second, and no window shorter than eight scrapes.
    pub async fn start(name: &str, program: PathBuf, shop: &Shop) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prometheus-{name}"));
        let home = Home::at(&root).unwrap();
        home.wipe("prometheus").unwrap();
        let clock = Clock::faster(3600, EVERY * 8);
        let rules = rule_files(&patient(), &clock).unwrap();
        let job =
            |service: &&str| (service.to_string(), vec![shop.platform.service(service).admin()]);
        let scrape = Scrape { every: EVERY, jobs: SERVICES.iter().map(job).collect() };
        let port = free_port().unwrap();
        let server =
            Prometheus::prepare(&home, "prometheus", program, port, &rules, &scrape).unwrap();
        let log = home.path("prometheus.log");
        let process = Supervised::start(server.spec(log.clone(), None));
        server.ready(STARTING, &log).await.unwrap();
        Self { server, process, begun: SystemTime::now() }
    }

    /// Asserts that every process is scraped and every rule can be evaluated.
    pub async fn works(&self) {
        eventually("every process to be scraped", async || {
            self.now("sum(up)").await == [SERVICES.len() as f64]
        })
        .await;
        let answer = self.ask("/api/v1/rules").await;
        let groups = answer["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let ill: Vec<_> = rules.filter(|rule| rule["health"] == "err").collect();
        assert!(groups.len() > SERVICES.len() && ill.is_empty(), "{ill:#?}");
    }

    /// What fires now.
    pub async fn firing(&self) -> BTreeSet<Firing> {
        let alerts = self.ask("/api/v1/alerts").await;
        let alerts = alerts["alerts"].as_array().unwrap();
        alerts.iter().filter(|it| it["state"] == "firing").map(|it| about(&it["labels"])).collect()
    }

    /// Waits until nothing fires, and nothing is about to.
    pub async fn silent(&self) {
        eventually("every alert to resolve", async || {
            let alerts = self.ask("/api/v1/alerts").await;
            alerts["alerts"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
    }

    /// Waits until this fires, and returns all that fires then.
    pub async fn fires(&self, meant: &Firing) -> BTreeSet<Firing> {
        eventually(&format!("{meant:?} to fire"), async || {
            let firing = self.firing().await;
            firing.contains(meant).then_some(firing)
        })
        .await
    }

    /// Everything that has fired since a moment.
    pub async fn fired(&self, since: SystemTime) -> BTreeSet<Firing> {
        let age = since.elapsed().unwrap().as_millis();
        let query = format!("max_over_time(ALERTS{{alertstate=\"firing\"}}[{age}ms])");
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(&query))).await;
        answer["result"].as_array().unwrap().iter().map(|it| about(&it["metric"])).collect()
    }

    /// The values of a query now.
    async fn now(&self, query: &str) -> Vec<f64> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(query))).await;
        let results = answer["result"].as_array().unwrap();
        results.iter().map(|it| number(&it["value"][1])).collect()
    }

    /// The traces that exemplars of a series name.
    pub async fn traces_behind(&self, series: &str) -> BTreeSet<String> {
        let path = format!("/api/v1/query_exemplars?query={}", encoded(series));
        let answer = self.ask(&path).await;
        let of = answer.as_array().unwrap().iter();
        let exemplars = of.flat_map(|it| it["exemplars"].as_array().unwrap());
        exemplars.map(|it| it["labels"]["trace_id"].as_str().unwrap().to_owned()).collect()
    }

    /// How many numbers a dashboard would draw for a query, from the beginning to now.
    pub async fn drawn(&self, query: &str) -> usize {
        let seconds = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64().to_string()
        };
        let (start, end) = (seconds(self.begun), seconds(SystemTime::now()));
        let query = encoded(query);
        let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1");
        let answer = self.ask(&path).await;
        let series = answer["result"].as_array().unwrap();
        let points = series.iter().flat_map(|it| it["values"].as_array().unwrap());
        points.filter(|point| number(&point[1]).is_finite()).count()
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = eventually("Prometheus to answer", async || {
            http::request(self.server.address(), "GET", path).await.ok()
        });
        let (status, body) = answer.await;
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, answer["status"].as_str()), (200, Some("success")), "{path}: {body}");
        answer["data"].take()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.process.abandon();
    }
}

/// The objectives of the services that run, without their bounds of time.
fn patient() -> Vec<Declaration> {
    let mut declarations = declarations();
    declarations.retain(|it| SERVICES.contains(&it.service.as_str()));
    for objective in declarations.iter_mut().flat_map(|it| &mut it.objectives) {
        match &mut objective.what {
            Indicator::Availability => {}
            Indicator::Latency { bound } | Indicator::Saga { bound, .. } => *bound = ANY_TIME,
        }
    }
    declarations
}

/// An alert by its labels.
fn about(labels: &Value) -> Firing {
    let labels: BTreeMap<String, String> = serde_json::from_value(labels.clone()).unwrap();
    let label = |name: &str| labels.get(name).cloned();
    let service = label("service").or_else(|| label("job")).unwrap_or_default();
    (label("alertname").unwrap(), service, label("severity").unwrap())
}

/// Prometheus writes numbers as text.
fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// A query as it stands in a URL; a log store takes it so, too.
pub fn encoded(query: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    query.bytes().map(byte).collect()
}
