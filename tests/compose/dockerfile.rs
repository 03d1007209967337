//! The Dockerfile, read: what its images are made of, and that they are those that compose wants.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;

use super::{containers, file};

/// The stages, and what each begins with.
fn stages() -> Vec<(String, String)> {
    let text = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    let from = text.lines().filter_map(|line| line.strip_prefix("FROM "));
    let stage = |line: &str| {
        let (base, name) = line.split_once(" AS ").expect("every stage has a name");
        (name.to_owned(), base.to_owned())
    };
    from.map(stage).collect()
}

#[test]
fn every_image_is_made_of_exact_versions_and_runs_as_nobody() {
    let stages = stages();
    let text = fs::read_to_string(workspace().join("Dockerfile")).unwrap();
    for (name, base) in &stages {
        let is_stage = stages.iter().any(|(other, _)| other == base);
        // Docker would take a shorter name for one of docker.io, Podman asks of which registry it is.
        let registry = base.split('/').next().unwrap();
        assert!(is_stage || registry.contains('.'), "{name}: {base} names no registry");
        let tag = base.split_once(':').map_or("", |(_, tag)| tag);
        let exact = tag.contains("@sha256:") || tag.chars().filter(|c| *c == '.').count() >= 2;
        assert!(is_stage || exact, "{name}: {base} is whatever it is today");
        let body = text.split(&format!(" AS {name}\n")).nth(1).unwrap();
        let body = body.split("\nFROM ").next().unwrap();
        let inherits = stages.iter().any(|(other, _)| other == base && other == "nobody");
        assert!(name == "build" || inherits || body.contains("USER 65532:65532"), "{name}");
    }
    let toolchain = fs::read_to_string(workspace().join("rust-toolchain.toml")).unwrap();
    let rust = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let compiler = format!("FROM docker.io/library/rust:{rust}-");
    assert!(text.contains(&compiler), "the compiler is not {rust}");
}

#[test]
fn compose_builds_stages_that_there_are() {
    let stages: BTreeSet<_> = stages().into_iter().map(|(name, _)| name).collect();
    let file = file();
    let mut built = 0;
    for (name, container) in containers(&file) {
        let Some(build) = container.get("build") else { continue };
        built += 1;
        assert!(stages.contains(build["target"].as_str().unwrap()), "{name}");
        if build["target"] == "service" {
            let service = build["args"]["SERVICE"].as_str().unwrap();
            assert_eq!(service, name);
            assert!(workspace().join("services").join(service).join("src/main.rs").is_file());
        }
    }
    assert!(built > 8, "{built}");
}
