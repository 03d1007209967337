//! Which images a change affects: those whose program is compiled from a file that was changed, or from a
//! crate of another version. Found out from what cargo knows of packages, from what sources include, and
//! from what services declare; nobody keeps a list of folders.

mod change;
mod lock;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use change::{Change, since};
pub use tree::Tree;

/// Files of the root that every program is compiled by.
const ALL: [&str; 4] = ["Cargo.toml", "rust-toolchain.toml", "Dockerfile", ".dockerignore"];
/// The same, everything in it.
const ALL_BELOW: &str = ".cargo/";
const LOCK: &str = "Cargo.lock";
/// An image says so many reasons.
const REASONS: usize = 3;

/// What a change affects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// How many files are changed.
    pub files: usize,
    /// The images that have to be made anew, by name.
    pub images: Vec<Image>,
}

/// An image that has to be made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name, without the registry: that of the service, or `meshctl`.
    pub image: String,
    /// Why: some of the files, each with the package it belongs to.
    pub because: Vec<String>,
}

impl Tree {
    /// The images that a change affects.
    pub fn affected(&self, change: &Change) -> Affected {
        let mut reasons: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut of_all = Vec::new();
        for file in &change.files {
            if ALL.contains(&file.as_str()) || file.starts_with(ALL_BELOW) {
                of_all.push(file.clone());
            } else if file == LOCK {
                for (name, version) in lock::differing(&change.lock_before, &change.lock_now) {
                    for package in self.named(&name, &version) {
                        reasons
                            .entry(package)
                            .or_default()
                            .push(format!("{LOCK} ({name} {version})"));
                    }
                }
            } else {
                for package in self.owners(file) {
                    let reason = format!("{file} ({})", self.name(package));
                    reasons.entry(package).or_default().push(reason);
                }
            }
        }
        let mut images = Vec::new();
        for (image, package) in self.images() {
            let compiled: BTreeSet<usize> = self.compiled_into(package);
            let its = reasons.iter().filter(|(package, _)| compiled.contains(package));
            let mut because: Vec<String> =
                of_all.iter().chain(its.flat_map(|(_, files)| files)).cloned().collect();
            if !because.is_empty() {
                because.truncate(REASONS);
                images.push(Image { image: image.to_owned(), because });
            }
        }
        Affected { files: change.files.len(), images }
    }
}
