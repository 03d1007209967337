//! The network fails, and so does who is called over it: what callers see, and what comes of it.
//!
//! The tests are the scenarios D1 to D10, and C3.

mod dead_endpoint;
mod deadlines;
mod failing_endpoint;
mod half_open;
pub mod load;
mod names;
mod outage;
mod overload;
mod partition;
mod rolling_restart;
mod slow_endpoint;
mod slow_queries;
pub mod stand_in;

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, sync::Arc};

use mesh_local::http;
use mesh_policy::Table;
use mesh_rpc::{Channel, discovery::Endpoints, policy::LivePolicy};
use mesh_runtime::{Service, ServiceConfig};
use mesh_testkit::{Platform, ServiceProcess};
use serde_json::Value;

use crate::callers::Callers;

/// A customer who calls as services do: by the contracts, with every layer of the mesh.
pub struct Customer {
    policy: LivePolicy,
    callers: Arc<Callers>,
    /// Of picks and pauses.
    seed: u64,
    _service: Service,
}

impl Customer {
    pub async fn of(platform: &Platform) -> Self {
        let service = Service::begin("customer", &ServiceConfig::default()).await.unwrap();
        let contracts = Table::from_descriptors(&[shop::DESCRIPTORS]).unwrap();
        let policy = LivePolicy::start(&service, Arc::new(contracts), None).unwrap();
        let seed = rand::random();
        println!("seed {seed}");
        Self { policy, callers: Callers::of(platform), seed, _service: service }
    }

    pub fn channel(&self, target: &str, addresses: &[SocketAddr]) -> Channel {
        let channel = self.callers.builder(target).policy(&self.policy);
        channel.seed(self.seed).follow(&Endpoints::fixed(addresses))
    }
}

/// What a caller's admin port says of one of the services that it calls.
async fn seen(caller: &ServiceProcess, target: &str) -> Value {
    let answer = http::request(caller.admin(), "GET", &format!("/endpoints/{target}")).await;
    serde_json::from_str(&answer.unwrap().1).unwrap()
}

/// The same of one endpoint; null if the caller does not know it.
async fn endpoint(caller: &ServiceProcess, target: &str, address: SocketAddr) -> Value {
    let mut seen = seen(caller, target).await;
    let rows = seen["endpoints"].as_array_mut().unwrap();
    let row = rows.iter_mut().find(|row| row["address"] == address.to_string());
    row.map_or(Value::Null, Value::take)
}

/// How many calls an endpoint was sent, by its caller.
async fn sent(caller: &ServiceProcess, target: &str, address: SocketAddr) -> u64 {
    endpoint(caller, target, address).await["calls"].as_u64().unwrap_or_default()
}

/// The calls of one process to one service, by how they ended for it.
#[derive(Clone, Debug)]
struct Calls(BTreeMap<String, f64>);

impl Calls {
    async fn made(caller: &ServiceProcess, target: &str) -> Self {
        let mut calls = BTreeMap::new();
        let metrics = caller.metrics().await;
        let of_target = format!("target=\"{target}\"");
        for line in metrics.lines() {
            if !line.starts_with("rpc_client_call_duration_seconds_count{") {
                continue;
            }
            let Some((labels, count)) = line.rsplit_once(' ') else { continue };
            let code = labels.split("rpc_response_status_code=\"").nth(1);
            let code = code.and_then(|rest| rest.split('"').next());
            if let (true, Some(code)) = (labels.contains(&of_target), code) {
                *calls.entry(code.to_owned()).or_default() += count.parse::<f64>().unwrap();
            }
        }
        Self(calls)
    }

    fn all(&self) -> f64 {
        self.0.values().sum()
    }

    fn ended(&self, code: &str) -> f64 {
        self.0.get(code).copied().unwrap_or_default()
    }

    fn failed(&self) -> f64 {
        self.all() - self.ended("OK")
    }
}

/// A policy file of a test's own, for `MESH_POLICY`.
fn policy_file(name: &str, text: &str) -> String {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.policy.toml"));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// `static:`, as `DISCOVERY` has it.
fn fixed<'a>(addresses: impl IntoIterator<Item = &'a SocketAddr>) -> String {
    let addresses: Vec<_> = addresses.into_iter().map(ToString::to_string).collect();
    format!("static:{}", addresses.join(","))
}

/// Every process, and how often it was started.
fn starts(platform: &Platform) -> Vec<(u32, u64)> {
    platform.services().iter().map(|process| (process.pid().unwrap(), process.starts())).collect()
}
