//! `bench growth`: the real program with a short history.

use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_local::Home;
use serde_json::Value;

#[test]
fn a_shop_with_a_history_is_compared_with_one_without() {
    let project = Home::of_project(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    let home = Home::at(&PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("growth")).unwrap();
    // Servers that were installed for the project need not be installed again.
    let shared = home.path("venv");
    if project.wheels().is_dir() && !shared.exists() {
        std::os::unix::fs::symlink(project.wheels(), shared).unwrap();
    }

    let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(["bench", "growth", "--orders", "2000", "--rounds", "1", "--seconds", "1"])
        .args(["--in-flight", "8", "--json"])
        .env("MESH_HOME", home.root())
        .env("CI", "1")
        .output()
        .unwrap();

    // Its verdicts on a busy machine mean nothing; that it comes to them does.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    assert_eq!(report["filled"]["orders"], 2000);
    assert_eq!(report["filled"]["rows"]["orders.streams"], 2000);
    assert_eq!(report["audit_clean"], true, "{said}");
    let lines = report["lines"].as_array().unwrap();
    for what in ["orders/s to CONFIRMED", "GetOrder p99, ms", "log reader, rows/s"] {
        let line = lines.iter().find(|line| line["what"] == what).expect(what);
        assert!(line["empty"][0].as_f64().unwrap() > 0.0, "{line}");
        assert!(line["grown"][0].as_f64().unwrap() > 0.0, "{line}");
    }
    assert!(!home.path("growth/grown/state.json").exists(), "what was started has ended");
}
