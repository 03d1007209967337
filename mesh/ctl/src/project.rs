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

/// The build directory that a file lies in, if any. Cargo tags only one that it made itself, not one
/// that somebody mounted or made before; what it knows of the compiler it writes into both.
pub fn target_around(file: &Path) -> Option<PathBuf> {
    const MARKS: [&str; 2] = ["CACHEDIR.TAG", ".rustc_info.json"];
    let is_target = |folder: &&Path| MARKS.iter().any(|mark| folder.join(mark).is_file());
    file.ancestors().find(is_target).map(Path::to_owned)
}

fn checkout(start: &Path) -> Option<PathBuf> {
    let is_root =
        |folder: &&Path| folder.join("Cargo.lock").is_file() && folder.join("services").is_dir();
    start.ancestors().find(is_root).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_directory_is_known_though_cargo_did_not_make_it() {
        let folder = env::temp_dir().join(format!("target-{}", std::process::id()));
        let program = folder.join("debug").join("meshctl");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        assert_eq!(target_around(&program), None);

        for mark in ["CACHEDIR.TAG", ".rustc_info.json"] {
            std::fs::write(folder.join(mark), "").unwrap();
            assert_eq!(target_around(&program), Some(folder.clone()), "{mark}");
            std::fs::remove_file(folder.join(mark)).unwrap();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
