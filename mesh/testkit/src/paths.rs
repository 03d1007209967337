//! Where the checkout and its build directory are.

use std::env;
use std::path::{Path, PathBuf};

use mesh_local::Home;

/// The root of the workspace whose tests run.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = package.or_else(|| env::current_dir().ok()).unwrap_or_default();
    let root = start.ancestors().filter(|folder| folder.join("Cargo.lock").is_file()).last();
    root.unwrap_or_else(|| panic!("no Cargo.lock above {}", start.display())).to_owned()
}

/// The directory of this build's profile, such as `target/debug`.
pub(crate) fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    let deps = test.parent().expect("an executable lies in a directory");
    let named_deps = deps.file_name().is_some_and(|name| name == "deps" || name == "examples");
    if named_deps { deps.parent().unwrap_or(deps) } else { deps }.to_owned()
}

/// The home of everything that tests share.
pub(crate) fn home() -> Home {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| {
        profile_dir().parent().map(Path::to_owned).unwrap_or_else(|| workspace().join("target"))
    });
    let target = if target.is_absolute() { target } else { workspace().join(target) };
    let project = Home::of_project(&workspace()).expect("the project's directory is writable");
    Home::at(&target.join("mesh-test"))
        .expect("the target directory is writable")
        .sharing_wheels(&project)
}
