//! `bench rpc`: the real program for a moment, and what it measures with.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use meshctl::bench::rpc::{self, Options};
use serde_json::Value;

#[test]
fn the_same_echo_is_measured_with_tonic_alone_and_with_the_stack() {
    let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(["bench", "rpc", "--callers", "1,8", "--seconds", "1", "--json"])
        .output()
        .unwrap();

    // Its figures on a busy machine mean nothing; that there are any does.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.contains("dev build"), cfg!(debug_assertions), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    assert_eq!(keys(&report), ["layers", "rows", "telemetry"]);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["callers"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 8]);
    for row in rows {
        assert_eq!(keys(row), ["bare", "callers", "p99", "stack", "throughput"]);
        for side in [&row["bare"], &row["stack"]] {
            assert_eq!(keys(side), ["allocations", "p50_us", "p99_us", "rps"]);
            let figure = |name: &str| side[name].as_f64().unwrap();
            assert!(figure("rps") > 0.0 && figure("p50_us") > 0.0, "{row}");
            assert!(figure("p99_us") >= figure("p50_us"), "{row}");
            assert!(figure("allocations") > 1.0, "the program counts them: {row}");
        }
        assert!(row["throughput"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["p99"].as_f64().unwrap() > 0.0, "{row}");
    }
    let layers = report["layers"].as_array().unwrap();
    let names: BTreeSet<_> = layers.iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert!(names.len() == layers.len() && names.contains("server shed"), "{names:?}");
    for layer in layers {
        assert_eq!(keys(layer), ["layer", "ns"]);
        assert!(layer["ns"].as_f64().unwrap() >= 0.0, "{layer}");
    }
    let telemetry = &report["telemetry"];
    assert_eq!(keys(telemetry), ["callers", "off", "on", "throughput"]);
    let figure = |side: &str| telemetry[side]["rps"].as_f64().unwrap();
    assert!(figure("off") > 0.0 && figure("on") > 0.0, "{telemetry}");
    assert!(telemetry["throughput"].as_f64().unwrap() > 0.0, "{telemetry}");
}

#[test]
fn both_sides_are_called_in_every_round_and_answer() {
    let options = Options { callers: vec![3], time: Duration::from_millis(700) };
    let mut steps = Vec::new();

    let report = rpc::run(&options, |step| steps.push(step)).unwrap();

    let [row] = &report.rows[..] else { panic!("one row: {report:?}") };
    // Seven rounds of three callers, each of whom calls at least once.
    assert!(row.bare.calls >= 21 && row.stack.calls >= 21, "{row:?}");
    assert!(row.throughput.low <= row.throughput.median, "{row:?}");
    assert!(row.throughput.median <= row.throughput.high, "{row:?}");
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert_eq!(report.targets(), None, "nobody asked for 64 callers");
}

#[test]
fn its_help_says_how_to_run_it_so_that_figures_mean_something() {
    let help = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_meshctl");
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    assert!(help(&["bench", "--help"]).contains("\n  rpc "), "it is listed");
    let own = help(&["bench", "rpc", "--help"]);
    for said in ["--release", "--callers", "[default: 1,64,256]", "--seconds", "Exit codes: 0"] {
        assert!(own.contains(said), "{said} is not in\n{own}");
    }
}

/// The names of an object's members, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
