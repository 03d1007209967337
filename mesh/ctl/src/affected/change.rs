//! What was changed, as git knows it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::git::run;

/// Files that differ, and what of them says which crates are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From the root of the checkout.
    pub files: Vec<String>,
    /// `Cargo.lock` as it was; empty if there was none.
    pub lock_before: String,
    /// `Cargo.lock` as it is.
    pub lock_now: String,
}

/// How the checkout at `root` differs from a commit, or from a tree such as the empty one; what is not
/// committed counts.
///
/// # Errors
/// There is no git, no repository, or no such commit.
pub fn since(root: &Path, revision: &str) -> Result<Change> {
    let named = format!("{revision}^{{tree}}");
    let tree = run(root, &["rev-parse", "--quiet", "--verify", "--end-of-options", &named])
        .with_context(|| {
            format!("there is no commit `{revision}` here: is the history fetched?")
        })?;
    let tree = tree.trim();
    let changed = run(root, &["diff", "--name-only", "--no-renames", "-z", tree, "--"])?;
    let new = run(root, &["ls-files", "--others", "--exclude-standard", "-z"])?;
    let names = changed.split('\0').chain(new.split('\0')).filter(|name| !name.is_empty());
    let mut files: Vec<String> = names.map(str::to_owned).collect();
    files.sort();
    files.dedup();
    let lock_before = run(root, &["show", &format!("{tree}:{}", super::LOCK)]).unwrap_or_default();
    let lock_now = fs::read_to_string(root.join(super::LOCK)).context(super::LOCK)?;
    Ok(Change { files, lock_before, lock_now })
}
