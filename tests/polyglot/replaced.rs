//! A service in another language takes the place of one in Rust: the card processor, in Python.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use mesh_local::{Home, Identity, Signal};
use mesh_testkit::{eventually, program, workspace};
use serde_json::Value;
use shop::processor::v1::{GetChargeRequest, processor_service_client::ProcessorServiceClient};
use sqlx::PgPool;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::{Code, transport::Channel};

use super::languages;
use crate::shop::uuid;
use crate::toolchains::python;

const SERVICE: &str = "processor";
const FOLDER: &str = "tests/polyglot/processor";
const ORDERS: u64 = 80;
/// Charges after which it is killed: in the midst of the demo.
const BEGUN: i64 = 10;
/// Longer than a slow machine takes to build, start and order.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program, and what it needs besides.
struct Processor {
    python: PathBuf,
    stubs: PathBuf,
}

/// A shop of its own, taken down with the value.
struct Shop {
    home: Home,
    meshctl: PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_in_python_takes_the_place_of_ours_and_survives_a_kill() {
    let Some(python) = Processor::make("replaced").await else { return };
    let shop = Shop::clean().await;
    let command = format!("{SERVICE}={}", python.command());
    shop.succeeds(&["up", "--detach", "--wait", "120s", "--replace", &command]).await;
    let killed = shop.process();
    let line = fs::read_to_string(format!("/proc/{}/cmdline", killed.pid)).unwrap();
    assert!(line.contains("main.py"), "{line}");
    assert_eq!(shop.refuses_strangers().await, (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));

    let orders = ORDERS.to_string();
    let demo = ["demo", "--json", "--orders", &orders];
    let (report, ()) = tokio::join!(shop.succeeds(&demo), async {
        shop.charges_reach(BEGUN).await;
        assert!(killed.signal(Signal::KILL));
    });

    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["orders"], ORDERS, "{report}");
    assert_eq!(report["unfinished"], 0, "{report}");
    assert!(report["confirmed"].as_u64() > Some(0) && report["rejected"].as_u64() > Some(0));
    assert!(shop.charges().await > BEGUN, "it went on after it was killed");
    assert_ne!(shop.process(), killed, "it was started again");
    shop.succeeds(&["audit", "--wait", "30s"]).await;

    // Ours goes on with what the other one has left: the tables are the same.
    shop.succeeds(&["down"]).await;
    let before = shop.succeeds(&["up", "--detach", "--in-process"]).await;
    let refused = shop.run(&["up", "--detach", "--replace", &command]).await;
    assert!(!refused.0 && refused.1.contains("without that --replace"), "{before}{}", refused.1);
    shop.succeeds(&["demo", "--json", "--orders", "20"]).await;
    shop.succeeds(&["audit", "--wait", "30s"]).await;
}

/// Every test of the processor in Rust, with the one in Python behind the same calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_processor_in_python_passes_the_tests_of_ours() {
    let Some(python) = Processor::make("tested").await else { return };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--quiet", "--workspace", "--test", SERVICE]);
    tests.env("PROCESSOR", python.program()).env("PYTHONPATH", &python.stubs);
    let (passed, said) = run(tests).await;
    assert!(passed, "{said}");
    let result = said.lines().find(|line| line.starts_with("test result: ok."));
    let passed = result.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    assert!(passed >= Some(15), "{said}");
}

impl Processor {
    /// Installs what it needs and makes its stubs, for the test of this name; none if this machine cannot,
    /// which is said.
    async fn make(name: &str) -> Option<Self> {
        let install = || python::with(SERVICE, &format!("{FOLDER}/requirements.txt"));
        let found = languages::is_wanted("python").then(install)?;
        let python = languages::of("python", found)?;
        let stubs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("processor-stubs").join(name);
        fs::create_dir_all(&stubs).unwrap();
        let mut protoc = Command::new(&python);
        protoc.args(["-m", "grpc_tools.protoc", "--proto_path", "proto"]);
        for kind in ["--python_out", "--grpc_python_out"] {
            protoc.arg(kind).arg(&stubs);
        }
        protoc.args(["mesh/v1/policy.proto", "shop/common/v1/money.proto"]);
        protoc
            .args(["cards", "processor"].map(|it| format!("shop/processor/v1/{it}_service.proto")));
        let (made, said) = run(protoc).await;
        assert!(made, "{said}");
        Some(Self { python, stubs })
    }

    fn program(&self) -> String {
        format!("{} {}", self.python.display(), workspace().join(FOLDER).join("main.py").display())
    }

    fn command(&self) -> String {
        format!("env PYTHONPATH={} {}", self.stubs.display(), self.program())
    }
}

impl Shop {
    async fn clean() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("replaced");
        let shop = Self { home: Home::at(&folder).unwrap(), meshctl: program("meshctl").await };
        shop.run(&["down", "--wipe"]).await;
        // Servers that were installed for the project need not be installed again.
        let project = Home::of_project(&workspace()).unwrap();
        let wheels = project.wheels();
        let shared = shop.home.path("venv");
        if wheels.is_dir() && !shared.exists() {
            std::os::unix::fs::symlink(wheels, shared).unwrap();
        }
        shop
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.meshctl);
        command.args(arguments).env("MESH_HOME", self.home.root()).env("CI", "1");
        command
    }

    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        run(self.command(arguments)).await
    }

    /// What it prints.
    async fn succeeds(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let output =
            timeout(PATIENCE, command.stdin(Stdio::null()).output()).await.unwrap().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn instance(&self) -> Value {
        let text = fs::read_to_string(self.home.path("state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        state["services"][SERVICE][0].clone()
    }

    /// The process of the processor that runs now.
    fn process(&self) -> Identity {
        Identity::of(self.instance()["pid"].as_u64().unwrap().try_into().unwrap()).unwrap()
    }

    /// What the processor says to whoever shows nothing.
    async fn refuses_strangers(&self) -> (Code, String) {
        let uri = format!("http://{}", self.instance()["grpc"].as_str().unwrap());
        let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();
        let mut client = ProcessorServiceClient::new(channel);
        let request = GetChargeRequest { charge_id: uuid() };
        let refused = client.get_charge(request).await.unwrap_err();
        (refused.code(), mesh_rpc::reason(&refused).unwrap_or_default())
    }

    async fn charges(&self) -> i64 {
        let instance = self.instance();
        let pool = PgPool::connect(instance["database_url"].as_str().unwrap()).await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM charges").fetch_one(&pool).await;
        count.unwrap()
    }

    async fn charges_reach(&self, enough: i64) {
        eventually("the demo to be under way", async || {
            (self.charges().await >= enough).then_some(())
        })
        .await;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let mut down = std::process::Command::new(&self.meshctl);
        let _ = down.args(["down", "--wipe"]).env("MESH_HOME", self.home.root()).output();
    }
}

/// Whether a command ends well, and everything that it says.
async fn run(mut command: Command) -> (bool, String) {
    let output = command.current_dir(workspace()).stdin(Stdio::null()).output();
    let output = timeout(PATIENCE, output).await.expect("the command ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}
