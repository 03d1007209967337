//! The packages of the checkout: where their sources are, and which are compiled into which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use mesh_local::Declaration;
use serde::Deserialize;

/// The package of the contracts. What services declare is a part of it: `shop::DECLARATIONS`.
const CONTRACTS: &str = "shop";
const DECLARATION: &str = "mesh.toml";
/// The program of operators, which has an image of its own beside those of services.
const OPERATORS: &str = "meshctl";
/// Folders of a package that nothing of a program is compiled from.
const BESIDE: [&str; 3] = ["tests", "benches", "examples"];
/// Files of sources that are compiled for a package's own tests alone.
const OF_TESTS: &str = "tests.rs";
/// Macros that take a file into a program.
const INCLUDE: [&str; 2] = ["include_str!", "include_bytes!"];

/// The packages.
#[derive(Clone, Debug)]
pub struct Tree {
    packages: Vec<Package>,
    /// Images, and the packages of their programs.
    images: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
struct Package {
    name: String,
    version: String,
    /// Of the checkout; none of others.
    sources: Option<Sources>,
    /// Packages that it is compiled with.
    needs: Vec<usize>,
}

/// From the root of the checkout.
#[derive(Clone, Debug)]
struct Sources {
    folder: String,
    /// What is compiled, if the folder has much beside it.
    only: Option<Vec<String>>,
    /// What it includes from elsewhere.
    included: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<ListedPackage>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct ListedPackage {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Needed>,
}

#[derive(Deserialize)]
struct Needed {
    pkg: String,
    dep_kinds: Vec<NeededFor>,
}

#[derive(Deserialize)]
struct NeededFor {
    /// `dev`, `build`, or none.
    kind: Option<String>,
}

impl Tree {
    /// What cargo knows of the checkout at `root`, whose services these are.
    ///
    /// # Errors
    /// cargo fails, or a service has no package.
    pub fn read(root: &Path, services: &[Declaration]) -> Result<Tree> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root);
        let output = command.output().context("cargo cannot be run")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`cargo metadata` says: {}", said.trim());
        let metadata = serde_json::from_slice(&output.stdout).context("`cargo metadata`")?;
        Tree::of(root, metadata, services)
    }

    fn of(root: &Path, metadata: Metadata, services: &[Declaration]) -> Result<Tree> {
        let Metadata { packages: listed, workspace_members, resolve } = metadata;
        let places: BTreeMap<&str, usize> =
            listed.iter().enumerate().map(|(at, package)| (&*package.id, at)).collect();
        let mut packages = Vec::new();
        for package in &listed {
            let is_ours = workspace_members.contains(&package.id);
            let node = resolve.nodes.iter().find(|node| node.id == package.id);
            // What only tests need is in no program.
            let compiled =
                |it: &&Needed| it.dep_kinds.iter().any(|it| it.kind.as_deref() != Some("dev"));
            let needs = node.into_iter().flat_map(|node| &node.deps).filter(compiled);
            packages.push(Package {
                name: package.name.clone(),
                version: package.version.clone(),
                sources: is_ours.then(|| sources(root, package)).transpose()?,
                needs: needs.filter_map(|it| places.get(&*it.pkg).copied()).collect(),
            });
        }
        let names = services.iter().map(|it| it.service.as_str()).chain([OPERATORS]);
        let mut images = BTreeMap::new();
        for name in names {
            let at = packages.iter().position(|it| it.name == name && it.sources.is_some());
            let at =
                at.with_context(|| format!("no package of the checkout is called `{name}`"))?;
            images.insert(name.to_owned(), at);
        }
        Ok(Tree { packages, images })
    }

    pub(super) fn name(&self, package: usize) -> &str {
        &self.packages[package].name
    }

    pub(super) fn images(&self) -> impl Iterator<Item = (&str, usize)> {
        self.images.iter().map(|(image, package)| (image.as_str(), *package))
    }

    /// Those of this name and version.
    pub(super) fn named(&self, name: &str, version: &str) -> Vec<usize> {
        let all = self.packages.iter().enumerate();
        all.filter(|(_, it)| it.name == name && it.version == version).map(|(at, _)| at).collect()
    }

    /// A package with all that is compiled into it.
    pub(super) fn compiled_into(&self, package: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut open = vec![package];
        while let Some(at) = open.pop() {
            if all.insert(at) {
                open.extend(&self.packages[at].needs);
            }
        }
        all
    }

    /// The packages that a file is compiled into, first of all the one that it lies in.
    pub(super) fn owners(&self, file: &str) -> Vec<usize> {
        let all = || self.packages.iter().enumerate();
        let ours = all().filter_map(|(at, package)| Some((at, package.sources.as_ref()?)));
        let around = ours.clone().filter(|(_, it)| below(file, &it.folder).is_some());
        let nearest = around.max_by_key(|(_, it)| it.folder.len());
        let nearest = nearest.filter(|(_, it)| it.compiles(file)).map(|(at, _)| at);
        let including = ours.filter(|(_, it)| it.included.contains(file)).map(|(at, _)| at);
        // The build script of the contracts reads all of these.
        let is_declaration =
            file.starts_with("services/") && file.ends_with(&format!("/{DECLARATION}"));
        let contracts = all().filter(|(_, it)| is_declaration && it.name == CONTRACTS);
        let mut owners: Vec<_> =
            nearest.into_iter().chain(including).chain(contracts.map(|(at, _)| at)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

impl Sources {
    fn compiles(&self, file: &str) -> bool {
        let Some(within) = below(file, &self.folder) else { return false };
        match &self.only {
            Some(only) => only.iter().any(|it| within == it || below(within, it).is_some()),
            None => {
                let first = within.split('/').next().unwrap_or_default();
                !BESIDE.contains(&first) && !within.ends_with(".md")
            }
        }
    }
}

/// What of a file's path is below a folder; the root has no name.
fn below<'a>(file: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(file),
        folder => file.strip_prefix(folder)?.strip_prefix('/'),
    }
}

fn sources(root: &Path, package: &ListedPackage) -> Result<Sources> {
    let folder = package.manifest_path.parent().unwrap_or(root);
    let relative = |path: &Path| {
        let path = path.strip_prefix(root).unwrap_or(path);
        path.to_string_lossy().into_owned()
    };
    let compiled = package.targets.iter().filter(|it| !it.kind.iter().any(|kind| kind == "test"));
    let compiled: Vec<&Target> = compiled.collect();
    // The root has all folders below it: of these only those that its targets lie in.
    let only = (folder == root).then(|| {
        let of = |target: &&Target| match target.src_path.parent() {
            Some(parent) if parent != root => relative(parent),
            _ => relative(&target.src_path),
        };
        compiled.iter().map(of).collect()
    });
    let mut included = BTreeSet::new();
    for target in compiled {
        let around = target.src_path.parent().filter(|it| *it != root);
        for source in around.map(rust_files).transpose()?.unwrap_or_default() {
            let text = fs::read_to_string(&source).with_context(|| relative(&source))?;
            let from = source.parent().unwrap_or(root);
            included.extend(includes(&text).map(|path| relative(&plain(&from.join(path)))));
        }
    }
    Ok(Sources { folder: relative(folder), only, included })
}

/// The files that a source includes, as it names them.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    let after = |word: &'static str| text.split(word).skip(1);
    INCLUDE.into_iter().flat_map(after).filter_map(|rest| {
        let rest = rest.trim_start().strip_prefix('(')?.trim_start().strip_prefix('"')?;
        rest.split('"').next()
    })
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let about = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(about)? {
            let path = entry.with_context(about)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with(OF_TESTS) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
