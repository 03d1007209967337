//! `compose.yaml`: the whole shop in containers, from what the services declare, and the configuration of
//! the Prometheus in it.

mod parts;
mod stores;

use anyhow::Result;
use mesh_local::Declaration;
use serde_json::{Map, Value, json};

use super::{Page, yaml};
use crate::services;

/// Where the pages lie that containers are given.
pub const FOLDER: &str = "compose/generated";
/// Among the folders of keys that of whoever signs users' tokens.
pub const OPERATOR: &str = "operator";
/// Where every service answers in its container, and where it shows how it is.
const GRPC: u16 = 7000;
const ADMIN: u16 = 9000;
const SOURCE: &str = "services/*/mesh.toml and mesh/ctl/src/generate/compose";

/// The compose file.
pub(super) fn file(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let mut containers = Map::new();
    for declaration in declarations {
        containers.insert(declaration.service.clone(), parts::service(declaration, declarations));
    }
    containers.insert("provision".to_owned(), parts::provision(declarations));
    containers.insert("postgres".to_owned(), stores::postgres());
    containers.insert("nats".to_owned(), stores::nats(declarations));
    for (name, container) in stores::observers() {
        containers.insert(name.to_owned(), container);
    }
    let mut volumes = Map::new();
    for volume in ["postgres", "nats", "logs", "metrics", "dashboards"] {
        volumes.insert(volume.to_owned(), json!({}));
    }
    for name in declarations.iter().map(|it| it.service.as_str()).chain([OPERATOR]) {
        volumes.insert(keys_of(name), json!({}));
    }
    let document = json!({
        "name": "shopmesh",
        "services": containers,
        "volumes": volumes,
        // Only what is published is reached from outside, and only the front reaches outside.
        "networks": { "front": {}, "mesh": { "internal": true }, "observe": { "internal": true } },
    });
    let text = yaml::file(SOURCE, &[document]);
    Ok(vec![Page { path: "compose.yaml".to_owned(), text }])
}

/// What containers are given besides: the configuration of Prometheus.
pub(super) fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let text = yaml::file(SOURCE, &[prometheus(declarations)]);
    Ok(vec![Page { path: format!("{FOLDER}/prometheus.yaml"), text }])
}

/// A job is a service, so that alerts can name the one that is gone; every replica that the name
/// leads to is one of its targets.
fn prometheus(declarations: &[Declaration]) -> Value {
    let jobs = declarations.iter().map(|declaration| {
        let name = &declaration.service;
        json!({
            "job_name": name,
            "dns_sd_configs": [{ "names": [name], "type": "A", "port": ADMIN }],
        })
    });
    json!({
        "global": { "scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "5s" },
        "rule_files": ["/etc/prometheus/rules/*.yaml"],
        "scrape_configs": jobs.collect::<Vec<_>>(),
    })
}

/// The volume with a service's own key, and everybody's public ones.
fn keys_of(service: &str) -> String {
    format!("keys-{service}")
}

/// Something that is not in this file: who starts the containers is told how to get it.
fn secret(variable: &str) -> String {
    format!("${{{variable}:?run compose/secrets.sh once}}")
}

/// The variable with a service's password for its database.
pub fn database_password(service: &str) -> String {
    format!("DATABASE_PASSWORD_{}", service.to_ascii_uppercase().replace('-', "_"))
}

/// What holds for every container: it is nobody, can write nowhere but into its volumes, and comes back.
fn hardened(image: Value, user: &str) -> Value {
    let mut container = json!({
        "user": user,
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 512,
        "restart": "unless-stopped",
    });
    merge(&mut container, image);
    container
}

/// Adds fields to an object; later ones win.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// Whether customers come to it.
fn is_door(declaration: &Declaration) -> bool {
    services::speaks_http(&declaration.service)
}
