//! `bench gateway`: the real program for a moment, with a gateway of its own.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_same_product_is_asked_for_in_every_way_and_streams_are_held() {
    let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args([
            "bench",
            "gateway",
            "--callers",
            "1,4",
            "--seconds",
            "1",
            "--streams",
            "300",
            "--json",
        ])
        .output()
        .unwrap();

    // Its figures on a busy machine mean nothing; that there are any does.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.contains("dev build"), cfg!(debug_assertions), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["callers"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4]);
    let has_peer = !said.contains("without Envoy");
    for row in rows {
        assert_eq!(row["envoy"].is_object(), has_peer, "{row}");
        let peer = has_peer.then_some("envoy");
        for way in ["direct", "grpc", "json"].into_iter().chain(peer) {
            let figure = |name: &str| row[way][name].as_f64().unwrap();
            assert!(figure("rps") > 0.0 && figure("p50_us") > 0.0, "{row}");
            assert!(figure("p99_us") >= figure("p50_us"), "{row}");
        }
        let of_envoy = has_peer.then_some("json_of_envoy");
        for ratio in ["grpc_throughput", "json_throughput"].into_iter().chain(of_envoy) {
            assert!(row[ratio].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    let streams = &report["streams"];
    assert_eq!(streams["open"], 300, "{streams}");
    let held = |name: &str| streams[name].as_f64().unwrap();
    assert!(held("idle_mib") > 1.0 && held("rss_mib") >= held("idle_mib"), "{streams}");
}

#[test]
fn its_help_says_how_to_run_it_so_that_figures_mean_something() {
    let help = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_meshctl");
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    assert!(help(&["bench", "--help"]).contains("\n  gateway "), "it is listed");
    let own = help(&["bench", "gateway", "--help"]);
    for said in ["--release", "--callers", "[default: 1,64]", "--streams", "Exit codes: 0"] {
        assert!(own.contains(said), "{said} is not in\n{own}");
    }
}
