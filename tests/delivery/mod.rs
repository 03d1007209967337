//! How a change comes to a cluster: the workflow, the walk of a candidate by commits, and what an overlay
//! then says.

mod overlay;
mod page;
mod walk;
mod workflow;

use std::fs;
use std::path::{Path, PathBuf};

use mesh_testkit::workspace;
use uuid::Uuid;

/// Two images that cannot become others.
pub const OLD: &str = "ghcr.io/shop/orders@sha256:\
    0000000011111111222222223333333344444444555555556666666677777777";
pub const NEW: &str = "ghcr.io/shop/orders@sha256:\
    88888888999999990000000011111111222222223333333344444444555555aa";

/// A part of the checkout in a folder of its own, which goes away with the test.
pub struct Copied(pub PathBuf);

impl Copied {
    /// These files and folders.
    pub fn of(names: &[&str]) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("delivery-{}", Uuid::now_v7()));
        for name in names {
            copy(&workspace().join(name), &folder.join(name));
        }
        Self(folder)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
