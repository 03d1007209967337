//! `doctor` on a machine that has things, and on one that lacks them.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::shop::Shop;

#[test]
fn a_machine_that_lacks_things_is_told_what_and_what_to_do() {
    let shop = Shop::bare("doctor-lacking");
    let nothing = shop.home.path("nothing");
    std::fs::create_dir_all(&nothing).unwrap();

    let output = shop.run_with_path(&nothing, &["doctor", "--json"]);

    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts = verdicts(&output);
    for name in ["rust", "c compiler", "python", "postgresql", "nats-server"] {
        let (verdict, advice) = &verdicts[name];
        assert_eq!(verdict, "missing", "{name}");
        assert!(advice.contains("install"), "{name}: {advice}");
    }
    assert_eq!(verdicts["ports"].0, "ok");

    // The same for people: every missing thing is on a line, and so is the way out.
    let output = shop.run_with_path(&nothing, &["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("rustup.rs") && said.contains("things are missing"), "{said}");
    assert!(!shop.home.path("venv").exists(), "doctor installs nothing");
}

#[test]
fn a_machine_that_has_all_is_ready_and_what_an_earlier_run_left_is_named() {
    let shop = Shop::clean("doctor-ready");

    let output = shop.run(&["doctor", "--json"]);

    let all = verdicts(&output);
    let missing: Vec<_> = all.iter().filter(|(_, (verdict, _))| verdict == "missing").collect();
    assert!(output.status.success() && missing.is_empty(), "{missing:?}");
    assert_eq!(all["earlier run"].0, "ok");

    // A process that nobody looks after any more, as a killed supervisor leaves it.
    let mut orphan = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let process = mesh_local::Identity::of(orphan.id()).unwrap();
    let pid_file = mesh_local::PidFile { process, keeper: None, interrupt: false };
    pid_file.write(&shop.home.run().unwrap().join("orphan.0.pid")).unwrap();
    let output = shop.run(&["doctor", "--json"]);

    let (verdict, advice) = &verdicts(&output)["earlier run"];
    assert!(output.status.success(), "the next `up` ends it");
    assert_eq!(verdict, "note");
    assert!(advice.contains("down"), "{advice}");
    assert!(process.alive(), "doctor changes nothing");
    process.signal(mesh_local::Signal::KILL);
    orphan.wait().unwrap();
}

/// Verdict and advice by name.
fn verdicts(output: &Output) -> BTreeMap<String, (String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ready"], output.status.success());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|it| (text(&it["name"]), (text(&it["verdict"]), text(&it["advice"])))).collect()
}
