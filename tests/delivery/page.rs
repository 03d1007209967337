//! docs/DEPLOY.md says what to do, and all that it names is there.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;

use crate::manifests::world::{World, documents};

/// What somebody looks for who has a cluster to make, to keep, or to bring back.
const HEADINGS: [&str; 11] = [
    "### What has to be there before",
    "### Secrets",
    "### From zero with kind",
    "### From zero on a managed cluster",
    "### Ingress by nginx",
    "### Operators",
    "### Migrations",
    "### Upgrading Istio",
    "### Disaster recovery of PostgreSQL",
    "### Disaster recovery of JetStream",
    "#### All streams anew",
];
/// Folders of the tree that a word can begin with.
const FOLDERS: [&str; 10] = [
    "compose/",
    "docs/",
    "istio/",
    "k8s/",
    "mesh/",
    "nats/",
    "observe/",
    "proto/",
    "services/",
    "tests/",
];
/// What somebody writes by this page, and what a command makes.
const OWN: [&str; 4] = [
    "k8s/overlays/here",
    "k8s/overlays/here/",
    "k8s/overlays/here/keys.yaml",
    "k8s/overlays/here/kustomization.yaml",
];
/// Kinds of objects of Kubernetes, Istio and operators, as `kubectl` is told them, beside those of the tree.
const KINDS: [&str; 7] = ["backup", "certificate", "pod", "pods", "pvc", "secret", "storageclass"];

fn page() -> String {
    fs::read_to_string(workspace().join("docs/DEPLOY.md")).unwrap()
}

/// The lines of all commands, each as one, without what is said beside them.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    let mut commands = Vec::new();
    for block in blocks {
        let block = block.split_once('\n').unwrap().1.replace("\\\n", " ");
        let lines = block.lines().map(|line| line.split(" # ").next().unwrap().trim().to_owned());
        commands.extend(lines.filter(|line| !line.is_empty()));
    }
    let inline = page.split("\n```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    commands.extend(inline.map(|word| word.replace('\n', " ")));
    commands
}

#[test]
fn every_way_is_described() {
    let page = page();
    for heading in HEADINGS {
        let body = page.split(&format!("\n{heading}\n")).nth(1);
        let body = body.unwrap_or_else(|| panic!("there is no `{heading}`"));
        let body = body.split("\n### ").next().unwrap();
        assert!(body.contains("\n```\n") || body.contains("`k8s/"), "{heading}: no command");
    }
    for service in World::read().declarations {
        let restored = format!("| {} |", service.service);
        let part = page.split("\n### Disaster recovery of PostgreSQL\n").nth(1).unwrap();
        assert!(service.store.is_none() || part.contains(&restored), "{restored} restored");
    }
}

#[test]
fn every_file_and_folder_that_is_named_exists() {
    let page = page();
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "/._-*{},<>$".contains(c));
    let mut named = BTreeSet::new();
    for command in commands(&page) {
        for word in command.split(is_end) {
            let word = word.trim_end_matches(['.', ',']);
            let is_ours = FOLDERS.iter().any(|folder| word.starts_with(folder));
            let is_pattern = word.contains(['*', '{', '<', '$']);
            if is_ours && !is_pattern && !OWN.contains(&word) {
                named.insert(word.split("::").next().unwrap().to_owned());
            }
        }
    }
    assert!(named.len() > 40, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|it| !workspace().join(it).exists()).collect();
    assert!(missing.is_empty(), "docs/DEPLOY.md names {missing:?}");
}

/// `kubectl [-n X] VERB KIND NAME` and `kubectl VERB KIND/NAME`: the kind is one that there is, and of ours
/// the name too.
#[test]
fn every_object_that_a_command_names_exists() {
    let world = World::read();
    let mut kinds: BTreeSet<String> = KINDS.iter().map(|it| (*it).to_owned()).collect();
    let mut ours = BTreeSet::new();
    let gateway = fs::read_to_string(workspace().join("k8s/ingress-gateway/gateway.yaml")).unwrap();
    let brokers = fs::read_to_string(workspace().join("k8s/nats/nats.yaml")).unwrap();
    let operators =
        fs::read_to_string(workspace().join("k8s/generated/operator/operator.yaml")).unwrap();
    let beside = [gateway, brokers, operators].into_iter().flat_map(|text| documents(&text));
    for object in world.objects.iter().cloned().chain(beside) {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_lowercase();
        let kind = text(&object["kind"]);
        ours.insert(format!("{kind}/{}", text(&object["metadata"]["name"])));
        kinds.insert(kind);
    }
    let mut seen = 0;
    for command in commands(&page()) {
        for one in command.split(['|', ';', '&']) {
            let words: Vec<&str> = one.split_whitespace().collect();
            if words.first() != Some(&"kubectl") {
                continue;
            }
            let Some((kind, name)) = object(&words[1..]) else { continue };
            let short = kind.split('.').next().unwrap();
            assert!(kinds.contains(short), "`{one}`: what is a {kind}?");
            seen += 1;
            let known = ["deployment", "statefulset", "service", "cluster"].contains(&short);
            let made_elsewhere = name.contains('$')
                || name.starts_with("istiod-")
                || ["metrics-server", "NAME"].contains(&name);
            if known && !name.is_empty() && !made_elsewhere {
                assert!(ours.contains(&format!("{short}/{name}")), "`{one}`: no {kind} {name}");
            }
        }
    }
    assert!(seen > 25, "{seen} commands name an object");
}

/// Kind and name, if a command of `kubectl` has them; its name is empty if it means all of them.
fn object<'a>(words: &[&'a str]) -> Option<(&'a str, &'a str)> {
    const VERBS: [&str; 9] = [
        "delete",
        "get",
        "patch",
        "port-forward",
        "restart",
        "scale",
        "status",
        "wait",
        "describe",
    ];
    let at = words.iter().position(|word| VERBS.contains(word))?;
    let kind = words.get(at + 1).filter(|word| !word.starts_with('-'))?;
    match kind.split_once('/') {
        Some((kind, name)) => Some((kind, name)),
        None => {
            let name = words.get(at + 2).filter(|word| !word.starts_with('-'));
            Some((kind, name.copied().unwrap_or_default()))
        }
    }
}

/// A first install ends with tokens that are believed: istiod may have given up asking for their keys.
#[test]
fn whoever_installs_is_told_to_try_a_token() {
    let page = page();
    for heading in ["### From zero with kind", "### From zero on a managed cluster"] {
        let part = page.split(&format!("\n{heading}\n")).nth(1).unwrap();
        let part = part.split("\n### ").next().unwrap();
        let tried = part.lines().any(|line| line.starts_with("curl") && line.contains("$token"));
        assert!(tried && part.contains("token=$(cargo mesh token"), "{heading}");
        let keys = ["path: /spec/jwtRules/0/jwks\n", "restart deployment --selector app=istiod\n"];
        assert!(keys.iter().any(|it| part.contains(it)), "{heading}: where do keys come from?");
    }
}
