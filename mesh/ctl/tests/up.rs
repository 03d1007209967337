//! `up`, `status`, `down`: the real program on this machine, with real kills.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mesh_local::{Home, Identity, Signal};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_shop_comes_up_survives_kills_and_goes_down() {
    let shop = Shop::clean("kills");

    shop.succeeds(&["up", "--detach", "--replicas", "catalog=2"]);
    let first = shop.state();
    assert_eq!(first["services"].as_object().unwrap().len(), 6);
    assert_eq!(first["services"]["catalog"].as_array().unwrap().len(), 2);

    // A second `up` changes nothing.
    let again = shop.succeeds(&["up", "--detach"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("up already"));
    assert_eq!(shop.state(), first);

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
}

#[test]
fn a_mistaken_request_is_refused_with_the_way_out() {
    let shop = Shop::clean("mistakes");

    for (arguments, way_out) in [
        (&["up", "--replicas", "nobody=2"][..], "say one of"),
        (&["up", "--in-process", "nobody"], "say one of"),
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

/// A shop with a home of its own; taken down with the value.
struct Shop {
    home: Home,
}

impl Shop {
    fn clean(name: &str) -> Shop {
        let project =
            Home::of_project(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("up-{name}"));
        let shop = Shop { home: Home::at(&root).unwrap() };
        shop.run(&["down", "--wipe"]);
        // Servers that were installed for the project need not be installed again.
        let shared = shop.home.path("venv");
        if project.wheels().is_dir() && !shared.exists() {
            std::os::unix::fs::symlink(project.wheels(), shared).unwrap();
        }
        shop
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meshctl"))
            .args(arguments)
            .env("MESH_HOME", self.home.root())
            .env("CI", "1")
            .output()
            .unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.home.path("state.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn supervisor(&self) -> Identity {
        let text = std::fs::read_to_string(self.home.path("supervisor.pid")).unwrap();
        Identity::of(text.trim().parse().unwrap()).unwrap()
    }

    fn supervisor_runs(&self) -> bool {
        let text = std::fs::read_to_string(self.home.path("supervisor.pid")).unwrap();
        Identity::of(text.trim().parse().unwrap()).is_some()
    }

    fn eventually<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.run(&["down", "--wipe"]);
    }
}

fn pid(value: &Value) -> Identity {
    Identity::of(value.as_u64().unwrap().try_into().unwrap()).unwrap()
}

fn processes(state: &Value) -> Vec<Identity> {
    let services = state["services"].as_object().unwrap().values();
    let instances = services.flat_map(|replicas| replicas.as_array().unwrap());
    let servers = [&state["postgres"], &state["nats"]];
    instances.chain(servers).map(|process| pid(&process["pid"])).collect()
}
