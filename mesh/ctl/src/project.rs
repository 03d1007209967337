//! Where the project, its home and its build directory are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mesh_local::Home;

/// The checkout (or the folder) that the shop runs in.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its root.
    pub root: PathBuf,
    /// Where data, logs and state lie.
    pub home: Home,
}

impl Project {
    /// The checkout around the current folder; for an installed program the current folder.
    pub fn find() -> Result<Project> {
        let here = env::current_dir().context("the current folder cannot be read")?;
        let built_from = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let root = checkout(&here).or_else(|| checkout(&built_from?)).unwrap_or(here);
        Ok(Project { home: Home::of_project(&root)?, root })
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        let of_exe = env::current_exe().ok().and_then(|exe| target_around(&exe));
        let asked = env::var_os("CARGO_TARGET_DIR").map(|target| self.root.join(target));
        of_exe.or(asked).unwrap_or_else(|| self.root.join("target"))
    }
}

/// The build directory that a file lies in, if any.
pub fn target_around(file: &Path) -> Option<PathBuf> {
    let found = file.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    found.map(Path::to_owned)
}

fn checkout(start: &Path) -> Option<PathBuf> {
    let is_root =
        |folder: &&Path| folder.join("Cargo.lock").is_file() && folder.join("services").is_dir();
    start.ancestors().find(is_root).map(Path::to_owned)
}
