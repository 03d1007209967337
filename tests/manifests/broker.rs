//! The broker as Kubernetes runs it: the one that everything is tried with, and how it ends.

use std::fs;
use std::time::Duration;

use mesh_local::nats_version;
use mesh_testkit::workspace;
use serde_json::Value;

use super::world::{World, documents, items};

fn read(file: &str) -> String {
    fs::read_to_string(workspace().join(file)).unwrap()
}

/// The configuration of three servers, and that which a cluster of one node has in its place.
fn configurations() -> [String; 2] {
    let single = documents(&read("k8s/components/single/kustomization.yaml")).remove(0);
    let mut patches = items(&single["patches"]);
    let of_map = patches.find(|it| it["target"]["kind"] == "ConfigMap").unwrap();
    let patch = documents(of_map["patch"].as_str().unwrap()).remove(0);
    let text = patch[0]["value"].as_str().unwrap().to_owned();
    [read("k8s/nats/nats.conf"), text]
}

/// What a configuration says of a key, without quotes.
fn said<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    lines.find_map(|rest| rest.strip_prefix(':')).map(|value| value.trim().trim_matches('"'))
}

fn seconds(text: &str, key: &str) -> Option<Duration> {
    let count = said(text, key)?.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(count))
}

/// Why a server would be ended before its clients have left.
fn faults(server: &Value, configuration: &str) -> Vec<&'static str> {
    let pod = &server["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let file = said(configuration, "pid_file").unwrap_or_default();
    let asked = &container["lifecycle"]["preStop"]["exec"]["command"];
    let mut faults = Vec::new();
    if *asked != serde_json::json!(["/nats-server", "--signal", format!("ldm={file}")]) {
        faults.push("nobody asks it to");
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut mounts = items(&container["volumeMounts"]);
    let mount = mounts.find(|it| it["mountPath"] == folder && it.get("readOnly").is_none());
    let mut volumes = items(&pod["volumes"]);
    let is_there = mount.is_some_and(|mount| {
        volumes.any(|it| it["name"] == mount["name"] && it["emptyDir"].is_object())
    });
    if !is_there {
        faults.push("it cannot say who it is");
    }
    let times = ["lame_duck_grace_period", "lame_duck_duration"];
    let leaving: Option<Duration> = times.iter().map(|key| seconds(configuration, key)).sum();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs);
    if leaving.is_none_or(|it| grace.is_none_or(|grace| grace < it + Duration::from_secs(10))) {
        faults.push("it is killed before");
    }
    faults
}

#[test]
fn clients_leave_one_after_the_other_before_a_server_ends() {
    let world = World::read();
    let server = world.find("StatefulSet", "nats").unwrap();
    for text in configurations() {
        assert_eq!(faults(server, &text), [""; 0], "{text}");

        for (line, fault) in [
            ("pid_file: ", "nobody asks it to"),
            ("lame_duck_grace_period: ", "it is killed before"),
            ("lame_duck_duration: ", "it is killed before"),
        ] {
            let without = text.replace(line, "# ");
            assert!(faults(server, &without).contains(&fault), "{line}");
        }
    }
    let [text, _] = configurations();
    for (place, fault) in [
        ("/spec/template/spec/containers/0/lifecycle", "nobody asks it to"),
        ("/spec/template/spec/volumes", "it cannot say who it is"),
        ("/spec/template/spec/terminationGracePeriodSeconds", "it is killed before"),
    ] {
        let mut without = server.clone();
        *without.pointer_mut(place).unwrap() = Value::Null;
        assert_eq!(faults(&without, &text), [fault], "{place}");
    }
}

#[test]
fn the_broker_that_is_shipped_is_the_one_that_is_tried() {
    let version = nats_version();
    let world = World::read();
    let server = world.find("StatefulSet", "nats").unwrap();
    let image = &server["spec"]["template"]["spec"]["containers"][0]["image"];

    assert_eq!(*image, format!("nats:{version}-scratch"));
    let container = format!("FROM docker.io/library/nats:{version}-alpine AS nats\n");
    assert!(read("Dockerfile").contains(&container), "containers have another");
}
