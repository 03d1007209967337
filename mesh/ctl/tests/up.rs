//! `up`, `status`, `down`: the real program on this machine, with real kills.

use mesh_local::{Identity, Signal};
use serde_json::Value;

use crate::shop::Shop;

#[test]
fn the_shop_comes_up_survives_kills_and_goes_down() {
    let shop = Shop::clean("kills");

    let up = shop.succeeds(&["up", "--detach", "--replicas", "catalog=2"]);
    let said = String::from_utf8_lossy(&up.stdout).into_owned();
    // As root, PostgreSQL's data is elsewhere, and that is said.
    if let Ok(elsewhere) = std::fs::read_link(shop.home.path("postgres")) {
        assert!(said.contains(&elsewhere.display().to_string()), "{said}");
    }
    let doctor = shop.succeeds(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("ready, and the shop is up"));
    let first = shop.state();
    assert_eq!(first["services"].as_object().unwrap().len(), 9);
    assert_eq!(first["services"]["catalog"].as_array().unwrap().len(), 2);

    // A second `up` changes nothing.
    let again = shop.succeeds(&["up", "--detach"]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("up already") && !said.contains("older programs"), "{said}");
    assert_eq!(shop.state(), first);

    each_process_tells_its_policy(&shop);

    // Each caller tells how it sees those that it calls.
    let endpoints = shop.succeeds(&["endpoints", "catalog", "--json"]);
    let endpoints: Value = serde_json::from_slice(&endpoints.stdout).unwrap();
    for (n, caller) in ["gateway 0", "orders 0"].into_iter().enumerate() {
        assert_eq!(endpoints[n]["caller"], caller, "{endpoints}");
        let seen = endpoints[n]["endpoints"].as_array().unwrap();
        assert!(seen.len() == 2 && seen.iter().all(is_found), "{endpoints}");
    }
    let said = shop.succeeds(&["endpoints", "payments"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("READY") && said.contains("CLOSED"), "{said}");
    assert_eq!(shop.run(&["endpoints", "paymets"]).status.code(), Some(1));

    whoever_is_seeded_can_sign_in(&shop);

    // Nobody spreads calls here.
    let canary = shop.run(&["canary", "orders", "--binary", "/bin/sh"]);
    let said = String::from_utf8_lossy(&canary.stderr).into_owned();
    assert!(canary.status.code() == Some(1) && said.contains("not behind sidecars"), "{said}");

    // A killed process comes back at the same place, and the state says so.
    for process in ["/services/orders/0/pid", "/postgres/pid", "/nats/pid"] {
        let pid = pid(first.pointer(process).unwrap());
        assert!(pid.signal(Signal::KILL));
        shop.eventually(&format!("{process} to change"), || {
            let now = Identity::of(shop.state().pointer(process)?.as_u64()?.try_into().ok()?)?;
            (now != pid).then_some(())
        });
    }
    shop.eventually("everything to be healthy", || {
        shop.run(&["status"]).status.success().then_some(())
    });
    let second = shop.state();
    assert_eq!(second["services"]["orders"][0]["grpc"], first["services"]["orders"][0]["grpc"]);

    // After a killed supervisor the next `up` ends what it left, and begins anew.
    let orphan = pid(&second["services"]["payments"][0]["pid"]);
    assert!(shop.supervisor().signal(Signal::KILL));
    shop.eventually("the killed supervisor to be gone", || (!shop.supervisor_runs()).then_some(()));
    shop.succeeds(&["up", "--detach", "--in-process", "catalog,inventory,payments"]);
    assert!(!orphan.alive());
    let third = shop.state();
    assert_eq!(third["services"]["catalog"][0]["pid"], third["services"]["payments"][0]["pid"]);
    assert_ne!(third["services"]["catalog"][0]["pid"], third["services"]["orders"][0]["pid"]);

    let processes = processes(&third);
    shop.succeeds(&["down"]);
    assert!(processes.iter().all(|process| !process.alive()));
    assert!(!shop.run(&["status"]).status.success());
    let nothing = shop.succeeds(&["down", "--wipe"]);
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing was up"));
    assert!(!String::from_utf8_lossy(&nothing.stderr).contains("draining"));
}

#[test]
fn everything_is_found_again_where_it_was() {
    let shop = Shop::clean("found-again");
    let addresses = || {
        shop.succeeds(&["up", "--detach", "--in-process"]);
        let state = shop.state();
        let of_service = |it: &Value| (it[0]["grpc"].clone(), it[0]["admin"].clone());
        let services = state["services"].as_object().unwrap().values().map(of_service);
        let all = (services.collect::<Vec<_>>(), state["nats"]["url"].clone());
        shop.succeeds(&["down"]);
        all
    };

    assert_eq!(addresses(), addresses());
}

#[test]
fn a_killed_supervisor_is_told_of_and_replaced_by_whoever_comes_first() {
    let shop = Shop::clean("orphaned");
    shop.succeeds(&["up", "--detach", "--in-process"]);
    let key = || std::fs::read_to_string(shop.home.path("identity/meshctl.key")).unwrap();
    let (before, killed) = (key(), shop.supervisor());
    assert!(killed.signal(Signal::KILL));
    shop.eventually("the killed supervisor to be gone", || (!shop.supervisor_runs()).then_some(()));

    let orphaned = shop.run(&["status"]);
    let said = String::from_utf8_lossy(&orphaned.stdout).into_owned();
    assert_eq!(orphaned.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody looks after it"), "{said}");

    let both = std::thread::scope(|scope| {
        [(); 2]
            .map(|()| scope.spawn(|| shop.run(&["up", "--detach", "--in-process"])))
            .map(|up| up.join().unwrap())
    });
    for up in &both {
        assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    }
    assert_ne!(shop.supervisor(), killed);
    // Who waited for the shop to be there again is still known to it.
    assert_eq!(key(), before);
    shop.eventually("everything to be healthy", || {
        shop.run(&["status"]).status.success().then_some(())
    });
}

#[test]
fn a_mistaken_request_is_refused_with_the_way_out() {
    let shop = Shop::clean("mistakes");

    for (arguments, way_out) in [
        (&["up", "--replicas", "nobody=2"][..], "say one of"),
        (&["up", "--in-process", "nobody"], "say one of"),
        (&["up", "--replace", "nobody=true"], "say one of"),
        (&["up", "--replace", "processor=nobody --port 1"], "on PATH"),
        (&["up", "--replace", "processor=./nobody"], "No such file"),
        (&["logs", "nobody"], "up --detach"),
    ] {
        let refused = shop.run(arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();

        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert!(said.contains("nobody") && said.contains(way_out), "{said}");
        assert!(refused.stdout.is_empty());
    }
    let down = shop.run(&["status", "--json"]);
    assert_eq!(down.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&down.stdout).trim(), r#"{"up":false}"#);
}

#[test]
fn a_program_that_is_never_ready_is_told_of_with_what_is_known_of_it() {
    let shop = Shop::clean("never-ready");
    for (command, what) in [
        ("sleep 600", "is not ready after 10 s; "),
        (
            "sh -c 'echo no contract at hand; exit 3'",
            "is not ready after 10 s: it ends by itself; ",
        ),
    ] {
        let replace = format!("processor={command}");
        let up = shop.run(&["up", "--detach", "--wait", "10s", "--replace", &replace]);

        let said = String::from_utf8_lossy(&up.stderr).into_owned();
        assert_eq!(up.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("processor {what}")), "{said}");
        assert!(said.contains("processor.0.log") && said.contains("down` ends it"), "{said}");
        assert_eq!(said.contains("no contract at hand"), command.starts_with("sh"), "{said}");
        shop.succeeds(&["down"]);
    }
}

/// Its next call closes the breaker of one that was called before it listened.
fn is_found(endpoint: &Value) -> bool {
    endpoint["state"] == "READY" || endpoint["state"] == "GATED"
}

fn pid(value: &Value) -> Identity {
    Identity::of(value.as_u64().unwrap().try_into().unwrap()).unwrap()
}

/// Everything that `up` has started.
pub fn processes(state: &Value) -> Vec<Identity> {
    let services = state["services"].as_object().unwrap().values();
    let instances = services.flat_map(|replicas| replicas.as_array().unwrap());
    let servers = [&state["postgres"], &state["nats"]];
    instances.chain(servers).map(|process| pid(&process["pid"])).collect()
}

fn whoever_is_seeded_can_sign_in(shop: &Shop) {
    let token = shop.succeeds(&["token", "--user", "ada@shop.example"]).stdout;
    assert_eq!(String::from_utf8_lossy(&token).trim().split('.').count(), 3, "a JWT");
    let signed = shop.succeeds(&["token", "--user", "admin@shop.example", "--json"]).stdout;
    let signed: Value = serde_json::from_slice(&signed).unwrap();
    assert!(signed["access_token"].is_string() && signed["refresh_token"].is_string());
    let stranger = shop.run(&["token", "--user", "nobody@shop.example", "--password", "x"]);
    assert_eq!(stranger.status.code(), Some(1));
}

/// And who says it.
fn each_process_tells_its_policy(shop: &Shop) {
    let policy = shop.succeeds(&["policy", "GetProduct", "--json"]);
    let policy: Value = serde_json::from_slice(&policy.stdout).unwrap();
    assert_eq!(policy["from"], "running");
    assert_eq!(policy["files"].as_object().unwrap().len(), 10, "{policy}");
    assert_eq!(policy["values"]["deadline"]["source"], "contract");
    assert_eq!(policy["values"]["retry.attempts"]["source"], "default");
}
