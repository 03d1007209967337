//! `compose.yaml`: what the specification allows, as safe as it says, and enough for every service to run.

mod dockerfile;
mod images;
mod lives;
mod observed;
mod settings;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mesh_testkit::workspace;
use meshctl::services;
use serde_json::{Map, Value};

/// The containers that people reach, and nobody else does.
const PUBLISHED: [&str; 2] = ["gateway", "grafana"];
/// Those that do their work and end.
const JOBS: [&str; 1] = ["provision"];

/// The file as it is shipped.
fn file() -> Value {
    let text = fs::read_to_string(workspace().join("compose.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn containers(file: &Value) -> &Map<String, Value> {
    file["services"].as_object().unwrap()
}

/// A container's variables.
fn environment(file: &Value, container: &str) -> BTreeMap<String, String> {
    let environment = file["services"][container]["environment"].as_object();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    environment.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The texts of a list, and of the keys of an object: compose knows both.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(all) => all.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
        Value::Object(all) => all.keys().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// What the specification does not allow.
fn faults(file: &Value) -> Vec<String> {
    let schema = fs::read_to_string(workspace().join("tests/compose/compose-spec.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(file);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_what_the_specification_allows() {
    assert_eq!(faults(&file()), Vec::<String>::new());
    let mut wrong = file();
    wrong["services"]["orders"]["restarts"] = "always".into();
    assert_eq!(faults(&wrong).len(), 1, "the schema refuses what it does not know");
}

#[test]
fn every_service_is_there_and_nobody_is_root_or_can_write() {
    let file = file();
    let containers = containers(&file);
    for declaration in services::declarations().unwrap() {
        assert!(containers.contains_key(&declaration.service), "{}", declaration.service);
    }
    let mut faults = Vec::new();
    for (name, container) in containers {
        let mut must = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{name}: {what}"));
            }
        };
        let user = container["user"].as_str().unwrap_or("0");
        let (user, group) = user.split_once(':').unwrap_or((user, "0"));
        let is_somebody = |id: &str| id.parse::<u32>().is_ok_and(|id| id > 0);
        must(is_somebody(user) && is_somebody(group), "user: it is root");
        must(container["read_only"] == true, "read_only: it can write into its image");
        must(names(&container["cap_drop"]).contains("ALL"), "cap_drop: it has capabilities");
        let options = names(&container["security_opt"]);
        must(options.contains("no-new-privileges:true"), "security_opt: it may become another");
        for more in
            ["privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"]
        {
            must(container.get(more).is_none(), more);
        }
        let restart = if JOBS.contains(&name.as_str()) { "on-failure:5" } else { "unless-stopped" };
        must(container["restart"] == restart, "restart: it does not come back, or for ever");
        let image = container["image"].as_str().unwrap_or_default();
        let (_, tag) = image.split_once(':').unwrap_or((image, "latest"));
        let is_ours = image.starts_with("shopmesh/") && container.get("build").is_some();
        let exact = tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v') && tag.contains('.');
        must(is_ours || exact, "image: no exact version");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn two_doors_lead_in_and_only_the_front_leads_out() {
    let file = file();
    for (name, container) in containers(&file) {
        let ports = names(&container["ports"]);
        let is_door = PUBLISHED.contains(&name.as_str());
        assert_eq!(!ports.is_empty(), is_door, "{name} publishes {ports:?}");
        // Nobody signs in yet.
        assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{name}: {ports:?}");
        assert_eq!(names(&container["networks"]).contains("front"), is_door, "{name}");
    }
    for (name, network) in file["networks"].as_object().unwrap() {
        assert_eq!(network.get("internal") == Some(&Value::Bool(true)), name != "front", "{name}");
    }
}

#[test]
fn what_it_names_is_there() {
    let file = file();
    let containers = containers(&file);
    let volumes = names(&file["volumes"]);
    let networks = names(&file["networks"]);
    let mut mounted = BTreeSet::new();
    for (name, container) in containers {
        for network in names(&container["networks"]) {
            assert!(networks.contains(&network), "{name}: the network {network}");
        }
        for first in names(&container["depends_on"]) {
            assert!(containers.contains_key(&first), "{name} waits for {first}");
            let condition = &container["depends_on"][&first]["condition"];
            if condition == "service_healthy" {
                assert!(containers[&first].get("healthcheck").is_some(), "{first} has no check");
            }
        }
        for volume in names(&container["volumes"]) {
            let from = volume.split(':').next().unwrap();
            match from.strip_prefix("./") {
                Some(path) => {
                    assert!(workspace().join(path).exists(), "{name}: {path} is not in the tree");
                    assert!(volume.ends_with(":ro"), "{name} can write into {path}");
                }
                None => {
                    assert!(volumes.contains(from), "{name}: the volume {from}");
                    mounted.insert(from.to_owned());
                }
            }
        }
    }
    assert_eq!(mounted, volumes, "every volume is somebody's");
    // A service's own key is seen by itself, and by who makes it.
    for declaration in services::declarations().unwrap() {
        let keys = format!("keys-{}:", declaration.service);
        let sees = |container: &Value| {
            names(&container["volumes"]).iter().any(|volume| volume.starts_with(&keys))
        };
        let all = containers.iter().filter(|(_, container)| sees(container));
        let all: BTreeSet<_> = all.map(|(name, _)| name.as_str()).collect();
        assert_eq!(all, BTreeSet::from(["provision", &declaration.service]));
    }
}

/// A log line leads to its trace and a trace to its lines: Grafana has both stores, under the names by
/// which the Collector sends to them.
#[test]
fn logs_and_traces_reach_stores_that_lead_to_each_other() {
    let file = file();
    let read = |path: &str| -> Value {
        let text = fs::read_to_string(workspace().join(path)).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    };
    let sources = read("observe/grafana/datasources.yaml");
    let sources = sources["datasources"].as_array().unwrap();
    let source = |uid: &str| sources.iter().find(|source| source["uid"] == uid).unwrap();
    for source in sources {
        let url = source["url"].as_str().unwrap();
        let host = url.strip_prefix("http://").unwrap().split(':').next().unwrap();
        assert!(containers(&file).contains_key(host), "{url}");
    }
    assert_eq!(source("victorialogs")["jsonData"]["derivedFields"][0]["datasourceUid"], "jaeger");
    let logs = &source("jaeger")["jsonData"]["tracesToLogsV2"]["datasourceUid"];
    assert_eq!(logs, "victorialogs");

    let collector = environment(&file, "collector");
    assert!(collector["TRACES_ENDPOINT"].starts_with("jaeger:"));
    assert!(collector["LOGS_ENDPOINT"].starts_with("http://victorialogs:"));
    let stores = read("observe/collector/stores.yaml").to_string();
    for variable in collector.keys().filter(|it| it.ends_with("_ENDPOINT")) {
        assert!(stores.contains(&format!("${{env:{variable}:-")), "{variable} is not read");
    }
    for declaration in services::declarations().unwrap() {
        let environment = environment(&file, &declaration.service);
        assert_eq!(environment["OTLP_ENDPOINT"], "http://collector:4317");
        assert_eq!(environment["OTLP_SIGNALS"], "traces,logs");
    }
    let scraped = read("compose/generated/prometheus.yaml");
    let jobs = scraped["scrape_configs"].as_array().unwrap().iter();
    let jobs: BTreeSet<_> = jobs.map(|job| job["job_name"].as_str().unwrap()).collect();
    let all = services::names().unwrap();
    assert_eq!(jobs, all.iter().map(String::as_str).collect());
}
