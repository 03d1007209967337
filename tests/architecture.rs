//! Dependencies point inwards: api, consume -> app -> domain, store, events; none points back.
//! And the other rules of the house that nobody should have to remember.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Layer of a service, and what it must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("domain", &["tonic", "prost", "prost_types", "shop", "sqlx", "async_nats", "tokio"]),
    ("domain", &["mesh_log", "mesh_events", "mesh_saga", "mesh_rpc", "mesh_runtime"]),
    ("domain", &["crate::api", "crate::app", "crate::consume", "crate::events"]),
    ("domain", &["crate::store", "crate::wire"]),
    ("app", &["tonic", "prost", "prost_types", "shop", "async_nats"]),
    ("app", &["crate::api", "crate::consume", "crate::wire"]),
    ("store", &["tonic", "prost_types", "shop", "async_nats"]),
    ("store", &["crate::api", "crate::app", "crate::consume", "crate::events", "crate::wire"]),
    ("events", &["tonic", "async_nats", "crate::api", "crate::app", "crate::consume"]),
    ("events", &["crate::store"]),
    ("wire", &["sqlx", "async_nats", "crate::api", "crate::consume"]),
];

/// What is pure, so that every layer may name it. This list may only shrink.
const PURE: &[&str] =
    &["shop::money", "mesh_saga::Next", "mesh_saga::Patience", "mesh_saga::Verdict"];

const LONGEST_FILE: usize = 400;

/// Everything that a service must bring, beside its code.
const PARTS: [&str; 3] = ["Cargo.toml", "README.md", "mesh.toml"];

/// What one brings that keeps something.
const FIRST_MIGRATION: &str = "migrations/0001_mesh.sql";

/// The front door, which serves what others own: the one service without a contract.
const DOOR: &str = "gateway";
/// Services that keep nothing, and have no database.
const KEEP_NOTHING: [&str; 2] = [DOOR, "storefront"];

/// What no source says, in two halves so that this file does not say it either.
const UNWANTED: [(&str, &str, &str); 4] = [
    ("Status::unimple", "mented", "serve it, or take it out of the contract"),
    ("#[ign", "ore", "a test that does not run proves nothing"),
    ("#[all", "ow(", "`#[expect(.., reason)]` goes away with its cause"),
    ("todo", "!(", "write it"),
];

#[test]
fn inner_layers_do_not_know_outer_ones() {
    let mut offences = BTreeSet::new();
    for service in directories("services") {
        for (layer, forbidden) in FORBIDDEN {
            for (path, text) in layer_sources(&service, layer) {
                for name in paths(without_tests(&text)) {
                    let is_any = |roots: &[&str]| roots.iter().any(|root| is_in(&name, root));
                    if is_any(forbidden) && !is_any(PURE) {
                        offences.insert(format!("{} names `{name}`", path.display()));
                    }
                }
            }
        }
    }
    report(offences);
}

#[test]
fn files_stay_readable() {
    let offences = ["services", "mesh", "tests", "benches", "proto"]
        .into_iter()
        .flat_map(|root| sources(Path::new(root), &["rs", "proto", "sql"]))
        .filter_map(|(path, text)| {
            let lines = without_tests(&text).lines().count();
            let long = lines > LONGEST_FILE;
            long.then(|| format!("{} has {lines} lines; split it", path.display()))
        });
    report(offences);
}

#[test]
fn every_service_is_complete() {
    let shared = fs::read("mesh/log/migrations/0001_mesh.sql").unwrap();
    let mut offences = BTreeSet::new();
    for service in directories("services") {
        for part in PARTS.iter().filter(|part| !service.join(part).is_file()) {
            offences.insert(format!("{}/{part} is missing", service.display()));
        }
        let declaration = fs::read_to_string(service.join(PARTS[2])).unwrap_or_default();
        let name = file_name(&service);
        let mut lines = vec![format!("service = \"{name}\"")];
        if name != DOOR {
            lines.push(format!("contract = \"shop.{name}.v1\""));
        }
        if KEEP_NOTHING.contains(&name.as_str()) {
            for part in ["migrations", "src/store"].iter().filter(|it| service.join(it).exists()) {
                offences.insert(format!("{}/{part}: it keeps nothing", service.display()));
            }
        } else {
            lines.push("store = \"postgres\"".to_owned());
            if fs::read(service.join(FIRST_MIGRATION)).ok().as_ref() != Some(&shared) {
                let file = format!("{}/{FIRST_MIGRATION}", service.display());
                offences.insert(format!("{file} is not there as a copy of mesh/log's"));
            }
            if sources(&service.join("migrations"), &["sql"]).len() < 2 {
                offences.insert(format!("{} has no tables of its own", service.display()));
            }
        }
        for line in lines {
            if !declaration.lines().any(|given| given == line) {
                offences.insert(format!("{}/mesh.toml does not say `{line}`", service.display()));
            }
        }
    }
    report(offences);
}

#[test]
fn the_platform_knows_no_shop_and_services_know_no_other_service() {
    let services: Vec<_> = directories("services").iter().map(|dir| file_name(dir)).collect();
    let mut offences = BTreeSet::new();
    for package in directories("mesh").into_iter().chain(directories("services")) {
        let is_mesh = package.starts_with("mesh");
        if is_mesh && package.ends_with("ctl") {
            continue;
        }
        let own = file_name(&package);
        let others = services.iter().filter(|name| **name != own);
        let unknown: Vec<_> = others.cloned().chain(is_mesh.then(|| "shop".to_owned())).collect();
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
        // Tests of a service may run a neighbour; those of the platform may not know one.
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let manifest = if is_mesh { manifest.as_str() } else { shipped };
        for name in unknown.iter().filter(|name| depends_on(manifest, name)) {
            offences.insert(format!("{} depends on `{name}`", package.display()));
        }
    }
    report(offences);
}

#[test]
fn nothing_is_left_undone_or_looked_away_from() {
    let offences = ["services", "mesh", "tests", "benches", "proto"]
        .into_iter()
        .flat_map(|root| sources(Path::new(root), &["rs"]))
        .flat_map(|(path, text)| {
            UNWANTED.into_iter().filter_map(move |(start, end, advice)| {
                let unwanted = format!("{start}{end}");
                let found = text.contains(&unwanted);
                found.then(|| format!("{} says `{unwanted}`: {advice}", path.display()))
            })
        });
    report(offences);
}

/// The sources of a layer, be it one file or a directory.
fn layer_sources(service: &Path, layer: &str) -> Vec<(PathBuf, String)> {
    let src = service.join("src");
    let mut found = sources(&src.join(layer), &["rs"]);
    let file = src.join(layer).with_extension("rs");
    if let Ok(text) = fs::read_to_string(&file) {
        found.push((file, text));
    }
    found
}

fn depends_on(manifest: &str, name: &str) -> bool {
    manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name))
}

fn is_in(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
}

/// Every path that the text names, comments left out; `use a::{b, c::d}` names `a::b` and `a::c::d`.
fn paths(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut found = BTreeSet::new();
    for (n, statement) in code.split("use ").enumerate() {
        let end = if n == 0 { 0 } else { statement.find(';').map_or(0, |end| end + 1) };
        let (tree, rest) = statement.split_at(end);
        expand("", tree.trim_end_matches(';'), &mut found);
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let named = rest.split(|c| !is_path(c)).map(|path| path.trim_matches(':'));
        found.extend(named.filter(|path| path.contains("::")).map(str::to_owned));
    }
    found
}

/// Names the leaves of a `use` tree.
fn expand(prefix: &str, tree: &str, found: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let leaf = tree.split(" as ").next().unwrap_or_default().trim();
        if !leaf.is_empty() {
            found.insert(format!("{prefix}{leaf}"));
        }
        return;
    };
    let prefix = format!("{prefix}{head}");
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inner[start..], found);
}

fn directories(root: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.join("Cargo.toml").is_file()).collect();
    found.sort();
    assert!(!found.is_empty(), "nothing lies in {root}");
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn sources(dir: &Path, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path, extensions));
        } else if path.extension().is_some_and(|ext| extensions.iter().any(|want| ext == *want)) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn report(offences: impl IntoIterator<Item = String>) {
    let offences: Vec<_> = offences.into_iter().collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}
