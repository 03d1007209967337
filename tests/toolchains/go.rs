//! Programs of this checkout that Go builds.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use mesh_testkit::{skipped, workspace};

/// Where an installation puts it, if it is not on PATH.
const USUAL: &str = "/usr/local/go/bin/go";

/// Nobody overwrites a program that another test has just begun to run.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds the program `name` from a package of the module in `folder`; none if this machine cannot, which
/// is said.
pub fn program(name: &str, folder: &str, package: &str) -> Option<PathBuf> {
    let _alone = BUILDING.lock().unwrap();
    let Some(go) = go() else {
        skipped("Go", "https://go.dev/dl has releases; put `go` on PATH");
        return None;
    };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(go);
        command.args(arguments).current_dir(workspace().join(folder)).output().unwrap()
    };
    let download = run(&["mod", "download"]);
    if !download.status.success() {
        let said = String::from_utf8_lossy(&download.stderr).into_owned();
        skipped(&format!("what {name} is made of"), &format!("`go mod download` says\n{said}"));
        return None;
    }
    let programs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("go");
    fs::create_dir_all(&programs).unwrap();
    let program = programs.join(name);
    if let Err(error) = fs::remove_file(&program) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    }
    let output = run(&["build", "-buildvcs=false", "-o", program.to_str().unwrap(), package]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} does not build\n{said}");
    Some(program)
}

fn go() -> Option<&'static str> {
    let runs = |go: &&str| {
        Command::new(go).arg("version").output().is_ok_and(|output| output.status.success())
    };
    ["go", USUAL].into_iter().find(runs)
}
