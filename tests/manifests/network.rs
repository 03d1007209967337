//! Every pair of pods and every port, decided as Kubernetes decides: open if and only if there is an
//! edge, or one cannot do without the other.

use serde_json::{Value, json};

use super::world::{World, items, selects};

/// What can be reached somewhere: calls, the operators' port, databases (and their operator's and
/// metrics' ports), the broker (and its own), signals, certificates, names, the API, anything else.
const PORTS: [u16; 13] =
    [50051, 9090, 5432, 8000, 9187, 4222, 6222, 4317, 15012, 53, 443, 6443, 8080];

/// A pod, or many that are alike.
struct Pod {
    name: String,
    namespace: String,
    labels: Value,
    /// Its namespace's.
    around: Value,
}

const PROTOCOLS: [&str; 2] = ["TCP", "UDP"];

/// Ports of protocols, a bit for each.
type Ports = u32;

pub fn faults(world: &World) -> Vec<String> {
    let pods = pods(world);
    let sides = |direction| pods.iter().map(move |pod| Side::of(world, direction, pod));
    let (out, into): (Vec<_>, Vec<_>) = (sides("Egress").collect(), sides("Ingress").collect());
    let mut faults = vague(world);
    for (from, out) in pods.iter().zip(&out) {
        for (to, into) in pods.iter().zip(&into) {
            // Two that are not ours are not ours to part.
            if from.namespace != "shop" && to.namespace != "shop" {
                continue;
            }
            let open = out.open(from, to) & into.open(to, from);
            for (port, protocol, bit) in ports() {
                let is = open & bit != 0;
                if is != should_be_open(world, from, to, port, protocol) {
                    let verdict = if is { "reaches" } else { "does not reach" };
                    let (from, to) = (&from.name, &to.name);
                    faults.push(format!("{from} {verdict} {to} at {port} by {protocol}"));
                }
            }
        }
    }
    faults
}

/// Rules that do not say at which ports, or to whom: the other side might not mind, and is not to be
/// trusted with it.
fn vague(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    for policy in world.of("NetworkPolicy") {
        let rules = |direction: &str| items(&policy["spec"][direction]).collect::<Vec<_>>();
        let (out, into) = (rules("egress"), rules("ingress"));
        let is_at_ports = |rule: &&Value| items(&rule["ports"]).next().is_some();
        let mut receivers = out.iter().flat_map(|rule| items(&rule["to"]));
        let says_to_whom = receivers.all(|peer| peer.get("podSelector").is_some());
        if !(out.iter().chain(&into).all(is_at_ports) && says_to_whom) {
            faults.push(format!("the NetworkPolicy {} is vague", policy["metadata"]["name"]));
        }
    }
    faults
}

fn ports() -> impl Iterator<Item = (u16, &'static str, Ports)> {
    let all = PORTS.into_iter().flat_map(|port| PROTOCOLS.map(|protocol| (port, protocol)));
    all.enumerate().map(|(n, (port, protocol))| (port, protocol, 1 << n))
}

fn pods(world: &World) -> Vec<Pod> {
    let pod = |name: &str, namespace: &str, labels: Value| Pod {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        labels,
        around: json!({ "kubernetes.io/metadata.name": namespace }),
    };
    let mut pods: Vec<Pod> = Vec::new();
    for declared in &world.declarations {
        let service = &declared.service;
        pods.push(pod(service, "shop", json!({ "app": service, "version": "v1" })));
        if declared.store.is_some() {
            let name = format!("{service}-database");
            pods.push(pod(&name, "shop", json!({ "cnpg.io/cluster": name })));
            let name = format!("{service}-migrate");
            pods.push(pod(&name, "shop", json!({ "app": name, "version": "v1" })));
        }
    }
    let ingress = &world.ingress;
    pods.push(pod("streams", "shop", json!({ "app": "streams" })));
    pods.push(pod("nats", "shop", json!({ "app": "nats" })));
    pods.push(pod("stranger", "shop", json!({ "app": "stranger" })));
    pods.push(pod("stranger elsewhere", "default", json!({ "app": "orders", "version": "v1" })));
    pods.push(pod("ingress", &ingress.namespace, json!({ "istio": ingress.label })));
    pods.push(pod("another ingress", &ingress.namespace, json!({ "istio": "egress" })));
    pods.push(pod("istiod", "istio-system", json!({ "app": "istiod" })));
    pods.push(pod("dns", "kube-system", json!({ "k8s-app": "kube-dns" })));
    pods.push(pod("scheduler", "kube-system", json!({ "k8s-app": "scheduler" })));
    pods.push(pod("collector", "observe", json!({ "app": "collector" })));
    pods.push(pod("prometheus", "observe", json!({ "app": "prometheus" })));
    pods.push(pod("database operator", "cnpg-system", json!({ "app": "cnpg" })));
    pods
}

fn should_be_open(world: &World, from: &Pod, to: &Pod, port: u16, protocol: &str) -> bool {
    let service = |pod: &Pod| match pod.namespace == "shop" {
        true => world.declared(&pod.name),
        false => None,
    };
    let is_ours = from.namespace == "shop";
    if (&*to.name, port) == ("dns", 53) {
        return is_ours;
    }
    if protocol == "UDP" {
        return false;
    }
    if let Some(owner) = from.name.strip_suffix("-database").filter(|_| is_ours) {
        // Copies among themselves; the API and the store of backups, whose addresses nobody knows.
        let same = to.name == from.name && [5432, 8000].contains(&port);
        let outside = to.namespace != "shop" && [443, 6443].contains(&port);
        return world.declared(owner).is_some() && (same || outside);
    }
    if let Some(owner) = from.name.strip_suffix("-migrate").filter(|_| is_ours) {
        return port == 5432 && to.name == format!("{owner}-database");
    }
    if let Some(owner) = to.name.strip_suffix("-database") {
        return match port {
            5432 => from.name == owner || from.name == "database operator",
            8000 => from.name == "database operator",
            9187 => from.namespace == "observe",
            _ => false,
        };
    }
    match (service(from), port) {
        (Some(_), 15012) => to.name == "istiod",
        (Some(_), 4317) => to.name == "collector",
        (Some(from), 4222) => {
            let events = !(from.publishes.is_empty() && from.subscribes.is_empty());
            to.name == "nats" && (events || !from.buckets.is_empty())
        }
        (Some(from), 50051) => from.calls.iter().any(|call| call.service == to.name),
        (None, 4222) => from.name == "streams" && to.name == "nats",
        (None, 6222) => from.name == "nats" && to.name == "nats",
        (None, 50051) => {
            let exposure = service(to).map(|declared| declared.exposure);
            from.name == "ingress" && exposure == Some(mesh_local::Exposure::Public)
        }
        (None, 9090) => from.namespace == "observe" && service(to).is_some(),
        _ => false,
    }
}

/// One direction of a pod, as Kubernetes decides: without any policy everything is open; with some, what
/// one of them allows.
struct Side<'a> {
    is_free: bool,
    /// What each rule opens, and to whom; to everybody, if it does not say.
    rules: Vec<(Ports, Option<&'a Value>)>,
}

impl<'a> Side<'a> {
    fn of(world: &'a World, direction: &str, pod: &Pod) -> Side<'a> {
        let (rules, peers) = match direction {
            "Egress" => ("egress", "to"),
            _ => ("ingress", "from"),
        };
        let mut side = Side { is_free: true, rules: Vec::new() };
        let mine = world.of("NetworkPolicy").filter(|policy| {
            let spec = &policy["spec"];
            policy["metadata"]["namespace"] == pod.namespace.as_str()
                && means(&spec["podSelector"], &pod.labels)
                && items(&spec["policyTypes"]).any(|it| it == direction)
        });
        for policy in mine {
            side.is_free = false;
            let all = items(&policy["spec"][rules]);
            side.rules.extend(all.map(|rule| (opened(rule), rule.get(peers))));
        }
        side
    }

    fn open(&self, own: &Pod, other: &Pod) -> Ports {
        if self.is_free {
            return Ports::MAX;
        }
        let means_it = |peers: &Option<&Value>| {
            peers.is_none_or(|peers| items(peers).any(|peer| is_peer(peer, own, other)))
        };
        let rules = self.rules.iter().filter(|(_, peers)| means_it(peers));
        rules.fold(0, |open, (ports, _)| open | ports)
    }
}

fn opened(rule: &Value) -> Ports {
    let Some(listed) = rule.get("ports") else { return Ports::MAX };
    let is_listed = |(port, protocol, _): &(u16, &str, Ports)| {
        items(listed).any(|it| it["port"] == *port && it["protocol"] == *protocol)
    };
    ports().filter(is_listed).fold(0, |open, (_, _, bit)| open | bit)
}

fn is_peer(peer: &Value, own: &Pod, other: &Pod) -> bool {
    let namespace = match peer.get("namespaceSelector") {
        Some(selector) => means(selector, &other.around),
        None => own.namespace == other.namespace,
    };
    let known = peer.get("podSelector").is_some() || peer.get("namespaceSelector").is_some();
    known && namespace && peer.get("podSelector").is_none_or(|it| means(it, &other.labels))
}

/// Whether a selector means these labels; an empty one means all, and one that is none nobody.
fn means(selector: &Value, labels: &Value) -> bool {
    let Some(fields) = selector.as_object() else { return false };
    match fields.get("matchLabels") {
        Some(wanted) => selects(wanted, labels),
        None => fields.is_empty(),
    }
}

#[test]
fn pods_reach_whom_they_declare_and_what_they_cannot_do_without() {
    let world = World::read();

    let faults = faults(&world);

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
