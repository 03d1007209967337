//! Every caller and every RPC of the platform: let through if and only if it is declared.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt as _;
use mesh_local::Exposure;
use meshctl::{
    generate::cluster::{HEALTH, Traffic},
    services,
};
use serde_json::json;
use tonic::{Code, Status};

use super::{calls::Line, lab::Lab, probe::Probe};
use crate::generated::call::rpcs;

/// What Envoy answers in place of a service.
pub const DENIED: &str = "RBAC: access denied";
/// What no contract of the shop names.
pub const BESIDE: [&str; 3] = [
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "shop.nobody.v1.NobodyService/DoNothing",
];
const ELSEWHERE: &str = "elsewhere";

/// A caller, a service and an RPC that are allowed.
pub type Pair = (String, String, String);

pub async fn every_pair_is_let_through_if_and_only_if_it_is_declared(lab: &Lab) -> String {
    let probes = probes(lab).await;
    let allowed = allowed();
    let services = services::names().unwrap();
    let mut paths: BTreeSet<String> = rpcs().into_iter().map(|rpc| rpc.path).collect();
    paths.extend(BESIDE.map(str::to_owned));
    paths.insert(HEALTH.trim_start_matches('/').to_owned());

    let lines: Vec<_> = probes
        .iter()
        .flat_map(|probe| services.iter().map(move |service| (probe, service)))
        .map(|(probe, service)| (probe, service, probe.line(service)))
        .collect();
    let asked: Vec<_> =
        lines.iter().flat_map(|line| paths.iter().map(move |path| (line, path))).collect();
    let count = asked.len();
    let answers = futures::stream::iter(asked).map(async |((probe, service, line), path)| {
        let who = format!("{}/{}", probe.namespace, probe.account);
        let answer = answered(line, path).await;
        let pair = (who, service.to_string(), path.clone());
        let expected = is_allowed(&allowed, &pair);
        fault(&answer, expected).map(|fault| format!("{pair:?} {fault}: {answer:?}"))
    });
    let answers: Vec<_> = answers.buffer_unordered(16).collect().await;
    let faults: Vec<_> = answers.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    assert!(allowed.len() > 30 && count > 3000, "{} of {count}", allowed.len());
    format!("{count} pairs, {} accounts", probes.len())
}

/// What is answered; a connection that a busy machine does not open within a second is tried again.
async fn answered(line: &Line, path: &str) -> Result<bytes::Bytes, Status> {
    let mut answer = line.first(path).await;
    for _ in 0..20 {
        match &answer {
            Err(status) if status.code() == Code::Unavailable => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                answer = line.first(path).await;
            }
            _ => break,
        }
    }
    answer
}

/// What is wrong with an answer, if anything is.
fn fault(answer: &Result<bytes::Bytes, Status>, expected: bool) -> Option<&'static str> {
    let Err(status) = answer else { return (!expected).then_some("was let through") };
    let denied = status.code() == Code::PermissionDenied && status.message() == DENIED;
    match (denied, expected) {
        (true, true) => Some("was refused"),
        // Nobody answered: nothing is shown.
        (false, _) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
            Some("was not answered")
        }
        (false, false) => Some("was let through"),
        _ => None,
    }
}

async fn probes(lab: &Lab) -> Vec<Probe> {
    lab.apply(&[json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": ELSEWHERE },
    })])
    .await;
    let ingress = ingress();
    let shop = services::names().unwrap();
    let shop = shop.iter().map(|name| ("shop", name.as_str()));
    let others = [
        // Of the right name, but elsewhere; and here, but nobody.
        (ELSEWHERE, "gateway"),
        ("shop", "stranger"),
        (ingress.0.as_str(), ingress.1.as_str()),
    ];
    let all: Vec<_> = (0_u8..).zip(shop.chain(others)).collect();
    let starts = all
        .into_iter()
        .map(|(number, (namespace, account))| Probe::start(lab, number, namespace, account));
    futures::stream::iter(starts).buffered(4).collect().await
}

/// The namespace and the account where the world comes in.
pub fn ingress() -> (String, String) {
    let all = services::declarations().unwrap();
    let ingress = Traffic::parse(services::TRAFFIC.1, &all).unwrap().ingress;
    (ingress.namespace, ingress.service_account)
}

/// What is declared, by who calls.
pub fn allowed() -> BTreeSet<Pair> {
    let all = services::declarations().unwrap();
    let mut pairs = BTreeSet::new();
    for caller in &all {
        let who = format!("shop/{}", caller.service);
        for call in &caller.calls {
            let callee = all.iter().find(|it| it.service == call.service).unwrap();
            let named = rpcs().into_iter().filter(|rpc| {
                let name = rpc.path.rsplit('/').next().unwrap();
                let service = rpc.path.split_once('/').unwrap().0;
                callee.serves(service) && call.methods.include(name)
            });
            let paths = named.map(|rpc| rpc.path);
            pairs.extend(paths.map(|path| (who.clone(), call.service.clone(), path)));
            // The door says how those behind it are.
            if caller.exposure == Exposure::Public {
                let health = HEALTH.trim_start_matches('/').to_owned();
                pairs.insert((who.clone(), call.service.clone(), health));
            }
        }
    }
    pairs
}

fn is_allowed(declared: &BTreeSet<Pair>, pair: &Pair) -> bool {
    let (namespace, account) = ingress();
    let from_world = pair.0 == format!("{namespace}/{account}") && pair.1 == services::GATEWAY;
    from_world || declared.contains(pair)
}
