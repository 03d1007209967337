//! Python with packages of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use mesh_testkit::{skipped, workspace};

/// Nobody begins to use an environment that another test still fills.
static FILLING: Mutex<()> = Mutex::new(());

/// A Python of this name that has the packages which `requirements`, a file of the checkout, pins; none if
/// this machine cannot have it, which is said.
pub fn with(name: &str, requirements: &str) -> Option<PathBuf> {
    let _alone = FILLING.lock().unwrap();
    let wanted = fs::read_to_string(workspace().join(requirements)).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python").join(name);
    let python = folder.join("bin/python");
    let filled = folder.join("filled");
    if fs::read_to_string(&filled).is_ok_and(|known| known == wanted) {
        return Some(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    if let Err(said) = run(make) {
        skipped("Python with venv", &format!("Debian, Ubuntu: `apt install python3-venv`\n{said}"));
        return None;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-deps", "--only-binary", ":all:", "--requirement", requirements]);
    if let Err(said) = run(install) {
        skipped(&format!("what {requirements} pins"), &format!("`pip install` says\n{said}"));
        return None;
    }
    fs::write(&filled, wanted).unwrap();
    Some(python)
}

fn run(mut command: Command) -> Result<(), String> {
    let output = command.current_dir(workspace()).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
