//! Files that are made from what the services declare: `gen` writes them, and a test says when they
//! are out of date.
//!
//! Each kind of output is a module that makes the pages of one folder, or one page among others, and
//! a line in `OUTPUTS`. Nobody else writes into such a folder: what is not made any more is removed.

mod applied;
pub mod broker;
pub mod clients;
pub mod cluster;
pub mod compose;
pub mod istio;
pub mod k8s;
pub mod observe;
mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, Result};
use mesh_local::Declaration;

pub use applied::refuse_unfit;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it belongs, from the root of the checkout.
    pub path: String,
    /// What it holds.
    pub text: String,
}

struct Output {
    /// The folder that holds these pages and nothing else; none of a page among others.
    folder: Option<&'static str>,
    make: fn(&[Declaration]) -> Result<Vec<Page>>,
}

const OUTPUTS: [Output; 8] = [
    Output { folder: Some(observe::FOLDER), make: observe::pages },
    Output { folder: Some(broker::FOLDER), make: broker::pages },
    Output { folder: Some(clients::FOLDER), make: clients::service_configs },
    Output { folder: Some(istio::FOLDER), make: istio::pages },
    Output { folder: Some(k8s::FOLDER), make: k8s::pages },
    Output { folder: None, make: clients::fidelity },
    Output { folder: Some(compose::FOLDER), make: compose::pages },
    Output { folder: None, make: compose::file },
];

/// How a file of the checkout differs from what would be made now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// It is not there.
    Missing(String),
    /// It says something else, from this line on.
    Differs(String, usize),
    /// Nothing makes it.
    Stray(String),
}

impl Drift {
    /// The file.
    pub fn path(&self) -> &str {
        match self {
            Drift::Missing(path) | Drift::Differs(path, _) | Drift::Stray(path) => path,
        }
    }
}

/// Every page, the same for the same declarations.
pub fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for output in &OUTPUTS {
        pages.extend((output.make)(declarations)?);
    }
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pages)
}

/// How the checkout at `root` differs from `pages`.
pub fn drift(root: &Path, pages: &[Page]) -> Result<Vec<Drift>> {
    drift_in(root, pages, &folders())
}

fn folders() -> Vec<&'static str> {
    OUTPUTS.iter().filter_map(|output| output.folder).collect()
}

/// The same, where nothing but these pages is to be in these folders.
pub(crate) fn drift_in(root: &Path, pages: &[Page], folders: &[&str]) -> Result<Vec<Drift>> {
    let mut drift = BTreeSet::new();
    for page in pages {
        match fs::read_to_string(root.join(&page.path)) {
            Ok(known) if known == page.text => {}
            Ok(known) => {
                let equal = known.lines().zip(page.text.lines()).take_while(|(a, b)| a == b);
                drift.insert(Drift::Differs(page.path.clone(), equal.count() + 1));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                drift.insert(Drift::Missing(page.path.clone()));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", page.path)),
        }
    }
    for folder in folders {
        for path in files(root, folder)? {
            if !pages.iter().any(|page| page.path == path) {
                drift.insert(Drift::Stray(path));
            }
        }
    }
    Ok(drift.into_iter().collect())
}

/// Makes the checkout at `root` what `pages` are; returns what was not so.
pub fn write(root: &Path, pages: &[Page]) -> Result<Vec<Drift>> {
    write_into(root, pages, &folders())
}

/// The same, where nothing but these pages is to be in these folders.
pub(crate) fn write_into(root: &Path, pages: &[Page], folders: &[&str]) -> Result<Vec<Drift>> {
    let drift = drift_in(root, pages, folders)?;
    for drifted in &drift {
        let path = root.join(drifted.path());
        let put = || match pages.iter().find(|page| page.path == drifted.path()) {
            Some(page) => {
                fs::create_dir_all(path.parent().unwrap_or(root))?;
                fs::write(&path, &page.text)
            }
            None => fs::remove_file(&path),
        };
        put().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(drift)
}

/// Every file below a folder, from the root; none if there is no such folder.
fn files(root: &Path, folder: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        for entry in entries.with_context(|| format!("cannot read {folder}"))? {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::{Drift, Page, drift, fs, observe, write};

    #[test]
    fn what_is_missing_changed_or_left_over_is_named_and_put_right() {
        let root = env::temp_dir().join(format!("generate-{}", uuid::Uuid::new_v4().simple()));
        let page = |name: &str| Page {
            path: format!("{}/{name}", observe::FOLDER),
            text: "one\ntwo\n".to_owned(),
        };
        let pages = [page("rules/a.yaml"), page("rules/b.yaml")];
        assert_eq!(write(&root, &pages).unwrap().len(), 2);
        assert_eq!(drift(&root, &pages).unwrap(), []);

        let file = |name: &str| root.join(observe::FOLDER).join(name);
        fs::write(file("rules/a.yaml"), "one\nthree\n").unwrap();
        fs::remove_file(file("rules/b.yaml")).unwrap();
        fs::write(file("old.yaml"), "").unwrap();

        let path = |name: &str| format!("{}/{name}", observe::FOLDER);
        let expected = [
            Drift::Missing(path("rules/b.yaml")),
            Drift::Differs(path("rules/a.yaml"), 2),
            Drift::Stray(path("old.yaml")),
        ];
        assert_eq!(drift(&root, &pages).unwrap(), expected);
        assert_eq!(write(&root, &pages).unwrap(), expected);
        assert_eq!(drift(&root, &pages).unwrap(), []);
        fs::remove_dir_all(&root).unwrap();
    }
}
