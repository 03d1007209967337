//! `up --observe`: a Prometheus beside the shop, or word of what is missing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use mesh_local::{Identity, Prometheus, Signal};
use mesh_testkit::skipped;
use serde_json::Value;

use crate::shop::Shop;

#[test]
fn a_shop_is_observed_until_it_goes_down() {
    if let Err(missing) = Prometheus::find() {
        return skipped("Prometheus", &missing.to_string());
    }
    let shop = Shop::clean("observed");

    let up = shop.succeeds(&["up", "--detach", "--observe"]);

    let state = shop.state();
    let url = state["prometheus"]["url"].as_str().unwrap();
    let said = String::from_utf8(up.stdout).unwrap();
    assert!(said.lines().any(|line| line.contains("prometheus") && line.contains(url)), "{said}");
    let kept = |line: &str| line.contains("traces") && line.contains("trace ORDER_ID");
    assert!(said.lines().any(kept), "it says that traces are kept: {said}");
    let address = url.strip_prefix("http://").unwrap();
    let services = state["services"].as_object().unwrap();
    let processes: usize = services.values().map(|it| it.as_array().unwrap().len()).sum();
    shop.eventually("every process to be scraped", || {
        let answer = get(address, "/api/v1/query?query=sum(up)");
        let value = answer.pointer("/data/result/0/value/1")?.as_str()? == processes.to_string();
        value.then_some(())
    });
    let jobs = get(address, "/api/v1/label/job/values");
    let jobs: Vec<_> = jobs["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(services.keys().all(|service| jobs.contains(&&**service)), "{jobs:?}");
    let rules = get(address, "/api/v1/rules");
    let groups = rules["data"]["groups"].as_array().unwrap();
    let names: Vec<_> = groups.iter().filter_map(|it| it["name"].as_str()).collect();
    assert!(names.contains(&"orders-checkout") && names.contains(&"platform"), "{names:?}");
    let again = shop.succeeds(&["up", "--detach", "--observe"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains(url), "a second `up` says where it is");

    // A killed one comes back at the same place, and the state says so.
    let process =
        |state: &Value| Identity::of(state["prometheus"]["pid"].as_u64()?.try_into().ok()?);
    let first = process(&state).unwrap();
    assert!(first.signal(Signal::KILL));
    let second = shop.eventually("Prometheus to be started again", || {
        let state = shop.state();
        assert_eq!(state["prometheus"]["url"], url);
        let now = process(&state)?;
        (now != first).then_some(now)
    });

    shop.succeeds(&["down", "--wipe"]);
    assert!(!second.alive());
    assert!(!shop.home.path("prometheus").exists());
}

#[test]
fn without_prometheus_the_shop_comes_up_and_what_is_missing_is_said() {
    let shop = Shop::clean("unobserved");
    let arguments = ["up", "--detach", "--observe", "--in-process"];

    let up = shop.run_in(&[("MESH_PROMETHEUS", "/nowhere/prometheus")], &arguments);

    let said = String::from_utf8_lossy(&up.stderr).into_owned();
    assert!(up.status.success(), "{said}");
    assert!(
        said.contains("MESH_PROMETHEUS=/nowhere/prometheus: no Prometheus runs from there"),
        "{said}"
    );
    assert_eq!(shop.state()["prometheus"], Value::Null);
    // Whoever asks again is not told that it is there.
    let again = shop.run(&["up", "--detach", "--observe"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("up without Prometheus"), "{said}");
    shop.succeeds(&["down"]);
}

fn get(address: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
