use std::path::{Path, PathBuf};
use std::{env, fs};

use super::*;
use crate::services;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn tree() -> Tree {
    Tree::read(&root(), &services::declarations().unwrap()).unwrap()
}

fn images(tree: &Tree, files: &[&str]) -> Vec<String> {
    let files = files.iter().map(|file| (*file).to_owned()).collect();
    let affected = tree.affected(&Change { files, ..Change::default() });
    affected.images.into_iter().map(|it| it.image).collect()
}

/// The images of all services, and that of operators.
fn all() -> Vec<String> {
    let mut names = services::names().unwrap();
    names.push("meshctl".to_owned());
    names.sort();
    names
}

#[test]
fn a_change_affects_the_images_that_it_is_compiled_into() {
    let tree = tree();

    for (file, expected) in [
        ("services/orders/src/lib.rs", &["meshctl", "orders"][..]),
        ("services/orders/migrations/0009_new.sql", &["meshctl", "orders"]),
        ("services/orders/Cargo.toml", &["meshctl", "orders"]),
        ("services/gateway/assets/docs.css", &["gateway", "meshctl"]),
        ("mesh/saga/src/engine.rs", &["meshctl", "orders"]),
        ("mesh/ctl/src/main.rs", &["meshctl"]),
        ("istio/traffic.toml", &["meshctl"]),
        ("services/orders/tests/orders/carts.rs", &[]),
        ("services/orders/README.md", &[]),
        ("services/gateway/README.md", &[]),
        ("mesh/testkit/src/lib.rs", &[]),
        ("k8s/overlays/production/kustomization.yaml", &[]),
        ("tests/main.rs", &[]),
        ("docs/DEPLOY.md", &[]),
        ("README.md", &[]),
    ] {
        assert_eq!(images(&tree, &[file]), expected, "{file}");
    }
    for file in [
        "Cargo.toml",
        "Dockerfile",
        ".cargo/config.toml",
        "build.rs",
        "mesh/rpc/src/lib.rs",
        "proto/shop/orders/v1/events.proto",
        "services/orders/mesh.toml",
    ] {
        assert_eq!(images(&tree, &[file]), all(), "{file}");
    }
    let two =
        images(&tree, &["services/users/src/lib.rs", "services/orders/src/lib.rs", "README.md"]);
    assert_eq!(two, ["meshctl", "orders", "users"]);
}

#[test]
fn a_crate_of_another_version_affects_whom_it_is_compiled_into() {
    let tree = tree();
    let now = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let affected = |name: &str| {
        let begin = now.find(&format!("[[package]]\nname = \"{name}\"\n")).unwrap();
        let version = now[begin..].find("checksum = \"").unwrap() + begin + 12;
        // As if its text had been another.
        let lock_before = format!("{}0000{}", &now[..version], &now[version + 4..]);
        let files = vec!["Cargo.lock".to_owned()];
        tree.affected(&Change { files, lock_before, lock_now: now.clone() }).images
    };
    let names = |images: Vec<Image>| images.into_iter().map(|it| it.image).collect::<Vec<_>>();

    assert_eq!(names(affected("ratatui")), ["meshctl"]);
    assert_eq!(names(affected("tonic")), all());
    assert_eq!(names(affected("proptest")), [""; 0], "only tests need it");
    let because = &affected("ratatui")[0].because[0];
    assert!(because.starts_with("Cargo.lock (ratatui "), "{because}");
    let same = Change {
        files: vec!["Cargo.lock".to_owned()],
        lock_before: now.clone(),
        lock_now: now.clone(),
    };
    assert_eq!(names(tree.affected(&same).images), [""; 0]);
}

/// The compiler notes beside each crate what it was compiled from: whatever is there is known to belong to
/// its package.
#[test]
fn whatever_a_crate_was_compiled_from_belongs_to_it() {
    let (tree, root) = (tree(), root());
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut looked_at = 0;
    for entry in fs::read_dir(target.join("debug/deps")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "d") {
            continue;
        }
        let noted = fs::read_to_string(path).unwrap();
        // Clippy's notes name what it reads itself, too.
        if noted.contains("clippy.toml") {
            continue;
        }
        let files = noted.lines().next().and_then(|line| line.split_once(": "));
        let files = files.map(|(_, files)| files.split_whitespace()).into_iter().flatten();
        let files: Vec<&str> = files
            .map(|file| file.strip_prefix(root.to_str().unwrap()).map_or(file, |it| &it[1..]))
            // As of an earlier build, maybe: what has gone since then affects nothing.
            .filter(|file| root.join(file).is_file() && !file.starts_with("target"))
            // Other crates' own.
            .filter(|file| !file.starts_with('/'))
            .collect();
        let Some(first) = files.first() else { continue };
        let is_program =
            ["src/lib.rs", "src/main.rs", "proto/lib.rs"].iter().any(|it| first.ends_with(it));
        // What is compiled for a crate's own tests is in no image.
        if !is_program || files.iter().any(|file| file.ends_with("tests.rs")) {
            continue;
        }
        let [package] = tree.owners(first)[..] else { panic!("{first} belongs to several") };
        for file in &files {
            looked_at += 1;
            let owners = tree.owners(file);
            assert!(owners.contains(&package), "{file} is compiled into {}", tree.name(package));
        }
    }
    assert!(looked_at > 100, "only {looked_at} files were noted in {}", target.display());
}

#[test]
fn what_is_not_committed_counts_and_a_commit_that_is_not_there_is_told() {
    let change = since(&root(), "HEAD").unwrap();
    assert!(!change.lock_now.is_empty() && !change.lock_before.is_empty());
    // The empty tree: everything is new.
    let everything = since(&root(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
    assert!(everything.files.len() > 500 && everything.lock_before.is_empty());
    assert!(everything.files.contains(&"mesh/ctl/src/affected/tests.rs".to_owned()));
    for nobody in ["no-such-branch", "--help", "0000000000000000000000000000000000000000"] {
        let refused = format!("{:#}", since(&root(), nobody).unwrap_err());
        assert!(refused.starts_with(&format!("there is no commit `{nobody}` here")), "{refused}");
    }
}
